"""Two processes with four devices each are one process with eight."""
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))
import one_of_many


def start(folder, process, port):
    environment = os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"}
    return subprocess.Popen([sys.executable, one_of_many.__file__, str(folder), str(process), "2", str(port)],
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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
