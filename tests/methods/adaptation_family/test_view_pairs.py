"""Two views of an image: where they come from, how far they may go, and that draws do not depend on
the batch.
"""

import jax
import numpy as np
import pytest

from kpjax import geometry
from kpjax.images.boxes import landmark_box
from kpjax.methods.adaptation_family.view_pairs import draw_view, similarity_views

SIDE = 24


@pytest.fixture(scope="module")
def maps():
    """Many views without and with turns, of images 24 x 24 as views 12 x 12."""
    keys = jax.random.split(jax.random.key(0), 2000)

    def many(**options):
        draw = draw_view(size=(12, 12), **options)
        return np.asarray(jax.jit(jax.vmap(lambda key: draw(key, (SIDE, SIDE))))(keys))

    return {
        "still": many(deviation=0.0),
        "turned": many(deviation=15.0),
        "wild": many(deviation=90.0, shown=0.5),
    }


def zoom(maps):
    return np.sqrt(np.linalg.det(maps[:, :2, :2].astype(np.float64)))


def test_margins_and_turns_of_views(maps):
    middle = jax.jit(geometry.move_points)(maps["wild"], np.full((2000, 1, 2), 11.5, np.float32))
    np.testing.assert_allclose(middle, 5.5, atol=1e-4)
    np.testing.assert_allclose(zoom(maps["still"]).mean(), 0.5, rtol=0.01)
    # of a side of 240 percent
    np.testing.assert_allclose(zoom(maps["still"]).std() / 0.5, 4 * 2 / 240, rtol=0.1)
    angles = {
        name: np.rad2deg(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0])) for name, drawn in maps.items()
    }
    assert np.abs(angles["still"]).max() < 1e-4
    np.testing.assert_allclose(angles["turned"].std(), 15, rtol=0.1)
    assert 40 - 1e-3 < np.abs(angles["wild"]).max() < 40 + 1e-3
    grown = {
        name: zoom(maps[name]) * (1 + 0.45 * np.abs(np.sin(np.deg2rad(angles[name]))))
        for name in maps
    }
    for name, shown in (("turned", 0.5), ("wild", 1.0)):
        np.testing.assert_allclose(grown[name].mean(), shown, rtol=0.01)
        np.testing.assert_allclose(grown[name].std() / shown, 4 * 2 / 240, rtol=0.1)


@pytest.mark.parametrize("views", [similarity_views(), similarity_views(size=(12, 12), shown=0.8)])
def test_views_of_a_flat_image_are_flat_and_of_others_differ(views):
    """The border is repeated: nothing black comes in.

    Each image's draw is its own, whatever stands beside it.
    """
    noise = np.random.default_rng(1).uniform(size=(SIDE, SIDE, 3))
    images = np.stack([np.full_like(noise, 0.7), noise, noise]).astype(np.float32)
    target, appearance = jax.jit(views)(jax.random.key(0), images)
    assert target.shape == appearance.shape
    assert target.shape[0] == 3
    np.testing.assert_allclose(target[0], 0.7, atol=1e-5)
    np.testing.assert_allclose(appearance[0], 0.7, atol=1e-5)
    target, appearance = np.asarray(target), np.asarray(appearance)
    assert np.abs(target[1] - appearance[1]).mean() > 1e-3
    assert np.abs(target[1] - target[2]).mean() > 1e-3


def test_a_small_box_keeps_a_margin():
    np.testing.assert_array_equal(
        landmark_box(np.array([[30.5, 30.5], [31.5, 32]]), 70, 100, 100), (22, 22, 40, 40)
    )
