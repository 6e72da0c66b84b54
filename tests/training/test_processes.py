"""Two processes with four devices each are one process with eight, and a killed one goes on bit for bit."""
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))
import one_of_many

FAULTS = pathlib.Path(one_of_many.__file__).parent

PROGRAM = """
from pathlib import Path
import jax
from kpjax.training.process import forget_programs

MAPS = Path("/proc/self/maps")
program = jax.jit(lambda x: 2 * x)
assert program(1.0) == 2
assert not forget_programs(share=1.0)
assert program._cache_size() == 1
held = len(MAPS.read_text().splitlines())
assert forget_programs(share=0.0)
assert program._cache_size() == 0
assert len(MAPS.read_text().splitlines()) < held
assert program(1.0) == 2
"""


def start(folder, process, port):
    environment = os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"}
    return subprocess.Popen([sys.executable, one_of_many.__file__, str(folder), str(process), "2", str(port)],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Training, a checkpoint, going on from it, an evaluation whose last batch is padded, and a stop by SIGTERM."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [start(tmp_path / "two", process, port) for process in range(2)]
    try:
        one_of_many.main(tmp_path / "one", 0, 1, port)
        for child in children:
            said = child.communicate(timeout=120)[0]
            assert child.returncode == 0, said
            assert "stopped by SIGTERM" in said
    finally:
        for child in children:
            child.kill()
            child.communicate()
    one, two = (load_file(tmp_path / name / "result" / "trained.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for name in one:
        a, b = np.asarray(one[name], np.float64), np.asarray(two[name], np.float64)
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a), name
    found = [np.load(tmp_path / name / "predictions.npy") for name in ("one", "two")]
    np.testing.assert_allclose(*found, atol=1e-4)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not():
    done = subprocess.run([sys.executable, str(FAULTS / "kill.py"), "3"], capture_output=True, text=True,
                          check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/maps").exists(), reason="only Linux counts the maps of a process")
def test_programs_are_dropped_above_a_share_of_the_maps():
    """In a process of its own, since those of other tests would be dropped, too."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
