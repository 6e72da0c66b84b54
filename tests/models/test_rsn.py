"""RSN: the heatmaps of all its units, and resizing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes, small_rsn

from kpjax.models.layers import resize_bilinear

IMAGES = np.random.default_rng(1).normal(size=(2, 64, 32, 3)).astype(np.float32)


def test_all_units_predict_heatmaps():
    """The head reads them from the trunk's maps."""
    network = small_rsn(3)
    variables = drawn(shapes(network))
    head = {collection: tree["head"] for collection, tree in variables.items()}

    def run(variables):
        maps = network.apply(variables, IMAGES, False, method="backbone_features")
        every = (
            *network.head.apply(head, maps, False, method="coarse"),
            network.head.apply(head, maps[0], False),
        )
        return maps, every

    maps, every = jax.jit(run)(variables)
    assert [map_.shape for map_ in maps] == [
        (2, 64 // stride, 32 // stride, 8) for stride in (4, 8, 16, 32)
    ]
    assert [(map_.shape, map_.dtype) for map_ in every] == 4 * [((2, 16, 8, 3), jnp.float32)]
    for number in range(4):
        largest = np.abs(every[number]).max()
        assert all(np.abs(every[number] - other).max() > 1e-2 * largest for other in every[:number])


def test_it_starts_near_zero_and_with_the_parameters_of_all_units():
    """A fresh head's heatmaps are small beside targets of peak 1, of any features; drawn by itself
    it has one unit.

    A pass that runs no coarse unit hands on the statistics of those too.
    """
    network = small_rsn(3)
    features = np.random.default_rng(2).normal(size=(2, 16, 8, 8)).astype(np.float32)
    heatmaps, alone = jax.jit(lambda key: network.head.init_with_output(key, features, True))(
        jax.random.key(0)
    )
    assert heatmaps.shape == (2, 16, 8, 3)
    assert 0.5 / 255 < np.std(heatmaps) < 1.1 / 255
    assert set(alone["params"]) == {"stage0_up4"}
    fresh = shapes(network)
    assert sorted(fresh["params"]["head"]) == [f"stage0_up{unit}" for unit in (1, 2, 3, 4)]
    _, moved = jax.eval_shape(
        lambda v: network.apply(v, IMAGES, True, mutable=["batch_stats"]), fresh
    )
    assert jax.tree.map(jnp.shape, moved["batch_stats"]) == jax.tree.map(
        jnp.shape, fresh["batch_stats"]
    )


@pytest.mark.parametrize(
    ("before", "after"), [((4, 3), (8, 6)), ((1, 1), (4, 2)), ((2, 4), (16, 4)), ((3, 5), (1, 7))]
)
def test_resizing_keeps_corners_and_planes(before, after):
    """A linear function of the pixel's place stays one, whose corners are those of the old map."""
    rows, columns = (np.linspace(0, 1, side) for side in before)
    plane = (rows[:, None] * 3 - columns[None, :] * 2 + 0.5)[None, :, :, None].astype(np.float32)
    resized = jax.jit(resize_bilinear, static_argnums=1)(plane, after)
    rows, columns = (
        np.linspace(0, 1, side) if old > 1 else np.zeros(side)
        for side, old in zip(after, before, strict=True)
    )
    np.testing.assert_allclose(
        resized[0, :, :, 0], rows[:, None] * 3 - columns[None, :] * 2 + 0.5, atol=1e-6
    )
    assert resize_bilinear(plane.astype(jnp.bfloat16), after).dtype == jnp.bfloat16
