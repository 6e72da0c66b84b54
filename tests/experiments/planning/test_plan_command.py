"""The command `plan`: its errors, its tables, and, where a compiler is installed, a whole plan."""
import importlib.util
import subprocess

import pytest

from experiments.commands import plan as command
from experiments.planning.chips import slice_of
from experiments.planning.compiling import COMPILES, environment, refused_memory
from experiments.planning.report import of_run, read_rate, tables
from kpjax import InputError, RunError


@pytest.mark.parametrize(("arguments", "message"), [
    (["regda", "demo"], "chips: name the slice"),
    (["regda", "demo", "--chips", "v5e-7"], "chips: 'v5e-7': there are v5e-1, "),
    (["regda", "demo", "--chips", "x1-8"], "chips: 'x1-8' is unknown; give v5e-N"),
    (["nobody", "demo", "--chips", "v5e-8"], "'nobody' is not a system; there are adaptation"),
    (["regda", "nothing", "--chips", "v5e-8"], "preset 'nothing' is unknown; there are"),
    (["regda", "demo", "--chips", "v5e-8", "--variants", "nobody"], "'nobody' is unknown"),
    (["regda", "demo", "--chips", "v5e-8", "--batch-size", "x"], "batch-size")])
def test_errors_in_one_line(arguments, message, monkeypatch):
    monkeypatch.setattr(command, "compiler_of", lambda platform: platform)
    with pytest.raises(InputError) as error:
        command.read(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("chips", "extra"), [("v5e-8", r"kpjax\[tpu\]"), ("h100-8", r"kpjax\[cuda\]")])
def test_a_missing_compiler_is_named_with_its_extra(chips, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"^chips: the compiler for them, .*{extra}"):
        command.compiler_of(slice_of(chips).chip.platform)


def test_batches_are_rounded_as_a_run_rounds_them(monkeypatch, capsys):
    monkeypatch.setattr(command, "compiler_of", lambda platform: platform)
    asked, found = command.read(["regda", "demo", "--chips", "v5e-256", "--fit"])
    assert asked.fit
    assert found.config.batch_size == 256
    assert "batch_size: 256 in place of the preset's 32" in capsys.readouterr().out


def test_a_process_that_compiles_has_its_variables(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--some")
    assert environment("tpu")["TPU_SKIP_MDS_QUERY"] == "1"
    assert environment("cuda")["XLA_FLAGS"] == "--some --xla_gpu_autotune_level=0"
    assert all(environment(platform)[COMPILES] == platform for platform in ("tpu", "cuda"))


@pytest.mark.parametrize("chips", ["v5e-8", "h100-8"])
def test_tables_have_a_line_for_each_stage_and_say_that_nothing_was_measured(chips):
    slice_ = slice_of(chips)
    parts = {name: {"seconds": 0.01, "ruled": 0.005, "bytes": 1e9, "flops": 1e12, "operations": 3}
             for name in ("augmentation", "forward", "collectives")}
    record = {"stage": "first", "images": 64, "fits": True, "memory": {"total": 2**30, "available": 2**34},
              "parts": parts, "collectives": 3, "collective_bytes": 2**20, "steps": 120_000,
              "gathers": [{"part": "augmentation", "rows": 8192, "numbers": 3, "seconds": 0.01, "single_pixels": True}]}
    record |= of_run(record, slice_, 120_000)
    refused = {"stage": "second", "images": 64, "fits": False, "steps": 1,
               "memory": {"total": 2**35, "available": 2**34}}
    text = "\n".join(tables([record, refused], slice_))
    assert "nothing here was measured" in text
    assert "second: does not fit; give a smaller --batch-size" in text
    assert "1 gathers or scatters of single pixels" in text
    assert f"at {read_rate():.0f} images a second" in text
    assert "| all |  |  | 1.00 | 8.0 |" in text  # 120,000 steps of 30 ms on eight chips
    assert ("at least" in text) == (chips == "h100-8")


def test_the_work_is_done_in_a_process_with_the_compilers_variables(monkeypatch, capsys):
    started = []

    def run(words, env, check):
        started.append((words, env))
        return subprocess.CompletedProcess(words, -9)

    monkeypatch.setattr(command, "compiler_of", lambda platform: platform)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv(COMPILES, raising=False)
    with pytest.raises(RunError, match=r"ended by signal 9, .*the same command goes on"):
        command.main(["regda", "demo", "--chips", "v5e-256"])
    (words, env), = started
    assert words[1:] == ["-m", "experiments.commands.plan", "regda", "demo", "--chips", "v5e-256"]
    assert (env[COMPILES], env["TPU_ACCELERATOR_TYPE"]) == ("tpu", "v5litepod-8")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("reason", "found"), [
    ("RESOURCE_EXHAUSTED: the total memory required for HLO temporaries (26.50G) exceeds available HBM (15.75G).",
     [26.5 * 2**30, 15.75 * 2**30]),
    ("Ran out of memory in memory space hbm. Used 20.00G of 15.75G hbm.", [20 * 2**30, 15.75 * 2**30]),
    ("Ran out of memory.", None)])
def test_what_a_compiler_refuses(reason, found):
    assert refused_memory(reason) == found
