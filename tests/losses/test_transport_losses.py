"""The closed forms of transport against the loops that they stand for, and points that lie
still."""

import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses.pyramids import still_mass, transport_features, transporter_transported


def random_row(keypoints, seed=0):
    """(features of the reference, of the frame, maps of the reference, of the frame), some maps
    exactly 1.
    """
    random = np.random.default_rng(seed)
    features = [random.normal(size=(2, 3, 4, 5)) for _ in range(2)]
    maps = [(1.2 * random.uniform(size=(2, 3, 4, keypoints))).clip(0, 1) for _ in range(2)]
    return [array.astype(np.float32) for array in features + maps]


def loop(reference, frame, maps_reference, maps, *, transporter):
    """Transporter's, or that of equation 2."""
    y, frame, maps_reference, maps = (
        np.float64(array) for array in (reference, frame, maps_reference, maps)
    )
    for k in range(maps.shape[-1]):
        s, t = maps_reference[..., k : k + 1], maps[..., k : k + 1]
        m = (1 - s) * (1 - t)
        y = m * y + (t if transporter else 1 - m) * frame
    return y


@pytest.mark.parametrize("keypoints", [1, 2, 7, 8])
def test_closed_forms_are_the_loops(close, keypoints):
    row = random_row(keypoints)
    close(transporter_transported(*map(jnp.asarray, row)), loop(*row, transporter=True))
    close(transport_features(*map(jnp.asarray, row)), loop(*row, transporter=False))


def test_still_mass_is_the_probability_where_nothing_moves(close):
    moving = np.zeros((1, 4, 4, 1), np.float32)
    # cells of 2 x 2 pixels: 1 after division by the largest, and 1/2
    moving[0, :2, :2], moving[0, 2, 2] = 0.5, 1.0
    probabilities = np.zeros((1, 2, 2, 3), np.float32)
    probabilities[0, 0, 0, 0], probabilities[0, 1, 1, 1], probabilities[0, 0, 1, 2] = 1, 1, 1
    close(still_mass(jnp.asarray(probabilities), jnp.asarray(moving)), (0 + 0.5 + 1) / 3)
    close(still_mass(jnp.asarray(probabilities), jnp.zeros((1, 4, 4, 1))), 1)
