"""MoveNet Lightning: its decoding, and fresh heatmaps."""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.models import MoveNet, MoveNetMaps, decode_movenet


def decoded_by_hand(maps):
    """The published rules for one image, as loops: (17, 2) as (y, x) parts of the image, scores."""
    height, width = maps.centre.shape

    def best(logits, expected):
        values = np.array(
            [
                [
                    1
                    / (1 + np.exp(-logits[y, x]))
                    / (np.hypot(y - expected[0], x - expected[1]) + 1.8)
                    for x in range(width)
                ]
                for y in range(height)
            ]
        )
        return np.unravel_index(values.argmax(), values.shape)

    middle = best(maps.centre, (height / 2, width / 2))
    points, scores = [], []
    for k in range(17):
        y, x = best(maps.heatmaps[..., k], np.array(middle) + maps.regression[(*middle, k)])
        points.append((np.array([y, x]) + maps.offsets[y, x, k]) / (height, width))
        scores.append(1 / (1 + np.exp(-maps.heatmaps[y, x, k])))
    return np.array(points), np.array(scores)


def test_points_are_those_of_the_published_rules():
    generator, cells = np.random.default_rng(0), (3, 8, 16)
    maps = MoveNetMaps(
        *(
            scale * generator.normal(size=(*cells, *rest)).astype(np.float32)
            for scale, rest in ((2, ()), (2, (17,)), (0.3, (17, 2)), (4, (17, 2)))
        )
    )
    keypoints, scores = jax.jit(decode_movenet)(maps)
    assert (keypoints.shape, scores.shape) == ((3, 17, 2), (3, 17))
    for number in range(3):
        parts, expected = decoded_by_hand(MoveNetMaps(*(np.float64(x[number]) for x in maps)))
        np.testing.assert_allclose(keypoints[number], parts[:, ::-1] * (64, 32) - 0.5, atol=1e-4)
        np.testing.assert_allclose(scores[number], expected, rtol=1e-5)


def test_heatmaps_of_new_keypoints_are_faint_at_first():
    head = MoveNet(sigmoid=True).build(2).head
    maps, _ = jax.jit(lambda key: head.init_with_output(key, jnp.ones((1, 8, 8, 24)), False))(
        jax.random.key(0)
    )
    assert maps.shape == (1, 8, 8, 2)
    np.testing.assert_allclose(maps, jax.nn.sigmoid(-4.0), rtol=0.1)
