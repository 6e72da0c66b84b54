"""Sheets of labels with the names of their keypoints, which show swapped and shifted ones at once,
and of predictions beside labels at the resolution of the original images, cropped to the animal."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from kpjax.drawing import overlays
from kpjax.drawing.fonts import text_and_font
from kpjax.formats.project import Frame, Instance
from kpjax.formats.project_source import read_frame
from kpjax.lab.reports.pixel_errors import Animals
from kpjax.structures import Skeleton

# px, of the longer side of an image on the sheet; the larger for many keypoints
SIDE, LARGE_SIDE = 420, 720
MARGIN = 0.3  # share of the labelled points' extent, shown around them
LEAST = 0.15  # share of an image's longer side, always shown
AROUND_ONE = 0.25  # the same around a single label
# keypoints at most for names beside the points; more have numbers there, and names below the sheet
NAMED = 24
NUMBERED = 200  # points at most with a number: the place of each is chosen among all others
OCCLUDED = 0.45  # opacity of an occluded point
# px, of the longer side of a crop of predictions: others are enlarged or reduced
LEAST_SIDE, MOST = 360, 960
FADED = 0.4  # opacity of a point whose score is below the cutoff


def label_sheet(
    animals: Sequence[tuple[np.ndarray, Instance, str]], skeleton: Skeleton
) -> np.ndarray:
    """Draws a contact sheet (h, w, 3) uint8 of images with the labels of one animal on each, and a
    caption.

    Every image is cropped to its labels and resized. Names (or numbers, above 24 keypoints) stand
    beside the points in their colours, those of occluded points in brackets. Below the sheet is a
    list of all keypoints.
    """
    side = SIDE if len(skeleton.names) <= NAMED else LARGE_SIDE
    shown = []
    for frame, one, _ in animals:
        image, moved = part_of(
            frame, one.keypoints, lambda longer: side / longer, Image.Resampling.BILINEAR
        )
        shown.append(
            draw_named_labels(image, one._replace(keypoints=moved(one.keypoints)), skeleton)
        )
    sheet = overlays.contact_sheet(shown, captions=[caption for *_, caption in animals])
    numbered = replace(
        skeleton, names=tuple(f"{k} {name}" for k, name in enumerate(skeleton.names))
    )
    return np.concatenate([sheet, overlays.legend_strip(sheet.shape[1], numbered)])


def draw_named_labels(image: np.ndarray, labels: Instance, skeleton: Skeleton) -> np.ndarray:
    """Draws labelled points, edges and names on an image (H, W, 3) uint8; returns one of the same
    size.
    """
    many = len(skeleton.names) > NAMED
    colours = [
        tuple(int(c) for c in colour) for colour in overlays.keypoint_colours(len(skeleton.names))
    ]
    pil_image = Image.fromarray(
        overlays.draw_keypoints(
            image,
            labels.keypoints,
            np.where(labels.occluded, OCCLUDED, 1.0),
            replace(skeleton, edges=()) if many else skeleton,
            minimum_side=1,
            radius=2.5 if many else None,
        )
    )
    canvas = ImageDraw.Draw(pil_image)
    known = np.flatnonzero((np.abs(labels.keypoints) < overlays.FARTHEST).all(-1)).tolist()
    letters = max(10, round(max(pil_image.size) / (60 if many else 34)))
    taken: list[tuple[float, float, float, float]] = []
    for k in known if len(known) <= NUMBERED else ():
        text = str(k) if many else skeleton.names[k]
        text, font = text_and_font(f"({text})" if labels.occluded[k] else text, letters)
        corner = _free_corner(
            labels.keypoints[k], font.getbbox(text), pil_image.size, labels.keypoints[known], taken
        )
        canvas.text(
            corner, text, fill=colours[k], font=font, stroke_width=2, stroke_fill=overlays.OUTLINE
        )
    return np.asarray(pil_image)


def part_of(
    image: np.ndarray,
    keypoints: np.ndarray,
    factor_of: Callable[[int], float],
    filter_: Image.Resampling,
    least: float = LEAST,
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Returns the part of an image that shows its points, resized, and what moves points to pixels
    of that.

    factor_of: the longer side of the part -> how many times larger it is shown. least: the least
    sides of the part, as a share of the image's longer one.
    """
    sides = image.shape[1::-1]
    points = keypoints[np.isfinite(keypoints).all(-1)]
    points = points[((points > -1) & (points < sides)).all(-1)]
    left, upper, right, lower = 0, 0, *sides
    if len(points):
        middle, extent = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0)
        half = np.maximum(extent * (0.5 + MARGIN), least * max(sides) / 2 + extent.max() * MARGIN)
        left, upper = np.maximum(np.floor(middle - half), 0).astype(int).tolist()
        right, lower = np.minimum(np.ceil(middle + half) + 1, sides).astype(int).tolist()
    factor = factor_of(max(right - left, lower - upper))
    size = max(round((right - left) * factor), 1), max(round((lower - upper) * factor), 1)
    growth = np.array(size) / (right - left, lower - upper)
    shown = np.asarray(Image.fromarray(image[upper:lower, left:right]).resize(size, filter_))
    return (
        shown,
        lambda points: (np.asarray(points, np.float64) - (left, upper) + 0.5) * growth - 0.5,
    )


