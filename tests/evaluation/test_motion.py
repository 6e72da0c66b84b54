"""What moves before a still camera, and which points lie on it: closed forms."""
import numpy as np
import pytest

from kpjax.evaluation.motion import (
    coincident_points,
    median_background,
    motion_box,
    motion_coverage,
    motion_weight,
    moving_pixels,
    points_on_motion,
    temporal_variance,
)


@pytest.fixture
def blinking():
    """Four frames of 6 x 8 pixels: grey 51, but row 2, column 5 is white in the last one."""
    images = np.full((4, 6, 8, 3), 51, np.uint8)
    images[3, 2, 5] = 255
    return images


def test_a_background_is_the_median_and_what_differs_moves(blinking):
    background = median_background(blinking)
    np.testing.assert_allclose(background, 0.2, rtol=1e-6)
    moving = moving_pixels(blinking, background)
    assert np.argwhere(moving).tolist() == [[3, 2, 5]]
    variance = temporal_variance(blinking)
    assert variance[2, 5] == pytest.approx(0.8**2 * 3 / 16)
    assert variance.sum() == pytest.approx(variance[2, 5], abs=1e-6)


def test_weights_have_mean_1_and_follow_the_variance(blinking):
    variance = temporal_variance(blinking)
    weight = motion_weight(variance)
    assert weight.mean() == pytest.approx(1)
    assert weight[2, 5] == pytest.approx(48)
    assert motion_weight(variance, 0.25)[2, 5] == pytest.approx(0.75 + 0.25 * 48)
    np.testing.assert_array_equal(motion_weight(np.zeros((2, 3, 4))), 1)


def test_a_box_leaves_out_a_hundredth_on_every_side():
    variance = np.zeros((20, 30))
    variance[5:15, 10:30] = 1.0
    assert motion_box(variance) == pytest.approx([10.2, 5.1, 19.6, 9.8])
    assert motion_box(np.zeros((20, 30))) == pytest.approx([0, 0, 30, 20])


def test_points_on_what_moves_are_counted_where_anything_moves():
    moving = np.zeros((3, 10, 10), bool)
    moving[:2, 4, 6] = True  # the third frame is still
    points = np.tile(np.array([[6.0, 4.0], [9.0, 4.0], [6.0, 7.1], [0.0, 0.0]]), (3, 1, 1))
    assert points_on_motion(points, moving, radius=3) == pytest.approx(2 / 4)
    points[1] = 0
    assert points_on_motion(points, moving, radius=3) == pytest.approx(2 / 8)
    assert np.isnan(points_on_motion(points, moving & False, radius=3))


def test_motion_near_two_points_counts_once():
    energy = np.zeros((2, 10, 10))
    energy[0, 2, 2], energy[0, 8, 8], energy[1, 2, 2] = 3.0, 1.0, 4.0
    points = np.array([[[2.0, 2.5], [2.5, 2.0]], [[9.0, 9.0], [9.0, 0.0]]])
    assert motion_coverage(points, energy, radius=1) == pytest.approx(3 / 8)
    assert np.isnan(motion_coverage(points, 0 * energy, radius=1))


def test_pairs_that_coincide():
    points = np.array([[[0, 0], [0, 0], [1, 0]], [[0, 0], [5, 0], [0, 5.0]]])
    assert coincident_points(points, near=1.0) == pytest.approx(1 / 2)
    assert coincident_points(points, near=1.1) == pytest.approx(3 / 2)
