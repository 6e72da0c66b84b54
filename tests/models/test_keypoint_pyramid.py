"""The feature pyramid's sums, keypoint levels and their conditioning, and every network in
bfloat16.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from untrained import shapes_of

from kpjax.methods.pyramids_family.pyramids import painting_pass
from kpjax.models.feature_pyramid import FeaturePyramid
from kpjax.models.pyramid import (
    Decoder,
    KeypointLevels,
    blobs_of_points,
    points_of_maps,
    small_keypoint_pyramid,
)


def shapes(module, images):
    return shapes_of(module, images, train=False)


class GivenMaps(nn.Module):
    """A trunk whose maps are the image and its means over 2 x 2 and 4 x 4 pixels."""

    @nn.compact
    def __call__(self, images, train):
        return tuple(
            images.reshape(
                images.shape[0], images.shape[1] // s, s, images.shape[2] // s, s, 3
            ).mean((2, 4))
            for s in (1, 2, 4)
        )


def test_a_pyramid_adds_what_is_coarser():
    pyramid = FeaturePyramid(GivenMaps(), levels=2, width=3)
    images = np.asarray(np.random.default_rng(0).normal(size=(1, 8, 4, 3)), np.float32)
    same = np.eye(3, dtype=np.float32)[None, None]
    params = {
        f"lateral{number}": {"kernel": same, "bias": np.zeros(3, np.float32)}
        for number in (1, 2, 3)
    }
    for number in (1, 2):
        middle = np.zeros((3, 3, 3, 3), np.float32)
        middle[1, 1] = np.eye(3)
        params[f"smooth{number}"] = {"kernel": middle, "bias": np.zeros(3, np.float32)}
    assert jax.tree.map(np.shape, params) == jax.tree.map(
        lambda leaf: leaf.shape, shapes(pyramid, images)["params"]
    )
    coarse, fine = jax.jit(functools.partial(pyramid.apply, train=False))(
        {"params": params}, images
    )
    maps = GivenMaps().apply({}, images, False)
    twice = functools.partial(np.kron, b=np.ones((1, 2, 2, 1)))
    np.testing.assert_allclose(coarse, maps[1] + twice(maps[2]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        fine, maps[0] + twice(maps[1] + twice(maps[2])), rtol=1e-5, atol=1e-6
    )


def test_only_a_conditioned_level_reads_the_points_above():
    class Whole(nn.Module):
        keypoints: int

        @nn.compact
        def __call__(self, features, train):
            return features

    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), jnp.float32)
    trunk = FeaturePyramid(GivenMaps(), levels=2, width=3)
    variables = jax.tree.map(
        lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), shapes(trunk, images)
    )

    def found(conditioned):
        levels = KeypointLevels(trunk, (Whole(3), Whole(6)), conditioned, blob_width=0.5)
        return levels, jax.jit(functools.partial(levels.apply, train=False))(
            {"params": {"features": variables["params"]}}, images
        )

    levels, conditioned = found(True)
    assert levels.sizes == (3, 6)
    assert conditioned.heatmaps[1].shape == (2, 4, 4, 3 + 3)
    np.testing.assert_array_equal(
        conditioned.heatmaps[1][..., :3], blobs_of_points(conditioned.points[0], (4, 4), 0.5)
    )
    np.testing.assert_array_equal(conditioned.heatmaps[1][..., 3:], conditioned.features[1])
    np.testing.assert_array_equal(found(False)[1].heatmaps[1], conditioned.features[1])
    sharp = jax.jit(functools.partial(levels.clone(sharpness=3.0).apply, train=False))(
        {"params": {"features": variables["params"]}}, images
    )
    np.testing.assert_allclose(sharp.heatmaps[0], 3 * conditioned.heatmaps[0], rtol=1e-6)
    np.testing.assert_array_equal(sharp.points[0], points_of_maps(sharp.heatmaps[0]))


# Places: points are where they are in the image, at every level and in what is rendered


class Same(nn.Module):
    """In a normalisation's place: it changes nothing, so that averaging networks stay linear."""

    def __call__(self, x, train):
        return x


def averaging(shapes):
    """Parameters with which every convolution is a mean over its kernel."""
    return jax.tree.map(
        lambda leaf: np.full(
            leaf.shape, 1 / np.prod(leaf.shape[:-1]) if len(leaf.shape) == 4 else 0, np.float32
        ),
        shapes,
    )


def pixels(points, side):
    return (np.asarray(points) + 1) / 2 * side - 0.5


def test_a_painted_dot_is_found_where_it_is_at_every_level():
    """A dot that fades with the squared distance still does after any symmetric averaging, about
    its own place.
    """
    side, levels = (
        192,
        small_keypoint_pyramid(side=128, conditioned=False, normalization=Same).keypoints,
    )
    places = np.random.default_rng(0).uniform(60, 130, (4, 1, 2))
    y, x = np.mgrid[:side, :side]
    squares = (x - places[..., :1]) ** 2 + (y - places[..., 1:]) ** 2
    images = jnp.asarray(np.repeat(1 - squares[..., None] / (2 * side**2), 3, -1), jnp.float32)
    params = averaging(shapes(levels, images)["params"])
    found = jax.jit(functools.partial(levels.apply, train=False))({"params": params}, images)
    for maps in found.heatmaps:
        sharp = maps / maps.max((1, 2), keepdims=True) * (2 * side**2 / 100)
        points = pixels(jax.jit(points_of_maps)(sharp), side)
        assert np.abs(points - places).max() < 0.5


@pytest.mark.parametrize("cells", [8, 16, 32])
def test_blobs_and_what_is_rendered_from_them_are_about_their_points(cells):
    points = jnp.asarray(np.random.default_rng(1).uniform(-0.3, 0.3, (3, 1, 2)), jnp.float32)
    blobs = jax.jit(blobs_of_points, static_argnums=(1, 2))(points, (cells, cells), 0.2)
    decoder = Decoder((1, 1, 1), depth=1, channels=1, normalization=Same)
    params = averaging(shapes(decoder, blobs)["params"])
    for image in (
        blobs,
        jax.jit(functools.partial(decoder.apply, train=False))({"params": params}, blobs),
    ):
        side = image.shape[1]
        y, x = np.mgrid[:side, :side]
        mass = np.asarray(image)[..., 0]
        centres = (
            np.stack([(mass * axis).sum((1, 2)) for axis in (x, y)], -1) / mass.sum((1, 2))[:, None]
        )
        stride = 128 / side
        in_image = centres * stride + (stride - 1) / 2
        np.testing.assert_allclose(in_image, pixels(points, 128)[:, 0], atol=0.5)


@pytest.mark.parametrize(
    ("side", "stem", "scales"),
    [(16, (), 1), (31, (), 1), (32, (32,), 2), (64, (16, 32), 3), (128, (16, 32), 3)],
)
def test_small_networks_suit_their_images(side, stem, scales):
    network = small_keypoint_pyramid(side=side)
    assert network.keypoints.features.backbone.stem_widths == stem
    assert len(network.decoder.widths) == scales
    side = side // 16 * 16
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    forward = painting_pass(("reconstruction", "transport_level1", "transport_level2"), 2)
    outputs = jax.eval_shape(
        lambda x: network.init_with_output(jax.random.key(0), x, x, train=False, method=forward)[0],
        images,
    )
    assert {outputs[image].shape for image in outputs if image not in ("points", "heatmaps")} == {
        images.shape
    }
