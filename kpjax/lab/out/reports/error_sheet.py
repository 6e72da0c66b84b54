"""Predictions beside labels at the resolution of the original images, cropped to the animal, with whole names."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax.drawing.overlays import contact_sheet, dot_radius, draw_keypoints
from kpjax.lab.out.reports.label_sheet import part_of, with_list
from kpjax.structures import Skeleton

LEAST, MOST = 360, 960  # px, of the longer side of a crop: smaller ones are enlarged, larger ones reduced
GAP = 10  # px
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
    return with_list(contact_sheet(crops, columns, captions=captions, gap=GAP), skeleton)
