"""The command `plan`: its stages, its numbers and its refusals."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import pytest
from etils import epath

from experiments import experiment_of, plan as experiments_plan
from experiments.blank import without_data
from experiments.keypoints import skeleton_of
from kpjax import InputError, RunError
from kpjax.files import strict
from kpjax.models import SmallUNet
from kpjax.papers import plan
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.plan import planned_stages, stage_text
from kpjax.training import planning
from kpjax.training.chips import slice_of
from kpjax.training.mesh import data_mesh
from kpjax.training.planning import COMPILES, environment, times_of


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
def test_a_stage_is_compiled_once_and_its_estimates_follow(monkeypatch, tmp_path):
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(planning, "compiler_version", lambda platform: "of this test")
    record = planning.compile_for_plan(stage, slice_of("v5e-8"), data_mesh())
    assert record["fits"]
    assert record["images_a_device"] == 1
    monkeypatch.setattr(planning, "compile_stage", None)  # it was compiled before
    kept = planning.compile_for_plan(stage._replace(name="again"), slice_of("v5e-8"), data_mesh())
    assert kept == record | {"stage": "again", "kept": True}
    with pytest.raises(TypeError):  # another slice is another program
        planning.compile_for_plan(stage, slice_of("v5e-4"), data_mesh())
    assert record["memory"]["total"] > record["memory"]["temporaries"] > 0
    assert min(record["flops"], record["bytes"], planning.counted_flops(stage, "tpu")) > 0
    params, statistics = (
        jax.tree.leaves(stage.state.variables[name]) for name in ("params", "batch_stats")
    )
    assert record["collectives"] >= 1  # those of gradients may be merged
    assert record["collective_bytes"] == 4 * sum(leaf.size for leaf in (*params, *statistics))


def test_times_by_hand():
    slice_ = slice_of("v5e-1")  # alone: no collective takes time
    record = {
        "images": 32,
        "flops": 0.01 * slice_.chip.peak,
        "bytes": 0.04 * slice_.chip.bandwidth,
        "collectives": 9,
        "collective_bytes": 1e6,
        "cycles": 3e7,
        "moved": 9e6,
        "seconds": 183.4,
    }
    times = times_of(record, slice_, steps=90_000)
    assert times == pytest.approx(
        {
            "arithmetic": 0.01,
            "bandwidth": 0.04,
            "waiting": 0.0,
            "step": 0.04,
            "cycles": 0.02,
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
    whole = record | {"memory": memory, "times": times, "fits": True, "steps": 90_000}
    assert stage_text(whole).splitlines() == [
        "  compiled in 183 s: 2.00 of 16.00 GiB (state 1.00, temporaries 1.00, read ahead 0.00)",
        "  a step: 40.00 ms, an estimate (arithmetic 10.00, memory 40.00, 9 collectives 0.00)",
        "  its compiler's cycles: 30.0 million, 20.00 ms, of which 30% pad and copy; gathers and "
        "collectives have none",
        "  90,000 steps: 1.00 hours, 1.0 chip-hours; 800 images a second and chip",
    ]
    large = {"seconds": 9.0, "kept": True, "fits": False, "memory": {"available": 2**34}}
    assert "compiled before in 9 s: it does not fit into 16.00 GiB; give" in stage_text(large)


def test_each_stage_is_said_and_kept_before_the_next_and_few_images_a_chip_are_said(
    tmp_path, monkeypatch, capsys
):
    """Eight chips take half the time of one, by the compiler's cycles."""
    path = tmp_path / "regda" / "demo" / "plan" / "v5e-8" / "plan.json"
    kept, said = [], []

    def compiled(stage, slice_, mesh):
        kept.append(len(json.loads(path.read_text())["stages"]) if path.exists() else 0)
        said.append(capsys.readouterr().out)
        return {
            "images": stage.images,
            "images_a_device": stage.batch / slice_.devices,
            "seconds": 9.0,
            "fits": True,
            "memory": dict.fromkeys(("state", "temporaries", "waiting", "total", "available"), 1),
            "flops": 1.0,
            "bytes": 1.0,
            "collectives": 0,
            "collective_bytes": 0,
            "cycles": {"v5e-8": 1e6, "v5e-1": 2e6}[slice_.name],
            "moved": 5e5,
        }

    monkeypatch.setattr(plan, "compiler_of", lambda platform: "none")
    monkeypatch.setattr(planning, "compiler_version", lambda platform: "none 0")
    monkeypatch.setattr(planning, "slice_mesh", lambda slice_: data_mesh())
    monkeypatch.setattr(planning, "compile_for_plan", compiled)
    typed = ["regda", "demo", "--chips", "v5e-8", "--variants", "regda", "--workdir", str(tmp_path)]
    found = plan.plan(*read(*typed)[1::-1])
    assert [stage["stage"] for stage in found["stages"]] == ["pretraining", "regda"]
    assert json.loads(path.read_text()) == strict(found)
    assert kept == [0, 1, 2]
    assert ["compiled in 9 s" in one for one in said] == [False, True, True]
    end = capsys.readouterr().out
    assert "8 chips are 2.0 times as fast as one. For several seeds, a seed on each chip" in end
    slice_, command, named = read(*typed, "--stage", "regda")
    assert [one["stage"] for one in plan.plan(command, slice_, named)["stages"]] == ["regda"]
    with pytest.raises(InputError, match="--stage: 'x' is unknown; there are pretraining, regda"):
        plan.plan(command, slice_, ["x"])


