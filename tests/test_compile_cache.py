"""Compiled programs are kept, by every command and by `fit`."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from kpjax.compile_cache import keep_programs

DIR, LEAST = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
CACHES = "jax_persistent_cache_enable_xla_caches"
FIT = """
import sys
from collections import Counter

import jax
from tiny import Batches, tiny

from kpjax import compile_cache
from kpjax.training.fit import FitOptions, fit

compile_cache.SECONDS = 0.0  # all of these programs are small
events = Counter()
jax.monitoring.register_event_listener(lambda name, **_: events.update([name]))
options = FitOptions(quiet=True)
key = jax.random.key(0)
fit(tiny(), {"labelled": Batches()}, steps=2, key=key, stage="main", folder=sys.argv[1], config={}, options=options)
cache = "/jax/compilation_cache/cache_"
print(events[cache + "hits"], events[cache + "misses"])
"""


class Config(SimpleNamespace):
    """Stands in for JAX's settings."""

    def update(self, name, value):
        setattr(self, name, value)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Returns the folder of programs, where nobody has named another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in (DIR, LEAST, CACHES):  # what is set below is taken back, too
        monkeypatch.setenv(name.upper(), "")
        monkeypatch.delenv(name.upper())
    return str(tmp_path / "kpjax" / "compiled")


def test_before_jax_is_there_its_environment_names_the_folder(monkeypatch, home):
    monkeypatch.delitem(sys.modules, "jax")
    keep_programs()
    assert (os.environ[DIR.upper()], os.environ[LEAST.upper()]) == (home, "0.2")
    keep_programs("gs://box/runs")
    assert os.environ[DIR.upper()] == "gs://box/runs/compiled"
    assert os.environ[CACHES.upper()] == "none"
    keep_programs()  # a bucket stays
    assert os.environ[DIR.upper()] == "gs://box/runs/compiled"
    monkeypatch.setenv(DIR.upper(), "/of/the/user")
    keep_programs("gs://box/runs")
    assert os.environ[DIR.upper()] == "/of/the/user"


def test_a_program_that_has_jax_keeps_its_own_folder(monkeypatch, home):
    for before, workdir, after in (
        (None, "", home),
        (None, "runs", home),
        (home, "gs://box/runs", "gs://box/runs/compiled"),
        ("gs://box/runs/compiled", "gs://box/runs/regda/demo", "gs://box/runs/compiled"),
        ("/of/the/user", "gs://box/runs", "/of/the/user"),
    ):
        config = Config(**{DIR: before})
        monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
        keep_programs(workdir)
        assert config.jax_compilation_cache_dir == after


def test_a_folder_that_takes_no_file_is_left_alone(monkeypatch, home, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    config = Config(**{DIR: None})
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    keep_programs()
    assert config.jax_compilation_cache_dir is None


@pytest.mark.slow
def test_a_script_that_comes_again_compiles_nothing_anew(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FIT)
    found = []
    for number in range(2):
        environment = os.environ | {
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join([os.getcwd(), "tests/training"]),
        }
        environment.pop(DIR.upper(), None)
        command = [sys.executable, str(script), str(tmp_path / f"run{number}")]
        said = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=240
        ).stdout
        found.append(tuple(map(int, said.split()[-2:])))
    (first_hits, first_misses), (hits, misses) = found
    assert first_misses > first_hits
    assert (hits, misses) == (first_hits + first_misses, 0)
