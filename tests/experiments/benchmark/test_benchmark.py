"""The benchmark counts, times and prints what it says."""
import json

import numpy as np
import pytest

from experiments import incremental, semi_supervised
from experiments.benchmark import input, line, run, systems
from experiments.benchmark.layers import arrays_of, layers_of, our_passes
from experiments.benchmark.multiply_adds import multiply_adds, regda_bound
from experiments.benchmark.pytorch import NETWORKS
from experiments.benchmark.row import Effort, Row, Samples, Spread, compared, ratio
from experiments.benchmark.rows import regda_row
from experiments.benchmark.steps import DEMO, regda_step, supervised_step
from experiments.engine.configs import changed, network_of
from kpjax.errors import InputError
from kpjax.models.layers import DepthwiseConvolution, TransposedConvolution
from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet

SIZES = {"image_size": 16, "heatmap_size": 4, "widths": (4, 4, 4)}
ONCE = Effort(rounds=1, seconds=0.01)


@pytest.mark.parametrize(("depth", "expected"), [(101, 2.28), (18, 2.65)])
def test_bound_of_pose_resnet_at_256_px(depth, expected):
    assert regda_bound(multiply_adds(pose_resnet(depth, 21, head_layers=2), 256)) == pytest.approx(expected, abs=0.005)


def test_multiply_adds_of_a_network_counted_by_hand():
    counts = multiply_adds(small_unet(5, widths=(4, 8, 8), head_layers=2, head_width=6), 16)
    assert counts["backbone"] == 8 * 8 * 9 * 3 * 4 + 4 * 4 * 9 * (4 * 8 + 8 * 8 + 8 * 8)
    assert counts["head"] == 4 * 4 * (9 * 8 * 6 + 6 * 5)
    # A transposed convolution of stride 2 uses each weight once for every pixel of its input.
    deep = multiply_adds(pose_resnet(18, 5), 32)
    assert deep["upsampling"] == 16 * (512 * 256 + 256 * 256 * 4 + 256 * 256 * 16)


def test_turns_are_interleaved_and_the_ratio_is_of_rounds(clock):
    """A call of `a` takes 0.25 s and one of `b` half as long, so that a turn of half a second has two or four calls."""
    order = []

    def call(name, seconds):
        order.append(name)
        clock.pass_by(seconds)

    times = Effort(rounds=3, seconds=0.5).times(
        {"a": lambda: call("a", 0.25), "b": lambda: call("b", 0.125)}, warm_up=1)
    assert order == ["a", "b", *["a", "a", "b", "b", "b", "b"] * 3]
    assert times["a"].wall == times["a"].processor == pytest.approx((0.25,) * 3, rel=1e-4)
    assert ratio(times["a"], times["b"]) == pytest.approx((2.0, 2.0, 2.0), rel=1e-4)


def test_verdicts():
    two = Spread(2.0, 1.5, 2.5)
    rows = [Row("", two, bar=2.3), Row("", two, bar=1.9), Row("", two, bar=1.9, at_most=False),
            Row("", two, bar=2.3, at_most=False), Row("", two), Row("")]
    assert [row.verdict for row in rows] == ["pass", "over", "pass", "under", "", "not run"]
    assert "2.3" in line(Row("some ratio", two, bar=2.3, note="why"))
    assert "needs" in line(Row("some ratio", note="needs an accelerator"))


def test_a_row_compares_two_candidates():
    times = {"slow": Samples((2.0, 9.0, 4.0), (2.0, 2.0, 2.0)), "fast": Samples((1.0, 3.0, 4.0), (1.0, 1.0, 1.0))}
    row = compared("slow / fast", times, "slow", "fast", bar=1.9, note="why")
    assert row == Row("slow / fast", Spread(2.0, 1.0, 3.0), bar=1.9,
                      note="4000.0 ms and 3000.0 ms; processor time 2.00; why")


