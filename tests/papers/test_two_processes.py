"""An experiment on two processes with four devices each is the experiment on one with eight."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_regda

from kpjax.papers.command_line import run
from kpjax.training.evaluation import read_predictions

BLOCKS = 58  # 59,392 bytes
SLOWER = 4  # on a machine that does much else
COMMAND = ["people", "--variants", "source_only", "regda"]
# What the library between the processes says, from several threads at once, which mix the parts of
# a line.
GLOO = re.compile(
    r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :|\b\d+\b"
)


ROOT = pathlib.Path(__file__).parents[2]


def start(workdir, process, port, *more, command=COMMAND, code=ROOT, devices=4, blocks=None):
    """Starts a process; blocks: of 1,024 bytes, the largest file that it may write."""
    environment = os.environ | {
        "PYTHONPATH": f"{code}{os.pathsep}{ROOT}",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
    }
    return subprocess.Popen(
        [
            *(() if blocks is None else ("bash", "-c", f'ulimit -f {blocks}; exec "$@"', "bash")),
            sys.executable,
            tiny_regda.__file__,
            *command,
            "--workdir",
            str(workdir),
            "--coordinator",
            f"localhost:{port}",
            "--num-processes",
            "2",
            "--process-id",
            str(process),
            *more,
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def ended(children):
    """Returns what processes say, which end within a minute; a hang fails."""
    try:
        return [child.communicate(timeout=60 * SLOWER)[0] for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


@pytest.mark.slow
def test_two_processes_write_one_report_with_the_numbers_of_one(tmp_path, capsys):
    port = free_port()
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


def edited_code(folder):
    shutil.copytree(
        ROOT / "kpjax",
        folder / "kpjax",
        ignore=shutil.ignore_patterns("__pycache__", "_version.py"),
    )
    path = folder / "kpjax" / "optimization.py"
    path.write_text(path.read_text() + "\n# edited\n")
    return {"code": folder}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "options", "words"),
    [
        ([], edited_code, "process 1 differs from process 0: sources is "),
        (
            ["--fresh"],
            lambda folder: {},
            "process 1 differs from process 0: flags.fresh is True there and False",
        ),
        ([], lambda folder: {"devices": 3}, "process 1 differs from process 0: it has 3 devices"),
        (["--steps", "2"], lambda folder: {}, "process 1 differs from process 0: config."),
    ],
    ids=["code", "fresh", "devices", "steps"],
)
def test_hosts_that_differ_end_in_a_line_before_they_train(tmp_path, more, options, words):
    port, options = free_port(), options(tmp_path / "code")
    one = start(tmp_path / "runs", 0, port)
    two = start(tmp_path / "runs", 1, port, *more, **options)
    said = ended([one, two])
    assert [one.returncode, two.returncode] == [2, 2], said
    for lines in said:
        assert words in lines
        assert "Traceback" not in lines
    assert not list((tmp_path / "runs").rglob("checkpoints"))


@pytest.mark.slow
def test_a_host_that_cannot_write_ends_all_and_the_same_command_goes_on(tmp_path):
    """Its files may not grow beyond 60 kB, as of a quota: those of arrays do, written by another
    library."""

    port, command = free_port(), ["people", "--variants", "source_only"]
    children = [
        start(tmp_path, process, port, command=command, blocks=None if process else BLOCKS)
        for process in range(2)
    ]
    said = ended(children)
    assert all(child.returncode in (1, 2) for child in children), said
    assert "File too large" in said[0]
    assert all("Traceback" not in lines for lines in said), said
    run(tiny_regda.TINY, [*command, "--workdir", str(tmp_path)])


@pytest.mark.slow
def test_every_write_of_process_0_that_is_refused_is_known_to_both(tmp_path):
    port, program = free_port(), ROOT / "tests" / "training" / "faults" / "a_full_disc.py"
    environment = os.environ | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    }
    children = [
        subprocess.Popen(
            [sys.executable, program, tmp_path / "runs", str(process), str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    ]
    said = ended(children)
    assert [child.returncode for child in children] == [0, 0], said
    assert all("all refused alike" in lines for lines in said)
