"""The command `plan`: its stages, its numbers and its refusals."""

import importlib.util
import os
import subprocess
import sys

import pytest
from etils import epath

from experiments import experiment_of, plan as experiments_plan
from experiments.blank import without_data
from experiments.keypoints import skeleton_of
from kpjax import InputError, RunError
from kpjax.models import SmallUNet
from kpjax.papers import plan
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.plan import planned_stages, stage_text
from kpjax.training import planning
from kpjax.training.chips import slice_of
from kpjax.training.mesh import data_mesh
from kpjax.training.planning import COMPILES, environment


def stages(name, preset, variant, **changes):
    experiment = without_data(experiment_of(name))
    config = replace_fields(experiment.presets[preset], **changes)
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


def test_steps_of_a_protocol_have_the_size_that_their_augmentation_loads():
    config, found = stages("incremental", "lspet", "kamp", network=SmallUNet((4, 4, 4)))
    side = config.data.loaded(config.augment.reach).side
    assert side > config.data.image_size
    assert [stage.streams["labelled"].image.shape[1] for stage in found] == (1 + 2 * 4) * [side]


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


def test_a_paper_without_blank_data_is_planned_on_its_own():
    """A new one, of which no other file knows."""
    experiment = experiment_of("semi_supervised")
    new = experiment._replace(paper=experiment.paper._replace(name="new"))
    assert without_data(new).open is experiment.open
    assert without_data(experiment).open is not experiment.open


@pytest.mark.slow
def test_the_numbers_of_a_compiled_stage():
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
    assert stage.images == 8
    record = planning.compile_stage(stage, slice_of("v5e-8"), data_mesh())
    assert record["fits"]
    memory = record["memory"]
    assert memory["total"] > memory["temporaries"] > 0
    assert memory["available"] == slice_of("v5e-8").chip.memory
    assert record["step"] >= (memory["state"] + memory["temporaries"]) / 819e9
    assert record["collectives"] >= 1  # those of gradients may be merged


def test_each_stage_is_said_before_the_next_and_a_program_is_compiled_once(
    tmp_path, monkeypatch, capsys
):
    said = []

    def compiled(stage, slice_, mesh):
        said.append(capsys.readouterr().out)
        memory = dict.fromkeys(("state", "temporaries", "waiting", "total", "available"), 2**30)
        return {"fits": True, "memory": memory, "step": 0.02, "collectives": 9}

    monkeypatch.setattr(plan, "compiler_of", lambda platform: "none")
    monkeypatch.setattr(planning, "slice_mesh", lambda slice_: data_mesh())
    monkeypatch.setattr(planning, "compile_stage", compiled)
    typed = ["regda", "demo", "--chips", "v5e-8", "--variants", "regda", "--workdir", str(tmp_path)]
    found = plan.plan(*read(*typed)[::-1])
    assert [stage["stage"] for stage in found] == ["pretraining", "regda"]
    assert ["a step: at least 20.00 ms, and 9 collectives" in one for one in said] == [False, True]
    hours = sum(stage["steps"] for stage in found) * 0.02 / 3600
    assert f"at least {hours:.2f} hours" in capsys.readouterr().out
    said.clear()
    slice_, command = read(*["incremental", *typed[1:4], "--variants", "finetune"])
    assert len(plan.plan(command, slice_)) > len(said) == 2  # later steps are one program
    assert "does not fit into 16.00 GiB; give" in stage_text(
        {"fits": False, "memory": {"available": 2**34}}
    )


TOPOLOGIES = """
import sys
from kpjax.training.chips import slice_of
from kpjax.training.planning import slice_mesh
for name in sys.argv[1:]:
    print(name, slice_mesh(slice_of(name)).size, slice_of(name).devices)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "platform", "slices"),
    [
        (
            "libtpu",
            "tpu",
            {"v5e-1": 1, "v5e-8": 8, "v5e-16": 16, "v5p-16": 8, "v6e-8": 8, "tpu7x-8": 8},
        ),
        ("jax_cuda13_plugin", "cuda", {"h100-1": 1, "h200-8": 8, "b200-16": 16}),
    ],
)
def test_compilers_know_every_kind_of_slice(compiler, platform, slices):
    pytest.importorskip(compiler)
    done = subprocess.run(
        [sys.executable, "-c", TOPOLOGIES, *slices],
        env=os.environ | environment(platform),
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    found = [line.split() for line in done.stdout.splitlines()]
    assert {name: int(size) for name, size, _ in found} == slices
    assert all(size == devices for _, size, devices in found)


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
