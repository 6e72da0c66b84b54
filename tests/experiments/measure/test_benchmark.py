"""The benchmark times and prints what it says. Times of tiny networks mean nothing."""
import importlib.util
import json
import re
from pathlib import Path

import pytest

from experiments import system_of
from experiments.measure.benchmark import input, pytorch, run, timing
from experiments.measure.benchmark.timing import Effort, compared
from kpjax.systems.command_line import read_command
from kpjax.systems.configs import changed

ONCE = Effort(rounds=1, seconds=0.01)


class Clock:
    """A clock that calls move; it goes on by a tick whenever it is read, as no call takes no time."""

    def __init__(self):
        self.now = 0.0

    def pass_by(self, seconds):
        self.now += seconds

    def perf_counter(self):
        self.now += 2.0**-20
        return self.now

    process_time = perf_counter


def test_turns_are_interleaved(monkeypatch):
    """A call of `a` takes 0.25 s and one of `b` half as long, so that a turn of half a second has two or four calls."""
    clock, order = Clock(), []
    monkeypatch.setattr(timing, "time", clock)

    def call(name, seconds):
        order.append(name)
        clock.pass_by(seconds)

    times = Effort(rounds=3, seconds=0.5).times(
        {"a": lambda: call("a", 0.25), "b": lambda: call("b", 0.125)})
    assert order == ["a", "a", "b", "b", *["a", "a", "b", "b", "b", "b"] * 3]
    assert times["a"].wall == times["a"].processor == pytest.approx((0.25,) * 3, rel=1e-4)
    assert compared("", times["a"], times["b"]).figure == pytest.approx((2.0, 2.0, 2.0), rel=1e-4)


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run(["pytorch", "--rounds", "1", "--json", str(tmp_path / "rows.json")])
    assert "PyTorch is not installed" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())[0]["figure"] is None


@pytest.mark.slow
def test_rows_run_on_tiny_networks(monkeypatch):
    crop = input.CROPS["whole images"]
    assert len(list(input.ways_rows(ONCE, "whole images", *crop, input.photographs(1, 64, 48)))) == 3
    tiny = changed(input.DEMO, image_size=16, heatmap_size=4, widths=(4, 4, 4), head_width=4, batch_size=2)
    monkeypatch.setattr(input, "DEMO", tiny)
    assert input.step_row(ONCE).figure.low > 0


@pytest.mark.slow
def test_rows_beside_pytorch_run_on_a_tiny_network(monkeypatch):
    """A twin with another number of parameters is refused."""
    pytest.importorskip("torchvision", reason="compares with PyTorch")
    tiny = changed(input.DEMO, image_size=16, heatmap_size=4, widths=(4, 4, 4), head_width=4, batch_size=2)
    monkeypatch.setattr(pytorch, "NETWORKS", {"tiny": tiny})
    assert [row.figure.low > 0 for row in pytorch.rows(ONCE)] == [True, True]


def test_half_an_hour_on_a_gpu_names_what_there_is():
    """Systems, presets, variants and flags of its calls, at full length."""
    script = (Path(__file__).parents[3] / "experiments/launch/half_hour.sh").read_text("utf-8").replace("\\\n", "")
    calls = re.findall(r'\brun (\w+) (\w+) "([^"]+)"([^;\n]*)', script)
    assert len(calls) == 5
    for system, preset, variants, flags in calls:
        typed = re.sub(r"\$\(steps([^)]*)\)", r"\1", flags).split()
        assert read_command(system_of(system), [preset, "--variants", *variants.split(), *typed]).variants
