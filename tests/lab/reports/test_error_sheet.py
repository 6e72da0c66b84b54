"""Predictions beside labels on crops of the original images, with whole names."""
import numpy as np
from PIL import ImageFont

from kpjax.drawing.overlays import wrapped_text
from kpjax.lab.out.reports.error_sheet import (
    MOST,
    Compared,
    cropped,
    error_sheet,
    labels_drawn,
    predictions_drawn,
)
from kpjax.structures import Skeleton

PAIR = Skeleton(("left", "right"), ((0, 1),))
TRUE = np.array([[300.0, 200.0], [340.0, 230.0]])
ONE = Compared(TRUE + 4.0, np.array([0.9, 0.1]), TRUE, np.ones(2))
IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)


def test_a_crop_keeps_the_pixels_of_the_image_and_moves_the_points_along():
    image, one = cropped(IMAGE, ONE, 0.5)
    assert 360 <= max(image.shape[:2]) < 720
    left = one.true[0] - (TRUE[0] - TRUE[0].round())
    factor = np.diff(one.true, axis=0) / np.diff(TRUE, axis=0)
    np.testing.assert_allclose(factor, round(factor[0, 0]))  # enlarged by a whole factor
    np.testing.assert_allclose(one.predicted - one.true, 4.0 * factor.repeat(2, 0))
    assert (left > 0).all()
    assert (left < image.shape[1::-1]).all()
    wide = Compared(np.array([[10.0, 10.0], [2900.0, 1900.0]]), np.ones(2), np.array([[10.0, 10.0], [2900.0, 1900.0]]),
                    np.ones(2))
    large, moved = cropped(np.zeros((2000, 3000, 3), np.uint8), wide, 0.5)
    assert max(large.shape) == MOST
    assert (moved.true < large.shape[1::-1]).all()


def test_labels_on_one_side_and_predictions_on_the_other():
    image, one = cropped(np.zeros_like(IMAGE), ONE, 0.5)
    labels, predictions = labels_drawn(image, one, PAIR), predictions_drawn(image, one, PAIR, 0.5)
    assert labels.shape == predictions.shape == image.shape
    at = [tuple(np.round(point).astype(int)[::-1]) for point in one.predicted]
    assert labels[at[0]].sum() == 0
    assert predictions[at[0]].sum() > 3 * predictions[at[1]].sum() > 0  # below the cutoff it is faded
    hidden = predictions_drawn(image, one._replace(visible=np.array([1.0, 0.0])), PAIR, 0.5)
    assert hidden[at[1]].sum() == 0  # nothing is known of it


def test_names_are_whole_however_long():
    font = ImageFont.load_default(size=14)
    name = "labeled-data/a recording with a very long name_2018-08-30/img0123456789.png"
    lines = wrapped_text(name, font, 200)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert max(map(font.getlength, lines)) <= 200
    assert wrapped_text("", font, 10) == []
    short = error_sheet([IMAGE], [ONE], PAIR, ["a"], cutoff=0.5)
    assert error_sheet([IMAGE], [ONE], PAIR, [name * 5], cutoff=0.5).shape[0] > short.shape[0]
    several = error_sheet([IMAGE] * 4, [ONE] * 4, PAIR, [name] * 4, cutoff=0.5)
    assert several.shape[1] > 3 * 360
