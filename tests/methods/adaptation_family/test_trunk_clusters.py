"""Clusters of features as landmarks: k-means by hand, and points that follow what they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax.methods.adaptation_family.trunk_clusters import (
    cluster_trunk,
    k_means,
    trunk_clusters_predict,
    trunk_features,
)
from kpjax.models import HeatmapHead, KeypointNetwork
from kpjax.models.hourglass_network import average_pool_pairs
from kpjax.structures import Example, Trained


class Colours(nn.Module):
    """A trunk whose features are the colours of cells of 4 px, and a map too coarse to be read."""

    @nn.compact
    def __call__(self, images, train):
        gain = self.param("gain", nn.initializers.ones, ())
        cells = gain * average_pool_pairs(average_pool_pairs(images))
        return cells, cells.mean((1, 2), keepdims=True)


NETWORK = KeypointNetwork(Colours(), Colours(), HeatmapHead(3))
CORE = {"params": {"backbone": {"gain": np.float32(1)}, "head": {"unread": np.zeros(3)}}}
PURE = np.eye(3, dtype=np.float32)


def painted(places):
    """Images of 32 px with a red, a green and a blue cell at (column, row) on grey."""
    images = np.full((len(places), 32, 32, 3), 0.5, np.float32)
    for image, cells in zip(images, places, strict=True):
        for colour, (column, row) in zip(PURE, cells, strict=True):
            image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = colour
    return images


def example(images):
    count = len(images)
    empty = np.zeros((count, 3), np.float32)
    crops = np.broadcast_to(np.eye(3, dtype=np.float32), (count, 3, 3))
    pixels = (255 * images).round().astype(np.uint8)
    return Example(
        pixels,
        np.zeros((count, 3, 2), np.float32),
        empty,
        empty[:, 0],
        crops,
        np.arange(count, dtype=np.int32),
    )


def test_k_means_by_hand():
    """Three pairs: each centre ends in the middle of its own, whatever the order; a fourth centre
    takes one vector of a pair.
    """
    pairs = np.array([[0, 0], [0, 2], [10, 0], [10, 2], [0, 30], [2, 30]], np.float32)
    for vectors in (pairs, pairs[::-1].copy()):
        centres = np.asarray(jax.jit(k_means, static_argnums=1)(vectors, 3))
        assert sorted(map(tuple, centres)) == [(0, 1), (1, 30), (10, 1)]
    same = np.ones((5, 2), np.float32)
    np.testing.assert_array_equal(jax.jit(k_means, static_argnums=1)(same, 3), np.ones((3, 2)))


def test_points_stand_where_their_colour_is():
    places = [[(1, 1), (5, 2), (3, 6)], [(6, 5), (1, 4), (2, 0)], [(0, 7), (4, 4), (7, 1)]]
    images = painted(places)
    features = trunk_features(NETWORK, CORE, jnp.asarray(images), size=8)
    assert features.shape == (3, 8, 8, 3)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, rtol=1e-5)

    def cluster(batch):
        return cluster_trunk(NETWORK, lambda x: x, CORE, batch, landmarks=4, size=8)

    variables = jax.jit(cluster)(images)
    assert set(variables) == {"params", "clusters"}
    assert set(variables["params"]) == {"backbone"}
    again = jax.jit(cluster)(images)
    jax.tree.map(np.testing.assert_array_equal, variables, again)
    centres = np.asarray(variables["clusters"]["centres"])
    number_of = [int(np.argmax(centres @ colour)) for colour in PURE]
    np.testing.assert_allclose(centres[number_of], PURE, atol=1e-5)

    predict = jax.jit(trunk_clusters_predict(NETWORK, lambda x: x, size=8))
    found = predict(Trained(variables, {}), example(images))
    assert found.heatmaps[0].shape == (3, 8, 8, 4)
    np.testing.assert_allclose(
        np.asarray(found.keypoints)[:, number_of], 4 * np.array(places, np.float32), atol=1e-3
    )
