"""The command `plan`: its stages, its numbers and its refusals."""

import importlib.util
import subprocess

import jax
import pytest
from etils import epath

from experiments import experiment_of, plan as experiments_plan
from experiments.blank import without_data
from experiments.keypoints import skeleton_of
from kpjax import InputError, RunError
from kpjax.papers import plan
from kpjax.papers.configs import changed
from kpjax.papers.engine import Job
from kpjax.papers.plan import planned_stages, tables
from kpjax.training import planning
from kpjax.training.chips import slice_of
from kpjax.training.mesh import data_mesh
from kpjax.training.planning import COMPILES, environment, times_of


def stages(name, preset, variant, **changes):
    experiment = without_data(experiment_of(name))
    config = changed(experiment.presets[preset], **changes)
    return config, planned_stages(
        Job(experiment, config, preset, variant, 0, epath.Path("nowhere"), epath.Path("none"))
    )


def read(*words):
    return plan.read(words, experiment_of, "")


# Stages


@pytest.mark.slow
def test_regda_has_both_stages_at_the_size_that_its_augmentation_loads():
    config, (first, second) = stages("regda", "rhd_h3d", "regda", depth=18)
    assert (first.name, first.steps) == ("pretraining", config.pretraining_steps)
    assert (second.name, second.steps) == ("regda", config.steps)
    loaded = config.data.loaded(config.augment.reach)[0].side
    assert {name: one.image.shape for name, one in second.streams.items()} == dict.fromkeys(
        ("source", "target"), (config.batch_size, loaded, loaded, 3)
    )
    assert second.streams["source"].keypoints.shape == (config.batch_size, 21, 2)
    assert second.images == 2 * config.batch_size


def test_stages_are_one_where_they_share_a_folder():
    """Later steps of two variants have equal names and shapes, and a warm start is that of the
    teacher, too.
    """
    kamp, other = (stages("incremental", "demo", name)[1] for name in ("kamp", "kamp_rerendered"))
    shared = {(stage.folder, stage.name) for stage in kamp} & {
        (stage.folder, stage.name) for stage in other
    }
    assert {name for _, name in shared} == {"step 0", "association 1"}
    found = stages("semi_supervised", "demo", "pl_warped", widths=(4, 4, 4))[1]
    assert len({(stage.folder, stage.name) for stage in found}) == len(found) - 1 == 3


# Numbers


@pytest.mark.slow
def test_a_stage_is_compiled_and_its_floors_follow():
    """For the devices of this process, in place of chips."""
    _, (stage,) = stages(
        "semi_supervised",
        "demo",
        "supervised",
        widths=(4, 4, 4),
        head_width=4,
        image_size=16,
        heatmap_size=4,
        batch_size=8,
        warm_start_steps=0,
    )
    record = planning.compiled(stage, slice_of("v5e-8"), data_mesh())
    assert record["fits"]
    assert record["memory"]["total"] > record["memory"]["temporaries"] > 0
    assert min(record["flops"], record["bytes"], planning.counted_flops(stage, "tpu")) > 0
    params, statistics = (
        jax.tree.leaves(stage.state.variables[name]) for name in ("params", "batch_stats")
    )
    assert record["collectives"] == 1 + len(statistics)
    assert record["collective_bytes"] == 4 * sum(leaf.size for leaf in (*params, *statistics))


def test_times_by_hand():
    slice_ = slice_of("v5e-1")  # alone: no collective takes time
    record = {
        "images": 32,
        "flops": 0.01 * slice_.chip.peak,
        "bytes": 0.04 * slice_.chip.bandwidth,
        "collectives": 9,
        "collective_bytes": 1e6,
    }
    times = times_of(record, slice_, steps=90_000)
    assert times == pytest.approx(
        {
            "arithmetic": 0.01,
            "bandwidth": 0.04,
            "waiting": 0.0,
            "step": 0.04,
            "images": 800,
            "hours": 1.0,
            "chip_hours": 1.0,
        }
    )
    memory = {
        "state": 2**30,
        "temporaries": 2**30,
        "waiting": 0,
        "total": 2**31,
        "available": 2**34,
    }
    text = "\n".join(
        tables(
            [
                record
                | {
                    "stage": "first",
                    "steps": 90_000,
                    "fits": True,
                    "memory": memory,
                    "times": times,
                },
                {
                    "stage": "second",
                    "steps": 1,
                    "images": 64,
                    "fits": False,
                    "memory": {"available": 2**34},
                },
            ]
        )
    )
    assert "nothing here was measured" in text
    assert "| first | 90,000 | 32 | 1.00 | 1.00 | 0.00 | 2.00 | 16.00 |" in text
    assert "second: does not fit; give a smaller --batch-size" in text
    assert "| first | 10.00 | 40.00 | 0.00 | 40.00 | 800 | 1.00 | 1.0 |" in text


# Processes and refusals


def test_the_work_is_done_in_a_process_with_the_compilers_variables(monkeypatch, capsys):
    started = []

    def run(words, env, check):
        started.append((words, env))
        return subprocess.CompletedProcess(words, -9)

    monkeypatch.setattr(plan, "compiler_of", lambda platform: platform)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv(COMPILES, raising=False)
    with pytest.raises(RunError, match=r"ended by signal 9, .*name fewer"):
        experiments_plan.main(["regda", "demo", "--chips", "v5e-256"])
    ((words, env),) = started
    assert words[1:] == ["-m", "experiments.plan", "regda", "demo", "--chips", "v5e-256"]
    assert (env[COMPILES], env["TPU_ACCELERATOR_TYPE"]) == ("tpu", "v5litepod-8")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("XLA_FLAGS", "--some")
    assert environment("cuda")["XLA_FLAGS"] == "--some --xla_gpu_autotune_level=0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read("regda", "demo"), "^--chips: name the slice"),
        (lambda: read("regda", "demo", "--chips", "v5e-7"), "^--chips: 'v5e-7': there are v5e-1, "),
        (
            lambda: read("nobody", "demo", "--chips", "v5e-8"),
            "'nobody' is unknown; there are adaptation",
        ),
        (
            lambda: read("regda", "nothing", "--chips", "v5e-8"),
            "preset 'nothing' is unknown; there are",
        ),
        (lambda: read("regda", "demo", "--chips", "v5e-8"), r"kpjax\[tpu\]"),
        (lambda: read("regda", "demo", "--chips", "h100-8"), r"kpjax\[cuda\]"),
        (
            lambda: skeleton_of("nothing_like_it/train"),
            "its keypoints are only known from its data",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(call, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
