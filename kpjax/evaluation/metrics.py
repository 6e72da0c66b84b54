"""Errors and accuracies of predicted keypoints: plain functions of gathered arrays, computed on the
host.

Points are (images, keypoints, 2), (x, y), predicted and true in the same pixels; those with
`visible` (images, keypoints) above 0.5 count. Coordinates of the others are never read. Accuracies
are fractions in [0, 1]. Arithmetic is in float64. Where nothing counts a value is NaN. Arrays of
other shapes are refused by an AssertionError that names both shapes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from kpjax.errors import InputError, summarise
from kpjax.structures import Skeleton

Numbers = Array | np.ndarray
Points = Float[Numbers, "images keypoints 2"]
Visible = (
    Float[Numbers, "images keypoints"]
    | Bool[Numbers, "images keypoints"]
    | Int[Numbers, "images keypoints"]
)
Lengths = Float[Numbers, "images"]


class PerKeypoint(NamedTuple):
    """A mean, taken in two orders, and its parts."""

    #: the mean of `per_keypoint` over the keypoints that occur: each keypoint weighs the same
    overall: float
    per_keypoint: np.ndarray  # (K,) float64, NaN for a keypoint that never counts
    count: np.ndarray  # (K,) int64, the number of points behind each mean
    pooled: float  # the mean over all points at once: each point weighs the same


def _mean(values: np.ndarray) -> float:
    if not values.size:
        return float("nan")
    return float(values.mean())


def _per_keypoint(values, counted) -> PerKeypoint:
    """Computes the means of values (N, K) where counted (N, K); values elsewhere may be
    anything."""
    sums = np.where(counted, values, 0.0).sum(0)
    count = counted.sum(0)
    divisor = np.maximum(count, 1)
    means = np.where(count > 0, sums / divisor, np.nan)
    total = count.sum()
    pooled = float(sums.sum() / total) if total else float("nan")
    overall = _mean(means[count > 0])
    return PerKeypoint(overall, means, count.astype(np.int64), pooled)


def _differences(predicted, true, visible) -> tuple[np.ndarray, np.ndarray]:
    """Returns predicted - true (N, K, 2) in float64, 0 where not counted, and the counted points
    (N, K) bool.

    Raises AssertionError for points that are not (N, K, 2), both of one shape, and visible not (N,
    K).
    """
    predicted = np.asarray(predicted, np.float64)
    true = np.asarray(true, np.float64)
    counted = np.asarray(visible) > 0.5
    chex.assert_shape(true, (None, None, 2))
    chex.assert_equal_shape([predicted, true])
    chex.assert_shape(counted, true.shape[:2])
    difference = np.where(counted[..., None], predicted - true, 0.0)
    return difference, counted


def _checked_lengths(name: str, lengths, counted) -> np.ndarray:
    """Returns reference lengths (N,) as (N, 1) float64, 1 where an image has nothing to count;
    checks them.
    """
    lengths = np.asarray(lengths, np.float64)
    used = counted.any(1)
    chex.assert_shape(lengths, used.shape)
    positive = np.isfinite(lengths) & (lengths > 0)
    wrong = np.flatnonzero(used & ~positive)
    if wrong.size:
        faults = [f"image {n} has {lengths[n]:g}" for n in wrong]
        raise InputError(
            f"{name}: {wrong.size} of {len(lengths)} are not a positive length in pixels "
            f"({summarise(faults)}); give each image its reference length or leave the image out"
        )
    return np.where(used, lengths, 1.0)[:, None]


def pck(
    predicted: Points,
    true: Points,
    visible: Visible,
    normaliser: Lengths,
    *,
    threshold: float = 0.05,
    strict: bool = True,
) -> PerKeypoint:
    """Computes the percentage of correct keypoints: the fraction whose distance is below threshold
    * normaliser.

    Args:
        normaliser: (N,) reference length of each image, in the points' pixels: image or map side,
            box side, torso.
        strict: distance < limit (official RegDA); otherwise <= (Yang and Ramanan 2013 as commonly
            coded, MPII).

    Raises:
        InputError: for a reference length that is not positive.
    """
    difference, counted = _differences(predicted, true, visible)
    distance = np.linalg.norm(difference, axis=-1)
    relative = distance / _checked_lengths("normaliser", normaliser, counted)
    hits = relative < threshold if strict else relative <= threshold
    return _per_keypoint(hits, counted)


def head_size(boxes: Float[Numbers, "images 4"]) -> np.ndarray:
    """Computes MPII's reference length (N,): 0.6 times the diagonal of the head box (x1, y1, x2,
    y2).
    """
    boxes = np.asarray(boxes, np.float64)
    chex.assert_shape(boxes, (None, 4))
    upper_left = boxes[:, :2]
    lower_right = boxes[:, 2:]
    diagonals = np.linalg.norm(lower_right - upper_left, axis=-1)
    return 0.6 * diagonals


def pckh(
    predicted: Points, true: Points, visible: Visible, head: Lengths, *, threshold: float = 0.5
) -> PerKeypoint:
    """Computes PCK relative to the head (`head_size`): the fraction with distance / head <=
    threshold.

    The official MPII mean is `pooled` with pelvis and thorax left out of `visible` (Andriluka et
    al. 2014).
    """
    return pck(predicted, true, visible, head, threshold=threshold, strict=False)


# PCK on heatmap cells, as the official RegDA counts it


def _cell_hits(
    predicted_cells, true_cells, map_size: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns hits and counted points, (N, K) bool, by the rules of `pck_batchwise`."""
    true_cells = np.asarray(true_cells, np.float64)
    chex.assert_shape(true_cells, (None, None, 2))
    beyond_first = (true_cells > 1).all(-1)
    inside = beyond_first & (true_cells < map_size).all(-1)
    difference, counted = _differences(predicted_cells, true_cells, inside)
    distance = np.linalg.norm(difference, axis=-1)
    hits = distance / (map_size / 10) < threshold
    return hits, counted


