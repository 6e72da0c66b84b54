"""What moves before a still camera, which points lie on it, and moments of it: closed forms."""

import numpy as np
import pytest

from kpjax.evaluation import motion
from kpjax.evaluation.probes.image_moments import NAMES, image_moments, mask_moments, moving_masks
from kpjax.input.source import arrays
from kpjax.input.video_source import group_into_videos
from kpjax.structures import Skeleton


@pytest.fixture
def blinking():
    """Four frames of 6 x 8 pixels: grey 51, but row 2, column 5 is white in the last one."""
    images = np.full((4, 6, 8, 3), 51, np.uint8)
    images[3, 2, 5] = 255
    return images


def test_a_background_is_the_median_and_what_differs_moves(blinking):
    background = motion.median_background(blinking)
    np.testing.assert_allclose(background, 0.2, rtol=1e-6)
    moving = motion.moving_pixels(blinking, background)
    assert np.argwhere(moving).tolist() == [[3, 2, 5]]
    variance = motion.temporal_variance(blinking)
    assert variance[2, 5] == pytest.approx(0.8**2 * 3 / 16)
    assert variance.sum() == pytest.approx(variance[2, 5], abs=1e-6)


def test_weights_have_mean_1_and_follow_the_variance(blinking):
    variance = motion.temporal_variance(blinking)
    weight = motion.motion_weight(variance)
    assert weight.mean() == pytest.approx(1)
    assert weight[2, 5] == pytest.approx(48)
    assert motion.motion_weight(variance, 0.25)[2, 5] == pytest.approx(0.75 + 0.25 * 48)
    np.testing.assert_array_equal(motion.motion_weight(np.zeros((2, 3, 4))), 1)


def test_a_box_leaves_out_a_hundredth_on_every_side():
    variance = np.zeros((20, 30))
    variance[5:15, 10:30] = 1.0
    assert motion.motion_box(variance) == pytest.approx([10.2, 5.1, 19.6, 9.8])
    assert motion.motion_box(np.zeros((20, 30))) == pytest.approx([0, 0, 30, 20])


def test_points_on_what_moves_are_counted_where_anything_moves():
    moving = np.zeros((3, 10, 10), bool)
    moving[:2, 4, 6] = True  # the third frame is still
    points = np.tile(np.array([[6.0, 4.0], [9.0, 4.0], [6.0, 7.1], [0.0, 0.0]]), (3, 1, 1))
    assert motion.points_on_motion(points, moving, radius=3).tolist() == [1, 1, 0, 0]
    points[1] = 0
    assert motion.points_on_motion(points, moving, radius=3).tolist() == [0.5, 0.5, 0, 0]
    assert np.isnan(motion.points_on_motion(points, moving & False, radius=3)).all()


def test_motion_near_two_points_counts_once():
    energy = np.zeros((2, 10, 10))
    energy[0, 2, 2], energy[0, 8, 8], energy[1, 2, 2] = 3.0, 1.0, 4.0
    points = np.array([[[2.0, 2.5], [2.5, 2.0]], [[9.0, 9.0], [9.0, 0.0]]])
    assert motion.motion_coverage(points, energy, radius=1) == pytest.approx(3 / 8)
    assert np.isnan(motion.motion_coverage(points, 0 * energy, radius=1))


def test_points_that_follow_what_moves_and_those_in_heaps_are_counted():
    """A white square of 4 px goes along a row of 64: two points stay on it, one rests where it
    passes, one beside the first two moves along, one wanders where nothing is.
    """
    count, side = 32, 64
    images = np.zeros((count, side, side, 3), np.uint8)
    points = np.zeros((count, 6, 2), np.float32)
    for n in range(count):
        images[n, 30:34, 2 * n : 2 * n + 4 if n < 30 else None] = 255
        at = [2 * n + 1.5, 31.5]
        points[n] = [at, at, [32, 31.5], [at[0] + 0.7, at[1]], [5 * (n % 2), 5], [60, 60]]
    still = np.zeros((count, 0, 2)), np.zeros((count, 0))
    source = group_into_videos(arrays(images, *still, Skeleton(()), "square"), [count], ["square"])
    found = motion.motion_in_videos(source, points)
    assert found["following_points"] == 3
    assert (found["heaped_points"], found["heaps"]) == (3, 1)
    assert found["points_on_motion"] == pytest.approx(3 / 6, abs=0.04)
    assert motion.heaps_of(points, near=0.5).tolist() == [0, 0, 1, 2, 3, 4]
    rested = motion.motion_in_videos(source, np.broadcast_to(points[:1], points.shape))
    assert rested["following_points"] == 0


