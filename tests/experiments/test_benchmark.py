"""The benchmark counts, times and prints what it says."""
import json
import time
from dataclasses import replace

import pytest

from experiments.benchmark import line, parse, run
from experiments.benchmark.incremental import DEMO as INCREMENTAL_DEMO
from experiments.benchmark.incremental import importance_row, step_rows
from experiments.benchmark.multiply_adds import head_share, multiply_adds, regda_bound
from experiments.benchmark.rows import Effort, Row, regda_rows
from experiments.benchmark.semi_supervised import DEMO as SEMI_SUPERVISED_DEMO
from experiments.benchmark.semi_supervised import product_rows, step_row
from experiments.benchmark.steps import DEMO
from experiments.benchmark.timing import Samples, Spread, interleaved, processor_ratio, ratio
from kpjax.errors import InputError
from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet

TINY = replace(DEMO, image_size=16, heatmap_size=4, widths=(4, 4, 4), head_width=4, batch_size=2)


@pytest.mark.parametrize(("depth", "expected"), [(101, 2.28), (18, 2.65)])
def test_bound_of_pose_resnet_at_256_px(depth, expected):
    assert regda_bound(head_share(multiply_adds(pose_resnet(depth, 21, head_layers=2), 256))) == pytest.approx(
        expected, abs=0.005)


def test_multiply_adds_of_a_network_counted_by_hand():
    counts = multiply_adds(small_unet(5, widths=(4, 8, 8), head_layers=2, head_width=6), 16)
    assert counts["backbone"] == 8 * 8 * 9 * 3 * 4 + 4 * 4 * 9 * (4 * 8 + 8 * 8 + 8 * 8)
    assert counts["head"] == 4 * 4 * (9 * 8 * 6 + 6 * 5)
    # A transposed convolution of stride 2 uses each weight once for every pixel of its input.
    deep = multiply_adds(pose_resnet(18, 5), 32)
    assert deep["upsampling"] == 16 * (512 * 256 + 256 * 256 * 4 + 256 * 256 * 16)


def test_turns_are_interleaved_and_the_ratio_is_of_rounds():
    order = []

    def call(name, seconds):
        order.append(name)
        time.sleep(seconds)

    times = interleaved({"a": lambda: call("a", 0.004), "b": lambda: call("b", 0.001)}, rounds=3, seconds=0.001,
                        warm_up=1)
    assert order[:2] == ["a", "b"]
    assert [name for n, name in enumerate(order[2:]) if n == 0 or order[2:][n - 1] != name] == ["a", "b"] * 3
    assert ratio(times["a"], times["b"]).median > 1.5
    slow, fast = Samples((2.0, 9.0, 4.0), (2.0, 2.0, 2.0)), Samples((1.0, 3.0, 4.0), (1.0, 1.0, 1.0))
    assert ratio(slow, fast) == Spread(2.0, 1.0, 3.0)
    assert processor_ratio(slow, fast) == 2.0


def test_verdicts():
    two = Spread(2.0, 1.5, 2.5)
    rows = [Row("", two, bar=2.3), Row("", two, bar=1.9), Row("", two, bar=1.9, at_most=False),
            Row("", two, bar=2.3, at_most=False), Row("", two), Row("")]
    assert [row.verdict for row in rows] == ["pass", "over", "pass", "under", "", "not run"]
    assert "2.3" in line(Row("some ratio", two, bar=2.3, note="why"))
    assert "needs" in line(Row("some ratio", note="needs an accelerator"))


def test_a_small_row_is_measured():
    rows = list(regda_rows(Effort(rounds=2, seconds=0.01), [("tiny", TINY, 1e9)]))
    assert [row.verdict for row in rows][1] == "pass"
    assert 0 < rows[0].figure.low <= rows[0].figure.median <= rows[0].figure.high
    assert "1.10 x bound" in rows[0].note


def test_the_semi_supervised_rows_are_measured():
    tiny = replace(SEMI_SUPERVISED_DEMO, image_size=16, heatmap_size=4, widths=(4, 4, 4), head_width=4, feature_width=4,
                   batch_size=4)
    effort = Effort(rounds=1, seconds=0.01)
    found = [step_row(effort, "tiny", tiny, keypoints=3), *product_rows(effort, batch=1, side=8, keypoints=2)]
    assert [row.bar for row in found] == [2.2, 0.25, None]
    assert all(row.figure.median > 0 for row in found)


def test_the_incremental_rows_are_measured():
    tiny = replace(INCREMENTAL_DEMO, image_size=16, heatmap_size=4, widths=(4, 4, 4), batch_size=8)
    effort = Effort(rounds=1, seconds=0.01)
    found = [*step_rows(effort, "tiny", tiny, 4, ("ewc", "kamp")), importance_row(effort, "tiny", tiny, 4)]
    assert [row.bar for row in found] == [1.3, 1.8, None]
    assert all(row.figure.median > 0 for row in found)


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    run(["accelerator", "--rounds", "1", "--json", str(tmp_path / "rows.json")])
    printed = capsys.readouterr().out
    assert "verdict" in printed
    assert "needs an accelerator" in printed
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert stored[0]["verdict"] == "not run"


@pytest.mark.parametrize(("arguments", "named"), [
    (["sppeed"], "sppeed"), (["--rounds", "0"], "--rounds"), (["--roundz", "3"], "--roundz"),
    (["--rounds", "many"], "many"), (["import", "--json", "/nowhere/rows.json"], "/nowhere")])
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        parse(arguments)
