"""The allocator keeps freed memory, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from kpjax import allocator
from kpjax.allocator import (
    ANSWERS,
    BARRIERS,
    CHILD,
    CONVOLUTIONS,
    OPTIMISATION,
    convolutions_text,
    flags_of_machine,
    only_cpu,
    set_compiler_flags,
)
from kpjax.cores import usable_cores
from kpjax.papers.parsing import asks_for_words

COMMAND = """
import resource
from kpjax.papers.parsing import exit_code_of

def main():
    import jax
    import jax.numpy as jnp
    jax.devices()  # as reading a run of somebody's does before anything is trained
    step = jax.jit(lambda x: (jnp.outer(x, x) @ x).sum())  # with a block of 36 MB, so of 9,000 pages
    faults = []
    for _ in range(40):
        step(jnp.ones(3000)).block_until_ready()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    # Where freed memory is given back every step takes its block anew. Where it is kept, the heap finds its size after
    # some steps, later ones where threads are many or slow: few of the last twenty grow it.
    grown = sum(after - before > 4000 for before, after in zip(faults[-21:], faults[-20:]))
    assert grown < 10, faults

raise SystemExit(exit_code_of(main))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_command_keeps_the_memory_of_its_steps_whenever_jax_was_started():
    subprocess.run([sys.executable, "-c", COMMAND], check=True, timeout=120)


@pytest.mark.parametrize(
    ("packages", "devices", "alone"),
    [
        ((), ("tpu", "nvidia"), True),
        (("libtpu",), (), True),  # a compiler for plans
        (("libtpu",), ("nvidia",), True),
        (("libtpu",), ("tpu",), False),
        (("xla_cuda13",), (), True),
        (("xla_cuda12",), ("nvidia",), False),
        (("xla_cuda13", "libtpu"), (), True),
        (("metal",), (), False),  # what it drives is not known
    ],
)
def test_a_device_and_its_package_are_seen_without_starting_jax(
    monkeypatch, tmp_path, packages, devices, alone
):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setattr(allocator, "_has_tpu", lambda: "tpu" in devices)
    monkeypatch.setattr(allocator, "_has_nvidia_gpu", lambda: "nvidia" in devices)
    for name in packages:
        folder = tmp_path if name == "libtpu" else tmp_path / "jax_plugins"
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert only_cpu() == alone
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert only_cpu()
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    assert not only_cpu()


@pytest.mark.parametrize(
    ("flags", "answer", "new"),
    [
        ("", "taken", [OPTIMISATION, CONVOLUTIONS, BARRIERS]),
        ("", "slower", [OPTIMISATION, BARRIERS]),
        ("", "refused", [OPTIMISATION]),
        ("--xla_cpu_experimental_ynn_fusion_type=", "taken", [OPTIMISATION]),
        ("--xla_backend_optimization_level=3", "taken", [CONVOLUTIONS, BARRIERS]),
        ("--xla_disable_hlo_passes=dce", "taken", [OPTIMISATION, CONVOLUTIONS]),
    ],
)
def test_compiler_flags_are_set_unless_the_user_says_otherwise(monkeypatch, flags, answer, new):
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(allocator, "flags_of_machine", lambda ask: ANSWERS[answer])
    assert set_compiler_flags() == new
    assert os.environ["XLA_FLAGS"] == " ".join([flags, *new]).strip()
    said = (
        "all cores" if CONVOLUTIONS in new else "as XLA_FLAGS says" if "ynn" in flags else "default"
    )
    assert said in convolutions_text()
    assert not set_compiler_flags()  # once is enough


class Children:
    """Stands in for processes: what they answer, in order, and how many were started."""

    def __init__(self, *answers):
        self.answers, self.started = list(answers), 0

    def run(self, command, *, env, **options):
        assert command == [sys.executable, "-P", CHILD, str(usable_cores())]
        assert (env["XLA_FLAGS"], env["JAX_PLATFORMS"]) == (f"{CONVOLUTIONS} {BARRIERS}", "cpu")
        self.started += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(command, *answer)


TAKEN, SLOWER = (0, b"taken\n", b""), (0, b"slower\n", b"")
UNKNOWN = (-6, b"", b"F1 Unknown flag in XLA_FLAGS: " + CONVOLUTIONS.encode())


@pytest.mark.parametrize(
    ("answer", "flags"),
    [(TAKEN, [CONVOLUTIONS, BARRIERS]), (SLOWER, [BARRIERS]), (UNKNOWN, [])],
)
def test_each_jaxlib_is_asked_once_for_its_flags(monkeypatch, tmp_path, answer, flags):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    children = Children(answer, UNKNOWN)
    monkeypatch.setattr(subprocess, "run", children.run)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.99.1")
    assert not flags_of_machine(ask=False)
    assert children.started == 0
    assert flags_of_machine() == flags
    assert flags_of_machine() == flags_of_machine(ask=False) == flags
    assert children.started == 1
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.99.2")
    assert not flags_of_machine()
    assert children.started == 2


@pytest.mark.parametrize(
    "failed",
    [
        (-9, b"", b"Killed"),
        (1, b"", b"ModuleNotFoundError: No module named 'jax'"),
        subprocess.TimeoutExpired("python", 120),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_a_child_that_failed_otherwise_is_no_answer(monkeypatch, tmp_path, failed):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    children = Children(failed, TAKEN)
    monkeypatch.setattr(subprocess, "run", children.run)
    assert not flags_of_machine()
    assert flags_of_machine()
    assert flags_of_machine()
    assert children.started == 2


def test_what_is_kept_may_be_damaged_or_not_be_writable(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    children = Children(*[TAKEN] * 3)
    monkeypatch.setattr(subprocess, "run", children.run)
    assert flags_of_machine()
    (kept,) = (tmp_path / "cache").rglob("jaxlib-*.txt")
    for damaged in (b"", b"\xff\xfe"):
        kept.write_bytes(damaged)
        assert flags_of_machine()
        assert kept.read_text() == "taken"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    children.answers = [TAKEN] * 2
    assert flags_of_machine()
    assert flags_of_machine()
    assert children.started == 5


@pytest.mark.slow
def test_this_jaxlib_takes_the_flags_and_a_child_refuses_an_unknown_flag(monkeypatch):
    """What README's minutes rest on. A newer jaxlib that fails here runs the slower ones."""
    # on one core either may be faster
    assert allocator._ask_child() in ("taken", "slower")[: 1 + (usable_cores() == 1)]
    monkeypatch.setattr(allocator, "CONVOLUTIONS", "--xla_cpu_no_such_flag=1")
    assert allocator._ask_child() == "refused"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], True),
        (["train", "--help"], True),
        (["regda", "demo", "-h"], True),
        (["--version"], True),
        (["train", "--project", "help"], False),
    ],
)
def test_a_help_text_asks_no_child(arguments, words):
    assert asks_for_words(arguments) == words
