"""Numbers that the papers print."""
import importlib
from fnmatch import fnmatchcase

import pytest

from kpjax.systems import paper_numbers as module
from kpjax.systems.paper_numbers import lines_of, paper_numbers


@pytest.mark.parametrize("name", sorted(path.parent.name for path in module.SYSTEMS.glob("*/paper.txt")))
def test_every_line_is_of_a_preset_and_a_variant(name):
    system = importlib.import_module(f"experiments.{name}").SYSTEM
    assert lines_of(name)
    for line in lines_of(name):
        assert line.numbers, line
        assert line.keys.get("variant", next(iter(system.variants))) in system.variants, line
        assert any(fnmatchcase(preset, line.keys.get("preset", "*")) for preset in system.presets), line


def test_the_first_table_counts_and_no_line_has_keys_that_were_not_given(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SYSTEMS", tmp_path)
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "paper.txt").write_text(
        "A paper\n\n[one]\nA remark.\n\nvariant share | a b\nours 0.5 | 1 -\nall * | 2 3\n\n"
        "[two]\nvariant | a b\nours | 4 5\n")
    assert paper_numbers("made_up", variant="ours", share=0.5) == {"a": 1.0, "b": 5.0}
    assert paper_numbers("made_up", variant="ours") == {"a": 4.0, "b": 5.0}
    assert paper_numbers("made_up", variant="all", share=10) == {"a": 2.0, "b": 3.0}
    assert paper_numbers("made_up", variant="all") == paper_numbers("no_paper", variant="ours") == {}