# Smoke tests: these rows run on tiny networks, whose times mean nothing.


def test_the_rows_of_regda_run():
    tiny = changed(DEMO, **SIZES, head_width=4, batch_size=2)
    row = regda_row("tiny", tiny, 10, ONCE.times({"regda": regda_step(tiny), "supervised": supervised_step(tiny)}))
    assert row.figure is not None
    assert row.bar == pytest.approx(1.1 * regda_bound(multiply_adds(network_of(tiny, 10), 16)))


def test_the_semi_supervised_rows_run():
    tiny = changed(semi_supervised.PRESETS["demo"], **SIZES, head_width=4, feature_width=4, batch_size=4)
    assert "4 images" in systems.ours_row(ONCE, "tiny", tiny, keypoints=3).note
    memory, time_ = systems.product_rows(ONCE, batch=2, side=32)
    assert memory.verdict == "pass"  # counted, not timed
    assert time_.figure is not None


def test_the_incremental_rows_run():
    tiny = changed(incremental.PRESETS["demo"], **SIZES, batch_size=8)
    rows = list(systems.finetuning_rows(ONCE, "tiny", tiny, 4, {"ewc": 1.3, "kamp": 1.8}))
    assert [row.name for row in rows] == [
        "ewc / finetune, tiny", "kamp / finetune, tiny", "fisher of a batch / finetune, tiny"]
    assert rows[0].figure is not None


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    run(["accelerator", "--rounds", "1", "--json", str(tmp_path / "rows.json")])
    printed = capsys.readouterr().out
    assert "verdict" in printed
    assert "needs an accelerator" in printed
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert stored[0]["verdict"] == "not run"


@pytest.mark.parametrize(("arguments", "named"), [
    (["sppeed"], "sppeed"), (["--rounds", "0"], "--rounds"), (["--roundz", "3"], "--roundz"),
    (["--rounds", "many"], "many")])
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(InputError, match=named):
        run(arguments)


def test_the_rows_of_reading_run():
    rows = {row.name: row for row in input.crop_rows(ONCE, input.CROPS[0], input.photographs(1, 64, 48))}
    assert len(rows) == 5
    assert all(row.figure.low > 0 for row in rows.values())
    cores = rows["cores for a host of 4 TPU v4, whole images"]
    assert "PoseResNet-101 takes 4,400 images/s" in cores.note
    for way in ("in full", "reduced", "prepared at size"):
        assert f"{way} " in cores.note


def test_memory_stays_while_batches_are_read(capsys):
    """Decoded at reduced size and prepared at size; an image is 0.2 MB."""
    input.print_memory(100, images=1)
    before, after = (int(number) for number in capsys.readouterr().out.split())
    assert after - before < 3e6


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_all_convolutions_of_a_network_and_their_gradients_are_adjoint(name):
    """Every weight is used once for each position; <pull, y> is <input gradient, x> and <kernel gradient, kernel>."""
    config = NETWORKS[name]
    network = network_of(config, 10)
    found = layers_of(network, 1, config.data.image_size)
    counted = 0
    for layer, count in found.items():
        arrays = arrays_of(layer)
        grid = arrays["x"] if isinstance(layer.module, TransposedConvolution) else arrays["pull"]
        depthwise = isinstance(layer.module, DepthwiseConvolution)
        counted += 0 if depthwise else count * grid[..., 0].size * arrays["kernel"].size
    assert counted == sum(multiply_adds(network, config.data.image_size).values())
    layer = min(found, key=lambda layer: np.prod(layer.shape))
    arrays = arrays_of(layer)
    results = {name: np.asarray(run()) for name, run in our_passes(layer, arrays).items()}
    expected = (results["forward"] * arrays["pull"]).sum()
    for kind, array in (("input gradient", "x"), ("kernel gradient", "kernel")):
        np.testing.assert_allclose((results[kind] * arrays[array]).sum(), expected, rtol=1e-4)