STEP = """
%fused {
  %pad.7 = f32[8] pad(%a), backend_config={"estimated_cycles":"1000"}
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %pad.7.clone = f32[8] pad(%a), metadata={op_name="x"}, backend_config={"estimated_cycles":"70","other":[]}
  %pad_bitcast_fusion = f32[8] fusion(%a), backend_config={"estimated_cycles":"20"}
  %copy-start.1 = f32[8] copy-start(%a)
  %pad_maximum_fusion = f32[8] fusion(%a), backend_config={"estimated_cycles":"5"}
  %all-reduce = f32[8] all-reduce(%a)
  ROOT %fusion.2 = f32[8] fusion(%a), backend_config={"estimated_cycles":"300"}
}
"""


def test_cycles_are_those_of_the_step_and_not_of_what_its_operations_call():
    assert planning.cycles_of(STEP) == {"cycles": 395, "moved": 90}
    assert planning.cycles_of("ENTRY %main {\n  %add = f32[8] add(%a, %b)\n}") == {}


TOPOLOGIES = """
import sys
from kpjax.training.chips import slice_of
from kpjax.training.planning import hosts_of, slice_mesh
for name in sys.argv[1:]:
    mesh, slice_ = slice_mesh(slice_of(name)), slice_of(name)
    slices = {getattr(device, "slice_index", None) or 0 for device in mesh.devices.flat}
    print(name, mesh.size, slice_.devices, hosts_of(mesh), len(slices))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "platform", "slices"),
    [
        (
            "libtpu",
            "tpu",
            {
                "v5e-1": (1, 1, 1),
                "v5e-8": (8, 1, 1),
                "v5e-16": (16, 4, 1),
                "2xv5e-16": (32, 8, 2),
                "v5p-16": (8, 2, 1),
                "v6e-8": (8, 1, 1),
                "3xv6e-16": (48, 12, 3),
                "tpu7x-8": (8, 1, 1),
                "2xtpu7x-16": (32, 4, 2),
            },
        ),
        (
            "jax_cuda13_plugin",
            "cuda",
            {"h100-1": (1, 1, 1), "h200-8": (8, 1, 1), "b200-16": (16, 2, 1)},
        ),
    ],
)
def test_compilers_know_every_kind_of_slice_and_its_hosts(compiler, platform, slices):
    """Devices, hosts and slices; a mesh takes the devices of several slices."""
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
    assert {name: (int(size), *map(int, rest)) for name, size, _, *rest in found} == slices
    assert all(size == devices for _, size, devices, *_ in found)


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
