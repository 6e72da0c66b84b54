"""The selection of images to label against closed forms."""
import numpy as np

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