def _free_corner(point, box, size, dots: np.ndarray, taken: list) -> tuple[float, float]:
    """Returns the upper left corner of a text near a point, where it covers least of other texts
    and points.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    gap = 0.35 * height + 3
    best, least = None, math.inf
    for ring in (1.0, 2.2, 3.8):
        for turn in range(8):
            across, down = (
                round(function(turn * math.pi / 4), 6) for function in (math.cos, math.sin)
            )
            x = (
                point[0]
                + across * gap * ring
                + (0 if across > 0 else -width if across < 0 else -width / 2)
            )
            y = point[1] + down * (gap * ring + height / 2) - height / 2
            place = (x, y, x + width, y + height)
            covered = (
                ((dots > np.array(place[:2]) - 2) & (dots < np.array(place[2:]) + 2)).all(-1).sum()
            )
            cost = (
                2 * ring * height
                + sum(_shared_area(place, other) for other in taken)
                + 8 * height * int(covered)
            )
            cost += 4 * (width * height - _shared_area(place, (0, 0, *size)))
            if cost < least:
                best, least = place, cost
    taken.append(best)
    return best[0] - box[0], best[1] - box[1]


def _shared_area(first, second) -> float:
    """Returns the area that two boxes have in common."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


class Compared(NamedTuple):
    """One animal's predictions and labels in pixels of its image."""

    predicted: np.ndarray  # (K, 2)
    scores: np.ndarray  # (K,)
    true: np.ndarray  # (K, 2)
    visible: np.ndarray  # (K,), 0 where nothing is labelled


def read_animal(animals: Animals, n: int) -> tuple[np.ndarray, Compared]:
    """Reads the frame of animal `n`, with what is known of it.

    Raises InputError if it cannot be read.
    """
    image = read_frame(Frame("", animals.images[n], animals.frames[n], (0, 0), ""))
    return image, Compared(
        animals.predicted[n], animals.scores[n], animals.true[n], animals.visible[n]
    )


def crop_to_animal(
    image: np.ndarray, one: Compared, cutoffs: np.ndarray
) -> tuple[np.ndarray, Compared]:
    """Crops an image (H, W, 3) uint8 to an animal's labels and the predictions that the cutoffs (K,)
    leave, and moves both.

    What is smaller than `LEAST_SIDE` is enlarged by a whole factor, what is larger than `MOST`
    reduced. A single label does not say how large the animal is: the part has sides of at least a
    quarter of the image's longer one.
    """
    labelled = np.asarray(one.visible) > 0
    points = np.concatenate([one.true[labelled], one.predicted[labelled & (one.scores >= cutoffs)]])
    image, moved = part_of(
        image,
        points,
        lambda side: min(max(1, math.ceil(LEAST_SIDE / side)), MOST / side),
        Image.Resampling.BICUBIC,
        LEAST if labelled.sum() > 1 else AROUND_ONE,
    )
    return image, one._replace(predicted=moved(one.predicted), true=moved(one.true))


def predictions_drawn(
    image: np.ndarray, one: Compared, skeleton: Skeleton, cutoffs: np.ndarray, faded: float = FADED
) -> np.ndarray:
    """Draws an animal's predictions as dots, joined to the rings of their labels.

    faded: opacity of predictions whose score is below their keypoint's cutoff (K,). Those of
    keypoints without a label are left out.
    """
    labelled = np.asarray(one.visible) > 0
    opacity = np.where(labelled, np.where(one.scores >= cutoffs, 1.0, faded), 0.0)
    radius = overlays.dot_radius(one.true[None], labelled[None], min(image.shape[:2]))
    return overlays.draw_keypoints(
        image,
        one.predicted,
        opacity,
        skeleton,
        true=one.true,
        true_visible=one.visible,
        minimum_side=1,
        radius=radius,
    )
