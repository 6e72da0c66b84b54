"""Features of keypoints in the plane."""

import numpy as np
import pytest

from kpjax.drawing import feature_map
from kpjax.drawing.feature_map import embed_features, scatter
from kpjax.drawing.overlays import keypoint_colours
from kpjax.errors import InputError


def test_groups_stay_together_and_the_same_features_lie_at_the_same_places():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(3, 8))
    kinds = np.repeat(np.arange(3), 12)
    features = centres[kinds] + 0.1 * rng.normal(size=(36, 8))
    places = embed_features(features)
    assert places.shape == (36, 2)
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (kinds[apart.argmin(1)] == kinds).all()
    np.testing.assert_array_equal(embed_features(features), places)


def test_points_are_drawn_in_the_colours_of_their_kinds():
    places = np.array([[0.0, 0.0], [2.0, 1.0], [2.0, 0.0]])
    kinds, names = np.array([0, 1, 1]), ("left", "right", "absent")
    picture = scatter(places, kinds, names)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, scatter(places, kinds, names))
    legend_alone = scatter(places[:0], kinds[:0], names)

    def dots(colour):
        """The pixels of a colour, less those of the legend."""
        count, others = (
            (np.abs(shown.astype(int) - colour).max(-1) <= 2).sum()
            for shown in (picture, legend_alone)
        )
        return count - others

    first, second, third = map(dots, keypoint_colours(3))
    assert first > 20
    assert second == pytest.approx(2 * first, rel=0.2)
    assert third == 0


def test_what_cannot_be_embedded(monkeypatch):
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="2 features are too few; give at least 3"):
        embed_features(np.zeros((2, 4)))
    with pytest.raises(InputError, match="not finite"):
        embed_features(np.full((4, 4), np.nan))
    monkeypatch.setattr(feature_map, "can_embed", lambda: False)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        embed_features(np.zeros((5, 2)))
