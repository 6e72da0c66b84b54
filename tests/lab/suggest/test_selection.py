"""The selection of images to label against closed forms."""
import numpy as np

from kpjax.lab.out.suggest.frames import apart_in_time, k_centre, thumbnail


def test_k_centre_takes_the_farthest_and_keeps_away_from_what_has_labels():
    features = np.array([(0, 0), (10, 0), (5, 5)], float)
    assert k_centre(features, 3, taken=np.array([[9.0, 0.0]])).tolist() == [0, 2, 1]
    assert k_centre(np.array([(0, 0), (4, 0), (5, 0), (20, 0)], float), 2).tolist() == [2, 3]  # from the middle
    assert k_centre(features, 9).tolist() == [2, 0, 1]
    assert k_centre(np.ones((4, 2)), 3).tolist() == [0, 1, 2]  # no image twice
    assert k_centre(np.zeros((0, 2)), 3).tolist() == []


def test_frames_of_a_video_are_apart():
    videos, frames = np.array([0, 0, 0, 1, 1, -1, -1]), np.array([0, 9, 10, 3, 30, -1, -1])
    assert apart_in_time(videos, frames, 10).tolist() == [0, 2, 3, 4, 5, 6]
    assert apart_in_time(videos, frames, 1).tolist() == list(range(7))


def test_thumbnails_are_means_of_areas():
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 32:] = 255
    grey = thumbnail(image).reshape(16, 16)
    assert grey[:, :8].max() == 0
    assert grey[:, 8:].min() == 1
