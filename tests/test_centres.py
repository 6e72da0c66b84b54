"""Maps of centres and extents: encoding and decoding are each other's inverse, and a network learns
them.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import centres
from kpjax.augment.augmentations import move_example
from kpjax.input.source import arrays
from kpjax.structures import Skeleton

SIDE, CELLS, POINTS = 64, 16, 3
CODEC = centres.centre_codec(image_size=SIDE, heatmap_size=CELLS, points=POINTS, most=4)
encode = jax.jit(CODEC.encode)
find = jax.jit(partial(centres.find_centres, image_size=SIDE, most=4))
loss = jax.jit(centres.centre_loss)


def examples(*animals, side=SIDE):
    """One frame with up to four animals, each (middle, extent) or None for none."""
    animals = (*animals, None, None, None, None)[:4]
    body = np.array([[-0.5, -0.2], [0.5, 0.1], [0.0, 0.2]])
    points = [
        np.zeros((3, 2)) if one is None else np.array(one[0]) + one[1] * body for one in animals
    ]
    visible = [np.full(3, one is not None) for one in animals]
    skeleton = Skeleton(tuple(f"{a} {p}" for a in range(len(animals)) for p in range(3)))
    return arrays(
        np.zeros((1, side, side, 3), np.uint8),
        np.concatenate(points)[None],
        np.concatenate(visible)[None],
        skeleton,
        "frames",
    )


def perfect(targets):
    """The maps of a network that has learnt its targets."""
    near = jnp.clip(targets[..., :1], 1e-6, 1 - 1e-6)
    return jnp.concatenate([jnp.log(near) - jnp.log1p(-near), targets[..., 1:]], -1)


def test_what_is_encoded_is_decoded():
    wanted = [((12.3, 20.7), 10.0), ((40.1, 45.9), 24.0), ((62.5, 12.0), 5.0)]
    targets, _ = encode(examples(*wanted).examples)
    found = find(perfect(targets))
    order = np.argsort(found.extents[0, :3])
    np.testing.assert_allclose(
        found.centres[0, :3][order],
        [one[0] for one in sorted(wanted, key=lambda a: a[1])],
        atol=0.15,
    )
    np.testing.assert_allclose(found.extents[0, :3][order], [5, 10, 24], rtol=1e-3)
    assert found.scores[0, 2] > 0.6
    assert found.scores[0, 3] < 0.01
    np.testing.assert_allclose(jax.jit(CODEC.decode)(perfect(targets))[1], found.scores)


def test_a_warp_moves_centres_and_extents():
    source = examples(((20.0, 30.0), 16.0), ((44.0, 30.0), 10.0))
    example = source.examples._replace(image=np.zeros((1, SIDE, SIDE, 3), np.float32))
    maps = np.array([[[0.7, -0.8, 42.0], [0.8, 0.7, -12.0], [0.0, 0.0, 1.0]]], np.float32)
    turned = jax.jit(move_example)(example, maps, example.image)
    found = find(perfect(encode(turned)[0]))
    points = np.asarray(turned.keypoints).reshape(4, 3, 2)[:2]
    boxes = np.concatenate([points.min(1), points.max(1)], 1)
    order = np.argsort(-found.extents[0, :2])
    by_size = np.argsort(-np.ptp(points, axis=1).max(1))
    np.testing.assert_allclose(
        found.centres[0, :2][order], ((boxes[:, :2] + boxes[:, 2:]) / 2)[by_size], atol=0.2
    )
    np.testing.assert_allclose(
        found.extents[0, :2][order], np.ptp(points, axis=1).max(1)[by_size], rtol=1e-2
    )


def test_animals_outside_the_image_and_single_points_say_little():
    targets, weights = encode(examples(((200.0, 20.0), 10.0), None).examples)
    assert targets[..., 0].max() == 0
    assert weights.max() == 0
    point = examples(((20.0, 20.0), 0.0))
    targets, weights = encode(point.examples)
    assert targets[..., 0].max() > 0.8
    assert weights.max() == 0
    value = loss(jnp.zeros((1, CELLS, CELLS, 2)), targets, weights)
    assert np.isfinite(value)


def test_equal_neighbours_are_one_peak():
    maps = jnp.zeros((1, CELLS, CELLS, 2)).at[0, 4, 4:6, 0].set(3.0)
    found = find(maps)
    assert (np.asarray(found.scores) > 0.9).sum() == 1
