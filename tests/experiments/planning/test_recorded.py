"""Plans in results files, and their tables."""
import json

import pytest

from experiments.engine.pages import table_text
from experiments.engine.results import Numbers, read_results
from experiments.engine.system import system_of
from experiments.planning.recorded import record
from experiments.planning.tables import HOURS, MEMORY, SPLIT, STAGES
from kpjax import InputError

PLAN = {"system": "pyramids", "preset": "h36m", "chips": "v5e-16", "settings": {"dtype": "bfloat16"}, "stages": [{
    "stage": "pyramids", "steps": 100, "commit": "abc1234", "memory": {"total": 2.0**31, "available": 2.0**34},
    "collectives": 7, "collective_bytes": 2.0**20,
    "parts": {"forward": {"seconds": 0.002}, "collectives": {"seconds": 0.001}},
    "times": {"step": 0.003, "hours": 1.5, "chip_hours": 24.0, "images": 100.0}, "weak_scaling": []}]}


def test_a_plan_enters_the_tables(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN), encoding="utf-8")
    assert record([tmp_path / "plan.json"], tmp_path) == record([tmp_path / "plan.json"], tmp_path)
    rows = read_results(tmp_path)
    assert {row.commit for row in rows} == {"abc1234"}
    numbers = Numbers(rows)
    assert "| pyramids, h36m: pyramids | 2.00 | not run | not run |" in table_text(MEMORY, numbers)
    assert "| pyramids, h36m: pyramids | 1.5 | not run | not run | 24 |" in table_text(HOURS, numbers)
    line = next(line for line in table_text(SPLIT, numbers).splitlines() if line.startswith("| pyramids, h36m"))
    assert "2.00" in line
    assert "| 1.00 |" in line  # milliseconds of collectives, not their count


def test_another_file_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="is no plan that `kpjax plan --json` wrote"):
        record([tmp_path / "plan.json"], tmp_path)


@pytest.mark.parametrize("place", STAGES)
def test_tables_name_presets_and_variants_that_there_are(place):
    name, _, preset = place.partition("/")
    system = system_of(name)
    assert preset in system.presets
    assert STAGES[place][0] in system.applicable(preset, system.presets[preset])
