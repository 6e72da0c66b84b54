"""Forward and backward errors of incomplete annotation, their lengths, subsets, turned images,
signs of collapse.
"""

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.evaluation.probes import landmarks as probes
from kpjax.images.transforms import LandmarkCrop, MarginCrop, WindowCrop
from kpjax.input.source import arrays, warp_source
from kpjax.structures import Skeleton

FACE = Skeleton(("left_eye", "right_eye", "nose"))
ONE_LENGTH = probes.constant(10.0)


@pytest.fixture(scope="module")
def linear():
    """Sixty images whose three annotated landmarks are linear in the two discovered ones; a fourth
    is never shown.
    """
    generator = np.random.default_rng(0)
    discovered = generator.uniform(10, 50, (60, 2, 2))
    annotated = (discovered.reshape(60, 4) @ generator.normal(size=(4, 8)) + 5).reshape(60, 4, 2)
    visible = np.ones((60, 4))
    visible[:, 3] = 0
    annotated[:, 3] = np.nan
    return probes.Landmarks(discovered, annotated, visible)


def part(landmarks, rows):
    return probes.Landmarks(*(np.asarray(field)[rows] for field in landmarks))


def test_what_is_hidden_is_never_read(linear):
    visible = linear.visible.copy()
    visible[:5, 1] = visible[50, 0] = 0
    hidden = linear._replace(
        visible=visible, annotated=np.where(visible[..., None] > 0, linear.annotated, np.nan)
    )
    found = probes.both_errors(
        part(hidden, slice(0, 45)),
        part(hidden, slice(45, 60)),
        normaliser=ONE_LENGTH,
        regressor=probes.scaled_ridge(64, 0.0),
        images=(20, probes.ALL),
        repeats=3,
    )
    assert sorted(found) == ["backward/20", "backward/all", "forward/20", "forward/all"]
    assert found["forward/all"].per_landmark.shape == (3,)
    assert found["backward/all"].per_landmark.shape == (2,)
    assert max(error.mean for error in found.values()) < 1e-6


def test_subsets_are_the_same_for_all_and_contained_in_larger_ones():
    few, more = (probes.labelled_subsets(30, count, repeats=4, seed=3) for count in (5, 12))
    np.testing.assert_array_equal(few, more[:, :5])
    assert all(len(set(rows)) == 12 for rows in more.tolist())
    assert len({tuple(rows) for rows in few.tolist()}) == 4
    np.testing.assert_array_equal(probes.labelled_subsets(4, probes.ALL), [[0, 1, 2, 3]])


def test_lengths_of_eyes_and_objects():
    annotated = np.array(
        [[[0.0, 0], [3, 4], [9, 0]], [[1, 1], [1, 7], [np.nan, np.nan]], [[0, 0], [0, 1], [4, 9]]]
    )
    visible = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]])
    np.testing.assert_allclose(probes.between_eyes(FACE)(annotated, visible), [5, 6, 1])
    np.testing.assert_allclose(
        probes.between_eyes(FACE, median=True)(annotated, visible), [5, 5, 5]
    )
    np.testing.assert_allclose(
        probes.between(FACE, "left_eye", "nose", median=True)(annotated, visible),
        np.full(3, (9 + np.hypot(4, 9)) / 2),
    )
    np.testing.assert_allclose(probes.object_size()(annotated[[0, 2]], visible[[0, 2]]), [6, 6])
    of_68 = Skeleton(tuple(f"{side}_eye_{k}" for side in ("right", "left") for k in range(6)))
    points = np.zeros((1, 12, 2))
    points[0, 9] = [8, 6]
    np.testing.assert_allclose(probes.between_eyes(of_68)(points, np.ones((1, 12))), [10])
    np.testing.assert_allclose(probes.constant(128)(annotated, visible), [128, 128, 128])


