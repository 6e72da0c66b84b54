"""Criteria for images to label against closed forms, and the selection by them."""
import numpy as np
import pytest

from kpjax.images import boxes
from kpjax.suggest import criteria
from kpjax.suggest.equivariance import predicted_under, turns
from kpjax.suggest.selection import best_apart, choose, k_centre, thumbnail


def test_k_centre_takes_the_farthest():
    features = np.array([(0, 0), (1, 0), (10, 0), (10, 1), (5, 8)], float)
    assert k_centre(features, 3, first=0).tolist() == [0, 3, 4]
    assert choose(np.array([5.0, 4, 3, 2, 1]), features, 3).tolist() == [0, 3, 4]
    assert choose(np.array([5.0, 4, 3, 2, 1]), features, 3, diverse=False).tolist() == [0, 1, 2]


def test_k_centre_keeps_away_from_what_has_labels():
    features = np.array([(0, 0), (10, 0), (5, 5)], float)
    assert k_centre(features, 3, taken=np.array([[9.0, 0.0]])).tolist() == [0, 2, 1]
    assert k_centre(features, 1, first=1, taken=np.array([[9.0, 0.0]])).tolist() == [1]
    assert k_centre(np.array([(0, 0), (4, 0), (5, 0), (20, 0)], float), 2).tolist() == [2, 3]  # from the middle
    assert k_centre(features, 9).tolist() == [2, 0, 1]
    assert k_centre(np.ones((4, 2)), 3, first=0).tolist() == [0, 1, 2]  # no image twice
    assert k_centre(np.zeros((0, 2)), 3).tolist() == []


def test_the_best_of_a_video_are_apart():
    values = np.array([9, 8, 7, 6, np.nan, 5], float)
    videos, frames = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 9, 10, 3, 30, -1])
    assert best_apart(values, videos=videos, frames=frames).tolist() == [0, 2, 3, 5, 4]
    assert best_apart(values, 2, videos=videos, frames=frames).tolist() == [0, 2]
    images = np.full(6, -1)
    assert best_apart(values, videos=images, frames=images).tolist() == [0, 1, 2, 3, 5, 4]
    chosen = choose(None, np.eye(6), 9, videos=videos, frames=frames)
    assert sorted(chosen.tolist()) == [0, 2, 3, 4, 5]


def test_thumbnails_are_means_of_areas():
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 32:] = 255
    grey = thumbnail(image).reshape(16, 16)
    assert grey[:, :8].max() == 0
    assert grey[:, 8:].min() == 1


def test_disagreement_of_three_networks():
    points = np.array([(0, 0), (2, 0), (1, 3)], float)[:, None, None]
    assert criteria.disagreement(points, 1.0) == pytest.approx([1.632993], abs=1e-6)
    assert criteria.disagreement(points, 2.0) == pytest.approx([0.816497], abs=1e-6)


def test_the_mean_score_is_the_certainty():
    np.testing.assert_allclose(criteria.low_score(np.float32([[1, 0], [0.25, 0.25]])), [-0.5, -0.25])


def test_equivariance_of_a_network_that_is_and_one_that_is_not():
    """The brightest pixel moves with the image; a fixed point does not, and is off by what the maps move it."""
    side, spot = 33, np.array([20, 12])
    images = np.zeros((2, side, side, 3), np.uint8)
    images[:, spot[1] - 1:spot[1] + 2, spot[0] - 1:spot[0] + 2] = 90
    images[:, spot[1], spot[0]] = 255

    def brightest(images):
        flat = images[..., 0].reshape(len(images), -1).argmax(-1)
        points = np.stack([flat % side, flat // side], -1)[:, None].astype(np.float32)
        return points, np.ones((len(images), 1), np.float32)

    def constant(images):
        return np.full((len(images), 1, 2), (26.0, 16.0), np.float32), np.ones((len(images), 1), np.float32)

    maps = turns(side)
    for predict, expected in ((brightest, 0.0), (constant, None)):
        points, _ = predict(images)
        back, counted = predicted_under(predict, images, points, maps)
        assert counted.all()
        value = criteria.equivariance_error(points, back, counted, side)
        if expected is None:
            moved = [np.linalg.norm(boxes.move_points(boxes.invert(m), points[0]) - points[0]) for m in maps]
            np.testing.assert_allclose(value, np.mean(moved) / side, rtol=1e-5)
        else:
            assert (value < 1 / side).all()  # within the rounding to a pixel
    far = np.full((2, 1, 2), (32.0, 16.0), np.float32)
    back, counted = predicted_under(constant, images, far, maps)
    assert counted[:2].all()  # shrunk about the middle it stays, enlarged it leaves
    assert not counted[2:].any()
    assert np.isnan(criteria.equivariance_error(far, back, np.zeros_like(counted), side)).all()


def test_usual_poses_are_a_plane():
    """Poses that only move as a whole have two components, and one that is bent is off by the bend."""
    generator = np.random.default_rng(0)
    shape = np.array([(0, 0), (10, 0), (0, 10)], float)
    labels = shape + generator.uniform(0, 100, (20, 1, 2))
    visible = np.ones((20, 3))
    visible[0, 0] = 0
    labels[0, 0] = np.nan
    poses = criteria.usual_poses(labels, visible)
    assert poses.components.shape == (2, 6)
    assert poses.limit == pytest.approx(0, abs=1e-9)
    bent = np.stack([shape + 50, shape + 50])
    bent[1, 0] += (3, 0)  # of which the plane takes a third as a shift of all three points
    np.testing.assert_allclose(criteria.unusual_pose(bent, poses, 1.0), [0, (2 + 1 + 1) / 3], atol=1e-9)
    assert criteria.usual_poses(labels, np.zeros((20, 3))) is None
