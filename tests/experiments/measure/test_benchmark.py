"""The benchmark times and prints what it says. Times of tiny networks mean nothing."""

import importlib.util
import json

import pytest

from experiments.measure.benchmark import pytorch, run
from experiments.measure.benchmark.timing import Effort
from kpjax.papers.configs import replace_fields

ONCE = Effort(rounds=1, seconds=0.01)


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run(["pytorch", "--rounds", "1", "--json", str(tmp_path / "rows.json")])
    assert "not installed: pip install torch" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())[0]["figure"] is None


@pytest.mark.slow
def test_rows_run_on_tiny_networks(monkeypatch):
    """A twin with another number of parameters is refused."""
    pytest.importorskip("torchvision", reason="compares with PyTorch")
    usual = next(iter(pytorch.CPU.values()))
    tiny = replace_fields(usual, image_size=32, heatmap_size=8, batch_size=2)
    monkeypatch.setattr(pytorch, "CPU", {"tiny": tiny})
    assert [row.figure.low > 0 for row in pytorch.rows(ONCE)] == [True, True]
