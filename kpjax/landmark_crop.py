"""Crops by annotated landmarks, as the code of "Object landmark discovery through unsupervised adaptation" (NeurIPS
2019) makes them: the picture turned on a canvas that holds all of it, and the box of the landmarks with a margin.

Host side, numpy. Where a set has a box and no landmarks, the corners of the box take their place. Points move from a
box to the square picture by `boxes.crop_map(box, side, grid="index")`.
"""
from typing import NamedTuple

import numpy as np

from kpjax.boxes import tight_box
from kpjax.errors import InputError

SMALLEST = 20  # pixels of a box below which its margin does not shrink with it
LEAST_MARGIN = 8


class Turned(NamedTuple):
    """A map (3, 3) float64 from pixels of a picture to those of the canvas that holds it turned, and the canvas."""

    map_: np.ndarray
    width: int
    height: int


def turned_canvas(width: int, height: int, degrees: float) -> Turned:
    """A turn of a whole picture about (width // 2, height // 2), which goes to half of the canvas's sides.

    A positive angle takes the x axis towards the y axis. The sides of the canvas are cut to whole pixels.
    """
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    new_width = int(height * abs(sine) + width * abs(cosine))
    new_height = int(height * abs(cosine) + width * abs(sine))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([new_width / 2, new_height / 2]) - turn @ np.array([width // 2, height // 2])
    return Turned(np.block([[turn, shift[:, None]], [np.eye(3)[2:]]]), new_width, new_height)


def landmark_box(
    keypoints: np.ndarray, tightness: int, width: int, height: int, visible: np.ndarray | None = None
) -> np.ndarray:
    """The box (left, upper, right, lower) int64 of keypoints (K, 2) with a margin, cut to a picture; its right column
    and lower row do not belong to it.

    tightness: the margin in percent of the mean of the box's two sides, cut to whole pixels; 8 pixels for boxes below
    20. The published training draws int(70 + 4 N(0, 1)) for each view; evaluation has 64 or 16. Edges are rounded, half
    to even, before the margin is added. Raises InputError if no keypoint is visible or the box lies outside.
    """
    left, upper, right, lower = tight_box(keypoints, visible)
    extent = ((right - left) + (lower - upper)) / 2
    margin = LEAST_MARGIN if extent < SMALLEST else int(tightness * extent / 100)
    box = np.array([max(round(left) - margin, 0), max(round(upper) - margin, 0),
                    min(round(right) + margin, width - 1), min(round(lower) + margin, height - 1)], np.int64)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"keypoints: their box with its margin, {box.tolist()}, has no area inside a picture of "
                         f"{width} x {height}; check that they are in pixels of this picture")
    return box
