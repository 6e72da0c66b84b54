"""Predictions beside labels at the resolution of the original images, cropped to the animal, with whole names."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpjax.drawing.fonts import text_and_font
from kpjax.drawing.overlays import BACKGROUND, INK, dot_radius, draw_keypoints
from kpjax.lab.out.reports.label_sheet import part_of, with_list
from kpjax.structures import Skeleton

LEAST, MOST = 360, 960  # px, of the longer side of a crop: smaller ones are enlarged, larger ones reduced
GAP, TEXT = 10, 14  # px
FADED = 0.4  # opacity of a point whose score is below the cutoff


class Compared(NamedTuple):
    """One animal's predictions and labels in pixels of its image."""

    predicted: np.ndarray  # (K, 2)
    scores: np.ndarray  # (K,)
    true: np.ndarray  # (K, 2)
    visible: np.ndarray  # (K,), 0 where nothing is labelled


def cropped(image: np.ndarray, one: Compared, cutoff: float) -> tuple[np.ndarray, Compared]:
    """Crops an image (H, W, 3) uint8 to an animal's labels and the predictions that the cutoff leaves, and moves both.

    What is smaller than `LEAST` is enlarged by a whole factor, what is larger than `MOST` reduced.
    """
    labelled = np.asarray(one.visible) > 0
    points = np.concatenate([one.true[labelled], one.predicted[labelled & (one.scores >= cutoff)]])
    image, moved = part_of(image, points, lambda side: min(max(1, math.ceil(LEAST / side)), MOST / side),
                           Image.Resampling.BICUBIC)
    return image, one._replace(predicted=moved(one.predicted), true=moved(one.true))


def labels_drawn(image: np.ndarray, one: Compared, skeleton: Skeleton) -> np.ndarray:
    """Draws the labels of an animal on its image as rings."""
    return _drawn(image, one, skeleton, np.zeros(len(one.scores)))


def predictions_drawn(image: np.ndarray, one: Compared, skeleton: Skeleton, cutoff: float, *, faded: float = FADED
                      ) -> np.ndarray:
    """Draws an animal's predictions as dots, joined to the rings of their labels.

    faded: opacity of predictions whose score is below the cutoff. Those of keypoints without a label are left out.
    """
    opacity = np.where(one.scores >= cutoff, 1.0, faded)
    return _drawn(image, one, skeleton, np.where(np.asarray(one.visible) > 0, opacity, 0.0))


def _drawn(image: np.ndarray, one: Compared, skeleton: Skeleton, opacity: np.ndarray) -> np.ndarray:
    radius = dot_radius(one.true[None], np.asarray(one.visible)[None] > 0, min(image.shape[:2]))
    return draw_keypoints(image, one.predicted, opacity, skeleton, true=one.true, true_visible=one.visible,
                          minimum_side=1, radius=radius)


def error_sheet(
    images: Sequence[np.ndarray], animals: Sequence[Compared], skeleton: Skeleton, captions: Sequence[str], *,
    cutoff: float, columns: int = 3,
) -> np.ndarray:
    """Draws a sheet (h, w, 3) uint8 of predictions on labelled images, in the order given, the names below in whole.

    images: (H, W, 3) uint8 of any sizes, at full resolution; at least one.
    """
    crops = [predictions_drawn(*cropped(image, one, cutoff), skeleton, cutoff)
             for image, one in zip(images, animals, strict=True)]
    columns = min(columns, len(crops))
    width = max(crop.shape[1] for crop in crops)
    wrapped = [[part for line in caption.splitlines() for part in wrapped_text(*text_and_font(line, TEXT), width)]
               for caption in captions]
    rows = [range(first, min(first + columns, len(crops))) for first in range(0, len(crops), columns)]
    heights = [(max(crops[n].shape[0] for n in row), max(len(wrapped[n]) for n in row) * (TEXT + 4)) for row in rows]
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, sum(map(sum, heights)) + GAP * (2 * len(rows) + 1)),
                      BACKGROUND)
    canvas, top = ImageDraw.Draw(sheet), GAP
    for row, (height, below) in zip(rows, heights, strict=True):
        for place, n in enumerate(row):
            left = GAP + place * (width + GAP)
            sheet.paste(Image.fromarray(crops[n]), (left + (width - crops[n].shape[1]) // 2, top))
            for line, text in enumerate(wrapped[n]):
                at = left, top + height + 2 + line * (TEXT + 4)
                canvas.text(at, text, fill=INK, font=text_and_font(text, TEXT)[1])
        top += height + below + 2 * GAP
    return with_list(np.asarray(sheet), skeleton)


def wrapped_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Breaks a line into some at most `width` pixels wide, after spaces, slashes and underscores where it can."""
    lines = []
    while text:
        end = len(text)
        while end > 1 and font.getlength(text[:end]) > width:
            end -= 1
        if end < len(text):
            at = max(text.rfind(mark, 0, end) for mark in " /_-")
            end = at + 1 if at > 0 else end
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines
