"""Sampling by products equals sampling by gathers, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry
from kpjax.augment import random_maps
from kpjax.tiled_sampling import WHOLE, _weights, sample_by_products

BATCH = 2
DRAWS = {
    "affine": random_maps.draw_affine(
        degrees=180.0, scale=(0.4, 2.0), shift=0.2, shear_degrees=30.0
    ),
    "homography": random_maps.draw_homography(0.45),
    "square crop": random_maps.draw_square_crop((0.1, 1.0)),
}


def by_gathers(images, x, y):
    """The four pixels around each place, as `geometry.sample` takes them on other platforms."""
    column, row = (
        jnp.clip(jnp.floor(jax.lax.stop_gradient(place)).astype(jnp.int32), 0, side - 2)
        for place, side in ((x, images.shape[2]), (y, images.shape[1]))
    )
    right, lower = (
        (x - column.astype(jnp.float32))[..., None],
        (y - row.astype(jnp.float32))[..., None],
    )

    def tap(down, across):
        return jax.vmap(lambda image, row, column: image[row, column])(
            images, row + down, column + across
        )

    return (1 - lower) * ((1 - right) * tap(0, 0) + right * tap(0, 1)) + lower * (
        (1 - right) * tap(1, 0) + right * tap(1, 1)
    )


def drawn(draw, key, source, size):
    """Origins in a source of some size of the pixels of a result, clipped to it: x and y (BATCH,
    *size).
    """
    maps = jax.vmap(lambda key: draw(key, source))(jax.random.split(key, BATCH))
    grid = geometry.pixel_grid(*size) * (jnp.float32(source[1]) / size[1])
    places = geometry.move_points(geometry.invert(maps), grid).reshape(BATCH, *size, 2)
    return jnp.clip(places[..., 0], 0, source[1] - 1), jnp.clip(places[..., 1], 0, source[0] - 1)


@jax.jit
def difference(images, x, y):
    return jnp.abs(sample_by_products(images, x, y) - by_gathers(images, x, y)).max()


def normal(*shape):
    return np.random.default_rng(0).normal(size=(BATCH, *shape)).astype(np.float32)


@pytest.mark.parametrize("kind", sorted(DRAWS))
@pytest.mark.parametrize(("source", "size"), [((100, 100), (40, 33)), ((20, 20), (24, 17))])
def test_every_map_of_a_family_samples_the_same(kind, source, size):
    # both forms of the source: cut into regions, and whole
    assert (max(source) > WHOLE) == (source[0] == 100)
    images = normal(*source, 2)
    places = jax.jit(lambda key: drawn(DRAWS[kind], key, source, size))
    assert (
        max(difference(images, *places(key)) for key in jax.random.split(jax.random.key(1), 4))
        < 1e-5
    )


@pytest.mark.parametrize("source", [(90, 110), (30, 20)])
def test_gradients_are_the_same(source):
    images, pull = normal(*source, 3), normal(35, 40, 3)
    places = jax.jit(lambda key: drawn(DRAWS["affine"], key, source, (35, 40)))(jax.random.key(2))
    ours, theirs = (
        jax.jit(lambda *given, form=form: jax.vjp(form, *given)[1](pull))(images, *places)
        for form in (sample_by_products, by_gathers)
    )
    inside = [
        (place > 0) & (place < side - 1)
        for place, side in zip(map(np.asarray, places), source[::-1], strict=True)
    ]
    for one, other, counts in zip(ours, theirs, (True, *inside), strict=True):
        np.testing.assert_allclose(np.where(counts, one, 0), np.where(counts, other, 0), atol=2e-5)


def halves(array):
    """An array as the sum of two of bfloat16, in float32."""
    high = array.astype(jnp.bfloat16).astype(jnp.float32)
    return high, (array - high).astype(jnp.bfloat16).astype(jnp.float32)


def test_three_products_of_bfloat16_keep_a_blob_in_its_place():
    """What a TPU computes under `Precision.HIGH`, beside one product, which does not."""
    side = 64
    pixels = jnp.arange(side, dtype=jnp.float32)
    places = jnp.linspace(20.0, 44.0, 200, dtype=jnp.float32)
    blob = jnp.exp(-jnp.square(pixels - 31.3) / 8)
    weights = _weights(places[None, None], side)[0, 0]

    def middle_and_errors(sampled):
        middle = (sampled * places).sum() / sampled.sum()
        return float(abs(middle - expected_middle)), float(abs(sampled - expected).max())

    exact = jax.lax.Precision.HIGHEST
    (high, low), (most, rest) = halves(blob), halves(weights)
    expected = jnp.dot(blob, weights, precision=exact)
    expected_middle = (expected * places).sum() / expected.sum()
    one = jnp.dot(high, most, precision=exact)
    three = one + jnp.dot(high, rest, precision=exact) + jnp.dot(low, most, precision=exact)
    at = jnp.zeros((1, 4, 4))
    traced = str(jax.make_jaxpr(sample_by_products)(jnp.zeros((1, side, side, 1)), at, at))
    assert "Precision.HIGH" in traced
    assert "Precision.HIGHEST" not in traced
    moved, wrong = middle_and_errors(three)
    assert moved < 1e-5
    assert wrong < 2e-5
    assert middle_and_errors(one)[1] > 1e-3


def test_a_place_that_is_no_number_leaves_the_others_alone():
    images = normal(WHOLE + 1, WHOLE + 1, 1)[:1]
    x, y = (np.float32(place)[None] for place in np.meshgrid(np.arange(5), np.arange(4)))
    x[0, 1, 2] = np.nan
    found = np.array(jax.jit(sample_by_products)(images, x, y))
    assert np.isnan(found[0, 1, 2, 0])
    found[0, 1, 2] = images[0, 1, 2]
    np.testing.assert_allclose(found, images[:, :4, :5], atol=1e-6)
