"""JPEG files decoded at a reduced size: slightly other pixels, the same coordinates, never fewer than are shown."""
import io

import numpy as np
import pytest
from PIL import Image

from kpjax.images.transforms import (
    AroundBox,
    LandmarkCrop,
    Letterbox,
    PadToSquare,
    PersonCrop,
    ScaledByBox,
    Stretch,
    Turned,
)

POINTS = np.array([[61, 47], [183, 140]], np.float32)
BOX = np.array([40, 30, 165, 130], np.float32)
TRANSFORMS = [Letterbox, PadToSquare, Stretch, PersonCrop, AroundBox, LandmarkCrop]


def photograph(width=251, height=187):
    """A smooth image with an edge, its sides no multiples of a block."""
    down, across = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(across / 17 + down / 29 + phase) * (across > 90) for phase in (0, 1, 2)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def opened(image, form="JPEG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, quality=95)
    return Image.open(file)


def applied(transform, image):
    return transform(image, POINTS, np.ones(2, np.float32), np.float32(9), BOX)


@pytest.mark.parametrize("transform", [kind(side) for kind in TRANSFORMS for side in (128, 40, 20)] + [
    ScaledByBox(PersonCrop(40)), AroundBox(40, 1.5)], ids=repr)
def test_pixels_differ_little_and_nothing_else_does(transform):
    whole = opened(photograph())
    array, reduced = np.asarray(whole), opened(photograph())
    expected, found = applied(transform, array), applied(transform, reduced)
    for one, other in zip(expected[1:], found[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    side = found[0].shape[0]
    assert (reduced.width < 251) == (side < 128)
    shown = 1 / np.abs(found[4][[0, 1], [0, 1]]).min()  # square pixels for one of the image at full size
    assert reduced.width / 251 >= shown or reduced.size == (251, 187)
    difference = np.abs(found[0].astype(int) - expected[0])
    assert difference.mean() < (10 if isinstance(transform, PersonCrop | ScaledByBox) else 2 if side > 20 else 5)
    # What was decoded already is used as it is, bit for bit.
    for given in (whole, Image.fromarray(array)):
        np.testing.assert_array_equal(applied(transform, given)[0], expected[0])


@pytest.mark.parametrize("transform", [Letterbox(256), Stretch(100), Turned(Letterbox(20), 30.0)], ids=repr)
def test_full_size_where_pixels_would_be_missing(transform):
    """Enlarged, shrunk by less than two, and resampled twice."""
    whole, reduced = opened(photograph()), opened(photograph())
    np.testing.assert_array_equal(applied(transform, reduced)[0], applied(transform, np.asarray(whole))[0])
    assert reduced.size == (251, 187)
