"""Whether mirror images of animals look like animals, on poses whose answer is known."""

import math

import numpy as np
import pytest

from kpjax.evaluation.mirror_images import mirrored_distance, side_contrast

FLIP = (0, 1, 3, 2)  # nose, tail, left and right paw
SIDE_VIEW = np.array(
    [[60.0, 0], [-60, 0], [30, 40], [-30, 40]]
)  # faces right, one paw before the other
FROM_ABOVE = np.array([[60.0, 0], [-60, 0], [0, -20], [0, 20]])


def poses(body, count, *, turned=0.0, noise=3.0, left=0.0, seed=0):
    """Animals of a body shape, turned by up to so many degrees, of which a share faces the other way."""
    rng = np.random.default_rng(seed)
    points = body + rng.normal(0, noise, (count, *body.shape))
    points[: round(left * count), :, 0] *= -1
    points[: round(left * count)] = points[: round(left * count)][:, FLIP]
    angle = np.deg2rad(rng.uniform(-turned, turned, count))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = rng.uniform(0.5, 2, (count, 1, 1))
    return scale * np.einsum("abn,nkb->nka", turn, points) + rng.uniform(0, 400, (count, 1, 2))


def found(points, degrees=30.0, visible=None):
    return mirrored_distance(
        points, np.ones(points.shape[:2]) if visible is None else visible, FLIP, degrees
    )


@pytest.mark.parametrize("seed", range(3))
def test_animals_that_all_face_right_have_no_mirror_images_among_them(seed):
    """The mouse from the side, of which left and right paws became one point under mirrored training."""
    assert found(poses(SIDE_VIEW, 40, turned=10, seed=seed)) > 5


@pytest.mark.parametrize("left", [0.2, 0.5])
def test_mirror_images_are_there_if_a_fifth_faces_left(left):
    assert found(poses(SIDE_VIEW, 40, turned=10, left=left)) < 1.5


def test_animals_from_above_look_alike_mirrored_if_they_are_turned_all_round():
    points = poses(FROM_ABOVE, 40, turned=180)
    assert found(points, 180.0) < 1.3
    still = poses(FROM_ABOVE, 40, turned=5)
    assert found(still, 180.0) < 1.3
    assert found(still, 30.0) > 5  # mirrored, they look to the left, and no image is turned so far


def test_faces_from_the_front_look_alike_mirrored():
    assert found(poses(FROM_ABOVE[:, ::-1], 20, turned=10)) < 1.5


def test_what_is_not_labelled_is_not_read_and_few_animals_say_nothing():
    points, visible = poses(SIDE_VIEW, 30, turned=10), np.ones((30, 4))
    visible[::3, 2] = 0
    points[::3, 2] = np.nan
    assert found(points, visible=visible) > 5
    assert math.isnan(found(points[:2]))
    assert math.isnan(found(points[:0]))
    visible[:, 1:] = 0
    assert math.isnan(found(points, visible=visible))


def test_more_animals_than_are_compared_give_about_the_same():
    points = poses(SIDE_VIEW, 500, turned=10)
    assert found(points) == pytest.approx(found(points[::3]), rel=0.2)


def test_images_that_repeat_do_not_divide_by_zero():
    points = np.repeat(poses(SIDE_VIEW, 1), 5, axis=0)
    assert 100 < found(points) < 1e5


def marked(count, left, right, *, noise=20.0, seed=0):
    """Grey images with keypoints anywhere, of which the third and fourth have colours of their own."""
    rng = np.random.default_rng(seed)
    points = rng.integers(4, 28, (count, 1, 2)) + np.array([[0, 0], [8, 0], [0, 8], [8, 8]])
    images = rng.normal(128, noise, (count, 40, 40, 3))
    for image, (*_, one, other) in zip(images, points, strict=True):
        for (x, y), colour in ((one, left), (other, right)):
            image[y - 1 : y + 2, x - 1 : x + 2] += colour
    return images.clip(0, 255).astype(np.uint8), points.astype(float)


def contrast(images, points, visible=None):
    visible = np.ones(points.shape[:2]) if visible is None else visible
    return side_contrast(images, points, visible, FLIP)


def test_colours_of_left_and_right_are_told_from_a_difference_by_chance():
    alike, coloured = marked(40, 0, 0), marked(40, (60, 0, -60), (-60, 0, 60))
    assert contrast(*alike) < 1
    assert contrast(*coloured) > 5
    # both sides brighter than the rest are alike
    assert contrast(*marked(40, 60, 60, seed=1)) < 1
    # a mark that half of the animals have on the other side is no mark
    images, points = coloured
    points[::2, 2:] = points[::2, :1:-1]
    assert contrast(images, points) < 1


def test_the_contrast_is_the_mean_difference_over_its_deviation():
    """Differences of 10 and 30 along one channel: a mean of 20 over a deviation of 10.26."""
    images, points = np.zeros((20, 40, 40, 3), np.uint8), np.full((20, 4, 2), 10.0)
    points[:, 3] = 20
    images[:10, 9:12, 9:12, 1], images[10:, 9:12, 9:12, 1] = 10, 30
    assert contrast(images, points) == pytest.approx(20 / np.std([10] * 10 + [30] * 10, ddof=1))


def test_few_animals_and_points_at_the_edge_have_no_colours():
    images, points = marked(9, 90, -90)
    assert math.isnan(contrast(images, points))
    images, points = marked(12, 90, -90)
    assert math.isnan(contrast(images, np.where(points < 20, 0.0, 39.0)))
    visible = np.ones((12, 4))
    visible[:3, 2] = 0
    assert math.isnan(contrast(images, points, visible))