def test_pairs_that_coincide():
    points = np.array([[[0, 0], [0, 0], [1, 0]], [[0, 0], [5, 0], [0, 5.0]]])
    assert motion.coincident_points(points, near=1.0) == pytest.approx(1 / 2)
    assert motion.coincident_points(points, near=1.1) == pytest.approx(3 / 2)


# Moments


def test_moments_of_four_pixels():
    """5 x 5 pixels at -1, -0.5, 0, 0.5, 1; weights 1 at x = -1, 1 at 0 and 2 at 1, all in the row y
    = 0.5.
    """
    mask = np.zeros((2, 5, 5))
    mask[0, 3, [0, 2, 4]] = 1, 1, 2
    found = dict(zip(NAMES, mask_moments(mask)[0], strict=True))
    assert found["x"] == pytest.approx(0.25)
    assert found["y"] == pytest.approx(0.5)
    assert found["xx"] == pytest.approx((1.25**2 + 0.25**2 + 2 * 0.75**2) / 4)
    assert found["xxx"] == pytest.approx((-(1.25**3) - 0.25**3 + 2 * 0.75**3) / 4)
    assert all(found[name] == pytest.approx(0) for name in ("xy", "yy", "xxy", "xyy", "yyy"))
    np.testing.assert_array_equal(mask_moments(mask)[1], np.zeros(9))


def test_central_moments_do_not_change_with_the_place():
    generator = np.random.default_rng(0)
    patch = generator.random((5, 7))
    masks = np.zeros((2, 33, 33))
    masks[0, 3:8, 2:9] = patch
    masks[1, 20:25, 18:25] = patch
    here, there = mask_moments(masks)
    np.testing.assert_allclose(there[:2] - here[:2], [1.0, 17 / 16])
    np.testing.assert_allclose(there[2:], here[2:], atol=1e-12)
    assert (np.abs(here[5:]) > 1e-6).all()


def square_video(frames=9, side=24, noise=0):
    """A white square of 4 pixels on a diagonal, each place once, before a striped background."""
    generator = np.random.default_rng(1)
    video = np.full((frames, side, side, 3), 60, np.uint8)
    video[:, :, ::3] = 90
    for number in range(frames):
        video[number, 2 * number : 2 * number + 4, 2 * number : 2 * number + 4] = 255
    return np.clip(video + generator.integers(-noise, noise + 1, video.shape), 0, 255).astype(
        np.uint8
    )


def test_the_mask_is_what_moved():
    clean = (moving_masks(square_video()) > 0).astype(np.float32)
    for number, mask in enumerate(clean):
        truth = np.zeros((24, 24))
        truth[2 * number : 2 * number + 4, 2 * number : 2 * number + 4] = 1
        np.testing.assert_array_equal(mask, truth)
    soft = moving_masks(square_video(noise=10))
    assert soft.dtype == np.float32
    np.testing.assert_array_equal(soft > 0, clean > 0)
    assert 0.5 < soft[0, 0, 1] < 1


def test_videos_follow_one_another_each_with_its_own_background():
    two = image_moments(iter([square_video(), 255 - square_video()[::-1]]))
    assert two.shape == (18, 9)
    centre = 2 * (2 * np.arange(9) + 1.5) / 23 - 1
    np.testing.assert_allclose(two[:9, :2], np.stack([centre, centre], 1), atol=0.01)
    np.testing.assert_allclose(two[9:], two[:9][::-1], atol=1e-6)
