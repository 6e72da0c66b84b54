"""The allocator keeps freed memory, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from kpjax.allocator import ACCELERATORS, CONVOLUTIONS, OPTIMISATION, only_cpu, set_compiler_flags

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


def test_an_accelerators_package_is_seen_without_starting_jax(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: name if name == ACCELERATORS[0] else None
    )
    assert not only_cpu()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert only_cpu()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert only_cpu()


@pytest.mark.parametrize(
    ("flags", "version", "new"),
    [
        ("", "0.10.2", [OPTIMISATION, CONVOLUTIONS]),
        ("", "0.9.0", [OPTIMISATION]),
        ("--xla_cpu_experimental_ynn_fusion_type=", "0.10.2", [OPTIMISATION]),
        ("--xla_backend_optimization_level=3", "0.10.2", [CONVOLUTIONS]),
    ],
)
def test_compiler_flags_are_set_unless_the_user_says_otherwise(monkeypatch, flags, version, new):
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    assert set_compiler_flags() == new
    assert os.environ["XLA_FLAGS"] == " ".join([flags, *new]).strip()
    assert not set_compiler_flags()  # once is enough
