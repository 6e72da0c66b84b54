"""The bottleneck's arithmetic, by numbers from Keypoint Pyramids, and the generator around it."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.models.image_generation import (
    ImageEncoder,
    draw_normalised_points,
    image_generator,
    image_generator_for,
    normalised_points,
    normalised_points_by_axis,
    upsample_bilinear,
)
from kpjax.models.layers import GroupNorm

close = functools.partial(np.testing.assert_allclose, atol=2e-6, rtol=2e-6)


def one_map(side, **cells):
    """(1, side, side, 1) zeros but for cells named r<row>c<column>."""
    values = np.zeros((1, side, side, 1), np.float32)
    for name, value in cells.items():
        row, column = map(int, name[1:].split("c"))
        values[0, row, column] = value
    return jnp.asarray(values)


@pytest.mark.parametrize(("heatmaps", "jointly", "by_axis"), [
    (one_map(3, r0c2=np.log(9)), (8 / 17, -8 / 17), (0.264721, -0.264721)),
    (one_map(16, r3c12=1000), (0.6, -0.6), (0.6, -0.6)),
    (one_map(16), (0, 0), (0, 0)),
    (one_map(16, r3c12=5), (0.219249, -0.219249), (0.013448, -0.013448)),
], ids=["three cells", "one sure cell", "flat", "one likely cell"])
def test_points_are_the_mean_positions(heatmaps, jointly, by_axis):
    close(normalised_points(heatmaps)[0, 0], jointly)
    close(normalised_points_by_axis(heatmaps)[0, 0], by_axis)


def test_sharpness_multiplies_the_heatmap():
    heatmaps = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    for read in (normalised_points, normalised_points_by_axis):
        close(read(heatmaps, sharpness=4.0), read(4 * heatmaps))


def test_the_corners_of_a_map_that_is_not_square_are_at_one():
    heatmaps = jnp.zeros((1, 5, 9, 2)).at[0, 0, 0, 0].set(1e4).at[0, 4, 8, 1].set(1e4)
    for read in (normalised_points, normalised_points_by_axis):
        close(read(heatmaps)[0], [[-1, -1], [1, 1]])


def test_blobs():
    draw = jax.jit(draw_normalised_points, static_argnums=(1, 2))
    row = np.asarray(draw(np.float32([[0.5, 0.0]]), (5, 5), 0.5))[..., 0]
    close(row[2], np.exp([-9, -4, -1, 0, -1]))
    close(row.sum(), 3.109123)
    middle = np.zeros((1, 2), np.float32)
    for cells, width, highest, total in [(16, 0.1, 0.411112, 1.739819), (32, 0.1, 0.812112, 7.547676),
                                         (16, 0.2, 0.800737, 7.068583), (32, 0.2, 0.949301, 30.190705)]:
        blob = np.asarray(draw(middle, (cells, cells), width))
        close(blob.max(), highest)
        close(blob.sum(), total, rtol=1e-5)
    at_a_cell = np.asarray(draw(np.float32([[0.6, -0.6]]), (16, 16)))[..., 0]
    close([at_a_cell[3, 12], at_a_cell[3, 13], at_a_cell[4, 13]], [1, 0.169013, 0.028566])
    assert jax.eval_shape(lambda points: draw(points, (6, 8)), jnp.zeros((2, 3, 4, 2))).shape == (2, 3, 6, 8, 4)
    with pytest.raises(ValueError, match="two cells"):
        draw(middle, (1, 8))


def test_heatmaps_to_points_to_blobs():
    heatmaps = one_map(4, r0c0=2, r2c2=1)
    points = normalised_points(heatmaps)
    close(points[0, 0], [-0.241267, -0.241267])
    blob = draw_normalised_points(points, (4, 4), 0.5)[0, ..., 0]
    close([blob[1, 1], blob[0, 1], blob[1, 0], blob[2, 2]], [0.934438, 0.096655, 0.096655, 0.071267])


def test_upsampling_has_half_pixel_centres():
    line = jnp.array([0.0, 1.0, 4.0]).reshape(1, 1, 3, 1)
    close(upsample_bilinear(line)[0, 0, :, 0], [0, 0.25, 0.75, 1.75, 3.25, 4])
    maps = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    close(upsample_bilinear(maps), jax.image.resize(maps, (2, 6, 10, 4), "bilinear"), atol=1e-6)


def test_imm_has_its_sizes():
    generator = image_generator()
    images, points = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32), jax.ShapeDtypeStruct((2, 10, 2), jnp.float32)
    painted, variables = jax.eval_shape(
        lambda x, p: generator.init_with_output(jax.random.key(0), x, p, train=False), images, points)
    assert (painted.shape, painted.dtype) == ((2, 128, 128, 3), jnp.float32)
    kernels = {part: [layer["kernel"].shape for name, layer in sorted(layers.items(), key=lambda item: len(item[0]))
                      if name.startswith("conv")] for part, layers in variables["params"].items()}
    assert kernels["encoder"] == [
        (7, 7, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (3, 3, 64, 64), (3, 3, 64, 128), (3, 3, 128, 128),
        (3, 3, 128, 256), (3, 3, 256, 256)]
    assert kernels["renderer"] == [
        (3, 3, 266, 256), (3, 3, 256, 256), (3, 3, 256, 128), (3, 3, 128, 128), (3, 3, 128, 64), (3, 3, 64, 64),
        (3, 3, 64, 32)]
    # The image encoder of Keypoint Pyramids is the same, one width shorter.
    features = jax.eval_shape(lambda x: ImageEncoder((32, 64, 128)).init_with_output(
        jax.random.key(0), x, train=False)[0], images)
    assert features.shape == (2, 32, 32, 128)


@pytest.mark.parametrize(("side", "scales"), [(8, 1), (16, 1), (31, 1), (32, 2), (64, 3), (96, 3), (128, 4), (256, 4)])
def test_small_images_keep_enough_cells_for_the_blobs(side, scales):
    assert image_generator_for(side).encoder.widths == (32, 64, 128, 256)[:scales]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_image_follows_its_points_and_they_get_a_gradient(dtype):
    generator = image_generator((4, 8), normalization=functools.partial(GroupNorm, groups=2), dtype=dtype)
    images = jax.random.uniform(jax.random.key(1), (2, 8, 12, 3))
    shapes = jax.eval_shape(lambda p: generator.init(jax.random.key(0), images, p, train=False), jnp.zeros((2, 3, 2)))
    random = np.random.default_rng(0)  # quicker than to compile `init`
    variables = jax.tree.map(lambda leaf: jnp.asarray(random.normal(0.1, 0.3, leaf.shape), leaf.dtype), shapes)

    @jax.jit
    def run(points):
        def brightness(points):
            painted = generator.apply(variables, images, points, train=True)
            return jnp.square(painted).mean(), painted

        gradient, painted = jax.grad(brightness, has_aux=True)(points)
        return painted, gradient

    painted, gradient = run(jnp.zeros((2, 3, 2)))
    assert (painted.shape, painted.dtype) == ((2, 8, 12, 3), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max((1, 2)) > 0).all()
    moved, _ = run(jnp.full((2, 3, 2), 0.5))
    assert np.abs(moved - painted).max() > 0