def test_a_row_tells_a_collapse():
    generator = np.random.default_rng(0)
    square = np.array([[12.0, 12], [12, 52], [52, 52], [52, 12]])
    annotated = square + generator.normal(size=(30, 4, 2))
    visible = np.ones((30, 4))
    consistent = probes.Consistency(1.0, np.ones(4), np.ones(4), np.ones(9))
    every = probes.Landmarks(annotated, annotated, visible)
    split = part(every, slice(20)), every
    errors = probes.both_errors(
        *split,
        normaliser=ONE_LENGTH,
        regressor=probes.scaled_ridge(64),
        images=(10, probes.ALL),
        repeats=2,
    )
    row = probes.measures(errors, consistent, split[1], side=64)
    assert row["varying_points"] == 4
    assert (
        row["point_spread"]
        == pytest.approx(row["annotated_spread"])
        == pytest.approx(45.5, abs=0.5)
    )
    assert probes.collapse_reason(row, 4) == ""
    heap = 32 + 0.2 * (annotated - 32)
    said = probes.collapse_reason(
        probes.measures(errors, consistent, probes.Landmarks(heap, annotated, visible), side=64), 4
    )
    assert said.startswith(
        "0 of 4 landmarks are alive; landmarks lie 9.1 px apart, annotated ones 45."
    )


@pytest.fixture(scope="module")
def dotted():
    """Two images with a bright dot on the first landmark."""
    images, points = (
        np.full((2, 64, 64, 3), 40, np.uint8),
        np.array([[[20.0, 30], [45, 40]], [[40, 12], [33, 33]]]),
    )
    for image, ((x, y), _) in zip(images, points.astype(int), strict=True):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return arrays(images, points, np.ones((2, 2)), Skeleton(("dot", "other")), "dotted")


def test_a_turned_image_and_its_landmarks_agree(dotted):
    maps = np.stack([probes.turn_map(angle, 64) for angle in (25.0, -38.0)])
    source = warp_source(dotted, maps)
    assert len(source) == 2
    assert source.digest != dotted.digest
    for number in range(2):
        example = source[number]
        bright = np.argwhere(example.image[..., 0] > 110)[:, ::-1].mean(0)
        np.testing.assert_allclose(bright, example.keypoints[0], atol=0.6)
        np.testing.assert_allclose(
            maps[number] @ [*dotted[number].keypoints[1], 1], [*example.keypoints[1], 1], atol=1e-4
        )
        back = np.asarray(example.crop) @ [*example.keypoints[0], 1]
        np.testing.assert_allclose(back[:2], dotted[number].keypoints[0], atol=1e-3)
        assert example.image.min() == 40  # the border is repeated, nothing is black
    np.testing.assert_array_equal(
        warp_source(dotted, np.tile(np.eye(3), (2, 1, 1)))[0].image, dotted[0].image
    )


def test_crops_by_landmarks():
    image = np.zeros((218, 178, 3), np.uint8)
    points = np.array([(69, 109), (106, 113), (77, 142), (73, 152), (108, 154)], np.float32)
    _, moved, visible, scale, crop = LandmarkCrop(128, 70)(
        image, points, np.ones(5), np.float32(10)
    )
    assert visible.all()
    np.testing.assert_allclose(crop @ [*moved[4], 1], [108, 154, 1], atol=1e-3)
    assert scale == pytest.approx(10 * np.sqrt(128 / 97 * 128 / 103), rel=1e-5)
    corners = LandmarkCrop(128, 70)(
        image, points, np.zeros(5), np.float32(10), np.array([69, 109, 39, 45.0])
    )
    np.testing.assert_allclose(corners[4], crop, atol=1e-5)
    assert not corners[2].any()
    *_, crop = MarginCrop(64, 60)(image, points, np.ones(5), np.float32(10))
    np.testing.assert_allclose(crop[:2] @ [0, 0, 1], [9, 49])
    np.testing.assert_allclose(crop[:2] @ [64, 64, 1], [168, 214])
    *_, crop = WindowCrop(64, 100)(image, points, np.ones(5), np.float32(10))
    np.testing.assert_allclose(crop[:2] @ [64, 64, 1], [138, 182])
    for transform in (LandmarkCrop(64), MarginCrop(64), WindowCrop(64)):
        with pytest.raises(InputError, match="and the example has neither"):
            transform(image, points, np.zeros(5), np.float32(10))
