"""How many compiled programs a process holds."""
import subprocess
import sys
from pathlib import Path

import pytest

from kpjax.training.process import forget_programs

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


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux counts the maps of a process")
def test_programs_are_dropped_above_a_share_of_the_maps():
    """In a process of its own, since those of other tests would be dropped, too."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)


def test_other_systems_have_no_such_limit(monkeypatch):
    def absent(path, *arguments, **options):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", absent)
    assert not forget_programs(share=0.0)
