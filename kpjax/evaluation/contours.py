"""The distance between contours that keypoints sample: sliding along a contour costs nothing.

What is measured of tongues in ultrasound is the surface, and where along it a point lies is a
matter of taste.
"""

from collections.abc import Sequence

import chex
import numpy as np
from jaxtyping import Float

from kpjax.evaluation.metrics import Lengths, Numbers, Points, Visible

Line = Float[Numbers, "points 2"]


def along(points: Line, samples: int) -> np.ndarray:
    """Returns points (samples, 2) at equal distances on the straight lines that join some points in
    their order.
    """
    points = np.asarray(points, np.float64)
    chex.assert_shape(points, (None, 2))
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    passed = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.linspace(0.0, passed[-1], samples)
    x = np.interp(at, passed, points[:, 0])
    y = np.interp(at, passed, points[:, 1])
    return np.stack([x, y], axis=1)


def contour_distance(first: Line, second: Line, *, samples: int = 100) -> float:
    """Computes the mean sum of distances: of points of either contour to the nearest point of the
    other, both ways.

    first, second: points of two contours in their order, which need not have the same number, in
    the same pixels.
    Source: what is usual for tongues in ultrasound, and what Wrench and Balch-Tomes (Sensors 2022)
    report; how they interpolate is not known.
    """
    one = along(first, samples)
    other = along(second, samples)
    differences = one[:, None] - other[None]
    distance = np.linalg.norm(differences, axis=-1)
    there = distance.min(1).sum()
    back = distance.min(0).sum()
    return float((there + back) / (2 * samples))


def contour_errors(
    predicted: Points,
    true: Points,
    visible: Visible,
    normaliser: Lengths,
    contours: Sequence[Sequence[int]],
    *,
    samples: int = 100,
) -> np.ndarray:
    """Computes `contour_distance` / normaliser (N,) of each image, the mean over its contours.

    A contour's points are the labelled ones, in the predicted contour, too; with fewer than two it
    does not count, and an image without any is NaN.

    Args:
        normaliser: (N,) reference length of each image, in the points' pixels.
        contours: Indices of keypoints, in the order in which lines join them.
    """
    predicted = np.asarray(predicted)
    true = np.asarray(true)
    seen = np.asarray(visible) > 0.5
    normaliser = np.asarray(normaliser, np.float64)
    chex.assert_shape(true, (None, None, 2))
    chex.assert_equal_shape([predicted, true])
    chex.assert_shape([seen, normaliser], [true.shape[:2], true.shape[:1]])
    found = np.full((len(true), len(contours)), np.nan)
    for image, labelled in enumerate(seen):
        for number, members in enumerate(contours):
            there = [k for k in members if labelled[k]]
            if len(there) > 1:
                found[image, number] = contour_distance(
                    predicted[image, there], true[image, there], samples=samples
                )
    count = np.isfinite(found).sum(1)
    at_least_one = np.maximum(count, 1)
    means = np.where(count > 0, np.nansum(found, axis=1) / at_least_one, np.nan)
    return means / normaliser
