"""An experiment on two processes with four devices each is the experiment on one with eight."""

import os
import pathlib
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_regda

from kpjax.papers.command_line import run
from kpjax.training.evaluation import read_predictions

COMMAND = ["people", "--variants", "source_only", "regda"]
# What the library between the processes says, from several threads at once, which mix the parts of
# a line.
GLOO = re.compile(
    r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :|\b\d+\b"
)


def start(workdir, process, port):
    root = str(pathlib.Path(__file__).parents[3])
    environment = os.environ | {
        "PYTHONPATH": root,
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4",
    }
    return subprocess.Popen(
        [
            sys.executable,
            tiny_regda.__file__,
            *COMMAND,
            "--workdir",
            str(workdir),
            "--coordinator",
            f"localhost:{port}",
            "--num-processes",
            "2",
            "--process-id",
            str(process),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_write_one_report_with_the_numbers_of_one(tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = [start(tmp_path / "two", process, port) for process in range(2)]
    run(tiny_regda.TINY, [*COMMAND, "--workdir", str(tmp_path / "one")])
    said = [child.communicate(timeout=240)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    # Process 0 alone speaks: the libraries' own lines aside, and those of processes that wait for
    # each other.
    assert "cpu: 8 x cpu, 2 processes" in said[0]
    assert "report: " in said[0]
    waited, *others = said[1].splitlines()  # before process 0 answers
    assert "waiting for process 0" in waited
    assert not GLOO.sub("", "\n".join(others)).strip(), said[1]
    report = pathlib.Path("regda", "people", "report.html")
    assert (tmp_path / "two" / report).exists()
    for variant in ("source_only", "regda"):
        folders = [
            tmp_path / name / "regda" / "people" / variant / "seed-0" for name in ("one", "two")
        ]
        assert not list(folders[1].rglob(".seen-by-all-*"))
        one, two = map(read_predictions, folders)
        for name in one:
            # Sums are ordered in another way, and an equal peak may then be another pixel's.
            apart = np.abs(one[name].keypoints - two[name].keypoints).max(-1) > 1e-3
            assert apart.sum() <= 1, (variant, name)
