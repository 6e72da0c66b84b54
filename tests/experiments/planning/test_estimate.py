"""Parts of a step, floors and hours, by closed forms."""
import jax
import jax.numpy as jnp
import pytest

from experiments.planning.chips import slice_of
from experiments.planning.estimate import Part, part_of, row_seconds, times_of
from experiments.planning.flops import product_flops
from experiments.planning.hlo import Frame, Rows
from experiments.planning.report import weak_scaling

LAYER = (Frame("/c/kpjax/methods/gradient_step.py", "gradient_step"), Frame("/c/kpjax/models/layers.py", "__call__"))


@pytest.mark.parametrize(("path", "stack", "part"), [
    ("jit(step)/jvp(Net)/conv1", LAYER, "forward"),
    ("jit(step)/Net/conv1", LAYER, "forward"),
    ("jit(step)/transpose(jvp(Net))/conv1", LAYER, "backward"),
    ("jit(step)/div", (Frame("/c/kpjax/methods/forward.py", "unit_range"),), "input"),
    ("jit(step)/gather", (Frame("/c/kpjax/augment/augmentations.py", "warp"), Frame("/c/kpjax/geometry.py", "sample")),
     "augmentation"),
    ("jit(step)/add", (Frame("/c/kpjax/optimization.py", "descend"), Frame("/p/optax/transform.py", "update")),
     "optimizer"),
    ("jit(step)/exp", (Frame("/c/kpjax/losses/heatmap.py", "heatmap_kl"),), "terms"),
    ("jit(step)/add", (Frame("/c/kpjax/training/fit.py", "step"),), "other"),
    ("", (), "")])
def test_parts_by_files_and_transforms(path, stack, part):
    assert part_of(path, stack) == part


def test_rows_cost_what_the_compiler_counts():
    tpu, gpu = slice_of("v5e-8"), slice_of("h100-8")
    pixels = Rows("gather", 1000, 3, 4)
    assert row_seconds(pixels, tpu) == pytest.approx(1000 * 16 * 4096 / tpu.chip.bandwidth)
    assert row_seconds(Rows("gather", 1000, 1, 4), tpu) == pytest.approx(1000 * 4096 / tpu.chip.bandwidth)
    assert row_seconds(pixels, gpu) == pytest.approx(1000 * 32 / gpu.chip.bandwidth)


def test_times_by_hand():
    slice_ = slice_of("v5e-16")
    parts = {"forward": Part(seconds=0.03, flops=0.01 * slice_.chip.peak, bytes=0.02 * slice_.chip.bandwidth),
             "augmentation": Part(seconds=0.01)}
    times = times_of(parts, slice_, images=512, steps=90_000, read_rate=100.0)
    assert times.step == pytest.approx(0.04)
    assert (times.arithmetic, times.bandwidth) == (pytest.approx(0.01), pytest.approx(0.02))
    assert times.share_of_peak == pytest.approx(0.25)
    assert times.over_network == pytest.approx(4 / 3)
    assert times.images == pytest.approx(512 / 16 / 0.04)
    assert times.input_cores == pytest.approx(8 * 800 / 100)  # eight chips of a host
    assert times.hours == pytest.approx(1.0)
    assert times.chip_hours == pytest.approx(16.0)


def test_weak_scaling_keeps_all_but_collectives():
    slice_ = slice_of("v5e-8")
    record = {"parts": {"collectives": {"seconds": 0.008}}, "collectives": 1000, "collective_bytes": 0.0}
    times = times_of({"forward": Part(0.092), "collectives": Part(0.008)}, slice_, images=8, steps=1, read_rate=1.0)
    found = weak_scaling(record, slice_, times)
    assert [one["chips"] for one in found] == [8, 64, 256]
    assert found[0]["efficiency"] == pytest.approx(0.92)
    assert found[2]["collectives"] == pytest.approx(1000 * 2 * 16 * 1e-6)


def test_products_of_a_traced_step():
    def step(kernel, images, matrix):
        found = jax.lax.conv_general_dilated(images, kernel, (2, 2), "SAME",
                                             dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.scan(lambda carry, _: (carry @ matrix, None), found.reshape(-1, 16), None, length=3)[0]

    shapes = [jnp.zeros(shape) for shape in ((3, 3, 8, 16), (2, 8, 8, 8), (16, 16))]
    count = sum(product_flops(jax.make_jaxpr(step)(*shapes).jaxpr, "tpu").values())
    assert count == 2 * (2 * 4 * 4 * 16) * (3 * 3 * 8) + 3 * 2 * 32 * 16 * 16


def test_products_of_another_platform_do_not_count():
    def step(matrix):
        return jax.lax.platform_dependent(matrix, tpu=lambda one: one @ one, default=lambda one: one + 1)

    jaxpr = jax.make_jaxpr(jax.jit(step))(jnp.zeros((4, 4))).jaxpr
    assert [sum(product_flops(jaxpr, platform).values()) for platform in ("tpu", "cuda")] == [2 * 4**3, 0]
