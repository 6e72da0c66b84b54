"""How processes find each other and what they compare, without a second process: see test_processes for two."""
import pickle

import jax
import pytest

from kpjax.errors import InputError
from kpjax.training import hosts


@pytest.mark.parametrize(("arguments", "message"), [
    ({"coordinator": "node"}, "coordinator: 'node' is no HOST:PORT"),
    ({"coordinator": "node:x"}, "is no HOST:PORT"),
    ({"num_processes": 0}, "num_processes: 0; must be at least 1"),
    ({"coordinator": "node:1", "num_processes": 2, "process_id": 2}, "process_id: 2; give 0 to 1"),
    ({"process_id": 0}, "coordinator: give it with .process_id"),
    ({"coordinator": "localhost:1", "num_processes": 2, "process_id": 1},
     "coordinator: nothing answers at localhost:1 for 0.3 s .*refused.*; start process 0")])
def test_what_cannot_be_joined_is_said_in_one_line(arguments, message, monkeypatch):
    monkeypatch.setattr(hosts, "PATIENCE", 0.3)
    with pytest.raises(InputError, match=message):
        hosts.join(**arguments)


@pytest.fixture
def of_two(monkeypatch):
    """Returns a function that sets what the second process would say."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return lambda said: monkeypatch.setattr(hosts, "of_all", lambda content: [content, said])


def test_a_difference_between_hosts_is_named(of_two):
    of_two(pickle.dumps({"version.jax": "0.10.1", "data": "a"}))
    with pytest.raises(InputError, match=r"process 1 differs .*version.jax is 0.10.1 there and 0.10.2 here"):
        hosts.check_alike({"version.jax": "0.10.2", "data": "a"})
    hosts.check_alike({"version.jax": "0.10.1", "data": "a"})


def test_a_folder_that_is_not_shared_is_said(of_two, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "agreed", lambda decide: decide())
    of_two(b"\0")
    with pytest.raises(InputError, match="workdir: process 1 does not see"):
        hosts.check_folder(tmp_path / "runs")
    of_two(b"\1")
    hosts.check_folder(tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())