def cell_accuracy(
    predicted_cells: Points, true_cells: Points, *, map_size: int, threshold: float = 0.5
) -> np.ndarray:
    """Computes the accuracy (K,) of one batch as `pck_batchwise` does: hits / valid, -1 where
    nothing is valid.
    """
    hits, counted = _cell_hits(predicted_cells, true_cells, map_size, threshold)
    count = counted.sum(0)
    counted_hits = (hits & counted).sum(0)
    accuracy = counted_hits / np.maximum(count, 1)
    return np.where(count > 0, accuracy, -1.0)


def pck_batchwise(
    predicted_cells: Points,
    true_cells: Points,
    *,
    map_size: int,
    groups: Mapping[str, Sequence[int]],
    batch_size: int = 32,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Computes PCK of named groups of keypoints exactly as the official RegDA code, for comparison
    with its tables.

    A hit is a distance below `threshold` * map_size / 10, 5 % of the side at 0.5. A true cell at 0
    or 1 in either axis, or beyond the map, counts as missing; missing keypoints are decoded to (0,
    0) and so drop out. In each batch, a group scores the plain mean over its keypoints of hits /
    valid, in which a keypoint with nothing valid enters as -1. The result is the mean over batches
    weighted by their sizes. Hence it depends on the order and the batch size: report `pck_global`.

    Cells are (x, y), whole numbers, of a square map of side `map_size`. groups: indices of
    keypoints by name.
    """
    chex.assert_equal_shape([np.asarray(predicted_cells), np.asarray(true_cells)])
    count = len(predicted_cells)
    sums = dict.fromkeys(groups, 0.0)
    for start in range(0, count, batch_size):
        batch = slice(start, start + batch_size)
        accuracy = cell_accuracy(
            predicted_cells[batch], true_cells[batch], map_size=map_size, threshold=threshold
        )
        images = min(batch_size, count - start)
        for name, members in groups.items():
            mean = float(accuracy[list(members)].mean())
            sums[name] += mean * images
    return {name: value / count if count else float("nan") for name, value in sums.items()}


def pck_global(
    predicted_cells: Points, true_cells: Points, *, map_size: int, threshold: float = 0.5
) -> PerKeypoint:
    """Computes PCK with the hit and validity rules of `pck_batchwise`, hits and valid points summed
    over all images.
    """
    hits, counted = _cell_hits(predicted_cells, true_cells, map_size, threshold)
    return _per_keypoint(hits, counted)


# Errors


def nme(predicted: Points, true: Points, visible: Visible, normaliser: Lengths) -> PerKeypoint:
    """Computes the normalised mean error: the mean of distance / normaliser.

    `pooled` equals the usual mean over images of each image's mean when every point is visible.
    normaliser: (N,) in the points' pixels, for faces the inter-ocular distance (`distance_between`)
    or the box's root of area. Raises as `pck`.
    """
    difference, counted = _differences(predicted, true, visible)
    lengths = _checked_lengths("normaliser", normaliser, counted)
    relative = np.linalg.norm(difference, axis=-1) / lengths
    return _per_keypoint(relative, counted)


def distance_between(points: Points, first: int, second: int) -> np.ndarray:
    """Computes the distance (N,) between two keypoints of each image, for example the outer corners
    of the eyes.
    """
    points = np.asarray(points, np.float64)
    chex.assert_shape(points, (None, None, 2))
    difference = points[:, first] - points[:, second]
    return np.linalg.norm(difference, axis=-1)


class AbsoluteErrors(NamedTuple):
    """Mean absolute errors along x and y, the mean of the two and their sum."""

    x: PerKeypoint
    y: PerKeypoint
    mean: PerKeypoint
    sum: PerKeypoint


def mae(predicted: Points, true: Points, visible: Visible, unit: float) -> AbsoluteErrors:
    """Computes the mean absolute error of coordinates.

    unit: pixels that make an error of 1 (31 cells for dSprites' unit square).
    """
    difference, counted = _differences(predicted, true, visible)
    errors = np.abs(difference) / unit
    x, y = np.moveaxis(errors, -1, 0)
    return AbsoluteErrors(
        x=_per_keypoint(x, counted),
        y=_per_keypoint(y, counted),
        mean=_per_keypoint((x + y) / 2, counted),
        sum=_per_keypoint(x + y, counted),
    )


# Reporting


def by_keypoint(
    prefix: str, values: Float[Numbers, "keypoints"], skeleton: Skeleton
) -> dict[str, float]:
    """Returns `<prefix>/<keypoint name>` -> value, keypoints that are NaN left out."""
    chex.assert_shape(np.asarray(values), (len(skeleton.names),))
    return {
        f"{prefix}/{name}": float(value)
        for name, value in zip(skeleton.names, values, strict=True)
        if not np.isnan(value)
    }
