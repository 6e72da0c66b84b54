"""Two processes with four devices each are one process with eight."""
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file

CHILD = pathlib.Path(__file__).parent / "faults" / "one_of_many.py"


def start(folder, process, processes, devices, port):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen([sys.executable, str(CHILD), str(folder), str(process), str(processes), str(port)],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_equal_one(tmp_path):
    """Training, a checkpoint, going on from it, and an evaluation whose last batch is padded."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [start(tmp_path / "two", process, 2, 4, port) for process in range(2)]
    children.append(start(tmp_path / "one", 0, 1, 8, port))
    for child in children:
        said = child.communicate(timeout=120)[0]
        assert child.returncode == 0, said
    one, two = (load_file(tmp_path / name / "result" / "trained.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for name in one:
        a, b = np.asarray(one[name], np.float64), np.asarray(two[name], np.float64)
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a), name
    found = [np.load(tmp_path / name / "predictions.npy") for name in ("one", "two")]
    np.testing.assert_allclose(*found, atol=1e-4)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 4
