"""Images decoded from keypoints alone."""

import jax
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.evaluation.probes.decoded_images import (
    DecodedImages,
    decoding_errors,
    fit_decoders,
    image_decoder,
)
from kpjax.input.source import arrays
from kpjax.structures import Skeleton

SIDE, COUNT = 8, 32
SKELETON = Skeleton(("a",))


def source_and_points():
    """Frames with one bright square of 4 x 4 pixels in one of four quarters, and its middle."""
    quarter = np.arange(COUNT) % 4
    row, column = quarter // 2, quarter % 2
    images = np.full((COUNT, SIDE, SIDE, 3), 64, np.uint8)
    for number in range(COUNT):
        top, left = 4 * row[number], 4 * column[number]
        images[number, top : top + 4, left : left + 4] = 192
    middle = np.stack([column - 0.5, row - 0.5], -1)[:, None]
    visible = np.ones((COUNT, 1))
    return arrays(images, 4 * middle + 3.5, visible, SKELETON, "squares"), middle


@pytest.mark.parametrize(("kind", "side"), [("coordinates", 24), ("coordinates", 8), ("blobs", 24)])
def test_decoders_make_images_of_the_side(kind, side):
    network = image_decoder(kind, side)
    points = jax.ShapeDtypeStruct((2, 3, 2), np.float32)
    image, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), points)
    assert (image.shape, image.dtype) == ((2, side, side, 3), np.float32)


def test_blobs_need_a_side_that_four_divides():
    with pytest.raises(
        InputError, match="image_decoder: blobs need a side that 4 divides, found 6"
    ):
        image_decoder("blobs", 6)


@pytest.mark.parametrize("kind", ["coordinates", "blobs"])
def test_keypoints_that_tell_are_decoded_and_others_are_not(kind):
    """Points on the square tell of it, still ones leave the mean image."""
    source, points = source_and_points()
    by_level = {"telling": points, "still": np.zeros_like(points)}
    decoders = fit_decoders(
        by_level, source, kind=kind, steps=60, batch_size=16, learning_rate=1e-2, seed=3
    )
    errors = decoding_errors(decoders, by_level, source)
    # of the mean image: a pixel is bright in one of four frames
    deviation = 128 / 255 * (0.25 * 0.75) ** 0.5
    assert errors["mean_image"] == pytest.approx(deviation, rel=1e-3)
    assert errors["still"] > 0.95 * deviation
    assert errors["telling"] < 0.6 * deviation


def test_the_error_is_of_pixels_in_their_full_range():
    """By hand: decoded images of 0 and frames of 64 and 192 of 255."""
    source, points = source_and_points()
    network = image_decoder("coordinates", SIDE)
    variables = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(network.init, jax.random.key(0), points[:1].astype(np.float32)),
    )
    decoders = DecodedImages(network, {"flat": variables}, np.ones((SIDE, SIDE, 3), np.float32))
    errors = decoding_errors(decoders, {"flat": points}, source)
    assert errors["flat"] == pytest.approx((0.75 * 64**2 + 0.25 * 192**2) ** 0.5 / 255)
    assert errors["mean_image"] == pytest.approx((0.75 * 191**2 + 0.25 * 63**2) ** 0.5 / 255)


def test_five_steps_are_the_same_again_and_levels_do_not_touch():
    """A level's decoder is that of a run in which the level stands alone."""
    source, points = source_and_points()
    both = {"level1": points, "level2": -points}
    runs = [
        fit_decoders(given, source, steps=5, seed=1) for given in (both, both, {"level2": -points})
    ]
    for other in runs[1:]:
        jax.tree.map(
            np.testing.assert_array_equal, runs[0].variables["level2"], other.variables["level2"]
        )
    assert runs[0]("level1", points[:3]).shape == (3, SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda points: points[1:], "level1 has points of 31 frames, and there are 32"),
        (lambda points: np.where(np.arange(COUNT)[:, None, None] == 4, np.nan, points), "frame 4"),
    ],
)
def test_points_of_all_frames_are_asked_for(given, words):
    source, points = source_and_points()
    with pytest.raises(InputError, match=words):
        fit_decoders({"level1": given(points)}, source, steps=1)
