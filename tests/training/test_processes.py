"""Two processes with four devices each are one with eight, and what they compare."""

import json
import os
import pathlib
import socket
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from kpjax.errors import InputError, RunError
from kpjax.training import hosts, process

sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))
import one_of_many
import stopped_often

PROGRAM = """
from pathlib import Path
import jax
from kpjax.training.process import forget_programs

MAPS = Path("/proc/self/maps")
traces = []


@jax.jit
def program(x):
    traces.append(x)
    return 2 * x


assert program(1.0) == 2
assert not forget_programs(share=1.0)
assert program(1.0) == 2
assert len(traces) == 1
held = len(MAPS.read_text().splitlines())
assert forget_programs(share=0.0)
assert len(MAPS.read_text().splitlines()) < held
assert program(1.0) == 2
assert len(traces) == 2
"""


def start(folder, process, port):
    environment = os.environ | {
        "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    }
    return subprocess.Popen(
        [sys.executable, one_of_many.__file__, str(folder), str(process), "2", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Training, a checkpoint, going on from it, an evaluation whose last batch is padded, and a
    stop by SIGTERM.
    """
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
    one, two = (
        load_file(tmp_path / name / "result" / "trained.safetensors") for name in ("one", "two")
    )
    assert set(one) == set(two)
    for name in one:
        a, b = np.asarray(one[name], np.float64), np.asarray(two[name], np.float64)
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a), name
    found = [np.load(tmp_path / name / "predictions.npy") for name in ("one", "two")]
    np.testing.assert_allclose(*found, atol=1e-4)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 4


@pytest.mark.slow
@pytest.mark.skipif(
    not pathlib.Path("/proc/self/maps").exists(), reason="only Linux counts the maps of a process"
)
def test_programs_are_dropped_above_a_share_of_the_maps():
    """In a process of its own, since those of other tests would be dropped, too."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)


@pytest.mark.slow
def test_sigterm_at_any_moment_of_a_step_loses_nothing(tmp_path):
    """In a process of its own, whose heap a handler would damage."""
    said = subprocess.run(
        [sys.executable, stopped_often.__file__, str(tmp_path)],
        check=True,
        timeout=1800,
        capture_output=True,
        text=True,
    )
    assert said.stdout.startswith("50 stops in ")


# How they find each other and what they compare, without a second one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "node"}, "coordinator: 'node' is no HOST:PORT"),
        ({"num_processes": 0}, "num_processes: 0; must be at least 1"),
        (
            {"coordinator": "node:1", "num_processes": 2, "process_id": 2},
            "process_id: 2; give 0 to 1",
        ),
        ({"process_id": 0}, "coordinator: give it with .process_id"),
        (
            {"coordinator": "localhost:1", "num_processes": 2, "process_id": 1},
            "coordinator: nothing answers at localhost:1 for 0.3 s .*refused.*; start process 0",
        ),
    ],
)
def test_what_cannot_be_joined_is_said_in_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(hosts, "PATIENCE", 0.3)
    with pytest.raises(InputError, match=message):
        hosts.join(**arguments)
    waited = "process 1 of 2: waiting for process 0 at localhost:1, for 0.3 s at most\n"
    assert capsys.readouterr().err == (waited if "answers" in message else "")


@pytest.fixture
def of_two(monkeypatch):
    """Returns a function that sets what the second process would say."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return lambda said, at=None: monkeypatch.setattr(
        hosts,
        "_gathered",
        lambda own: [own, json.dumps([at or json.loads(own)[0], said]).encode()],
    )


def test_a_difference_between_hosts_is_named(of_two):
    of_two({"version.jax": "0.10.1", "data": "a"})
    with pytest.raises(
        InputError, match=r"process 1 differs .*version.jax is 0.10.1 there and 0.10.2 here"
    ):
        hosts.check_alike("the start", {"version.jax": "0.10.2", "data": "a"})
    hosts.check_alike("the start", {"version.jax": "0.10.1", "data": "a"})


def test_processes_at_two_places_are_named(of_two):
    of_two("", at="saving step 2")
    with pytest.raises(
        RunError, match="process 1 is at 'saving step 2' and process 0 at 'the start'"
    ):
        hosts.of_all("the start", "")


def test_hosts_with_other_numbers_of_devices_are_named(monkeypatch):
    devices = [SimpleNamespace(process_index=process) for process in (0, 1, 1)]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    with pytest.raises(InputError, match=r"process 1 differs .*: it has 2 devices, and that has 1"):
        hosts._check_devices()


def test_a_folder_that_is_not_shared_is_said(of_two, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "agreed", lambda at, decide: decide())
    of_two(False)
    with pytest.raises(InputError, match="workdir: process 1 does not see"):
        hosts.check_folder(tmp_path / "runs")
    of_two(True)
    hosts.check_folder(tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_a_process_that_takes_no_step_says_where_it_is(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    reading, writing = os.pipe()
    with open(reading) as said:
        with (
            open(writing, "w") as file,
            process.traces_when_stuck(0.01, file) as still_going,
        ):
            still_going()
            first = said.readline()  # waits for the traces, of which other threads may come first
        rest = said.read()
    assert first.startswith("Timeout (0:00:00.01")
    assert "test_processes.py" in rest


@pytest.mark.parametrize(("processes", "count"), [(1, 0), (2, 1)])
def test_one_process_waits_for_nobody_and_none_is_watched_anew_at_each_step(
    monkeypatch, processes, count
):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    monkeypatch.setattr(process.faulthandler, "dump_traceback_later", armed := Calls())
    with process.traces_when_stuck(1e6) as still_going:
        still_going(), still_going()
    assert armed.count == count


class Calls:
    """A function that counts how often it is called."""

    count = 0

    def __call__(self, *arguments, **options):
        self.count += 1
