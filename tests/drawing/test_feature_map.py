"""Features of keypoints in the plane."""
import numpy as np
import pytest

from kpjax.drawing import feature_map
from kpjax.drawing.feature_map import embedded, scatter
from kpjax.drawing.overlays import keypoint_colours
from kpjax.errors import InputError


def test_groups_stay_together():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(3, 8))
    kinds = np.repeat(np.arange(3), 12)
    places = embedded(centres[kinds] + 0.1 * rng.normal(size=(36, 8)))
    assert places.shape == (36, 2)
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (kinds[apart.argmin(1)] == kinds).all()


def test_points_lie_where_they_belong_in_their_colours():
    image = scatter(np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([0, 1]), ("left", "right"), side=100)
    first, second = keypoint_colours(2)
    assert image.shape[0] == 100
    assert image.shape[1] > 100  # the legend
    np.testing.assert_array_equal(image[32, 14], first)
    np.testing.assert_array_equal(image[68, 86], second)


def test_what_cannot_be_drawn(monkeypatch):
    with pytest.raises(ValueError, match="3 places and 2 kinds"):
        scatter(np.zeros((3, 2)), np.zeros(2, int), ("a",))
    with pytest.raises(ValueError, match="not finite"):
        scatter(np.full((1, 2), np.nan), np.zeros(1, int), ("a",))
    assert scatter(np.zeros((0, 2)), np.zeros(0, int), ("a",)).shape[0] == 480
    monkeypatch.setattr(feature_map, "can_embed", lambda: False)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        embedded(np.zeros((5, 2)))
