"""Uncertainties of pseudo-labels: their values, and the weights made from them."""
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.heatmaps import gaussian_bumps
from kpjax.methods.incremental_family.pseudo_label_confidence import (
    TRANSFORMS,
    hard,
    kept_thresholds,
    spread,
)

SIDE = 33
PLACES = jnp.array([[[16.0, 16.0], [6.0, 20.0]]])
MAPS = gaussian_bumps(PLACES, (SIDE, SIDE), 2.0)


def test_an_answer_that_moves_with_the_image_has_no_spread():
    image = jnp.concatenate([MAPS, MAPS[..., :1]], -1)
    uncertainty = spread(geometry.identity())(lambda images: images[..., :2], image, MAPS)
    assert uncertainty.shape == (1, 2)
    assert (uncertainty < 0.6).all()  # whole cells


def test_an_answer_that_stays_spreads_as_far_as_the_image_moved():
    uncertainty = spread(geometry.identity())(lambda images: MAPS, jnp.zeros((1, SIDE, SIDE, 3)), MAPS)
    middle = np.array([16.0, 16.0])
    arm = np.asarray(PLACES)[0, 1] - middle
    places = [arm]
    for degrees, scale in TRANSFORMS:
        turn = np.deg2rad(degrees)
        there = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        places.append(np.linalg.solve(there, arm))
    expected = np.sqrt(np.square(np.array(places) - np.mean(places, 0)).sum(-1).mean())
    np.testing.assert_allclose(uncertainty, [[0, expected]], rtol=1e-4, atol=1e-5)


def test_uncertainties_become_weights():
    uncertainties = jnp.array([[0.0, 3.0], [2.0, 1.0], [4.0, 2.0]])
    weights = hard(lambda *_: uncertainties)(None, None, None, jnp.array([2.0, 1.0]))
    np.testing.assert_array_equal(weights, [[1, 0], [1, 1], [0, 0]])


def test_thresholds_keep_a_share():
    uncertainties = np.random.default_rng(0).normal(size=(50, 3))
    for kept in (0.4, 0.8, 1.0):
        limits = kept_thresholds(uncertainties, kept)
        assert limits.dtype == np.float32
        share = (uncertainties <= limits.astype(np.float64) + 1e-6).mean(0)
        assert (np.abs(share - kept) <= 0.021).all()
