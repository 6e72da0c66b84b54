"""Root mean squared errors of joints in the units in which papers report them.

Papers on discovered keypoints report an RMSE and seldom its unit. It may be of a coordinate, of a
point, or of all coordinates of an image as one vector. It may be in normalised coordinates, in
pixels of the crop or of the original image. For one set of errors these differ by factors of up to
a few hundred, so only ratios between methods compare across papers.
"""

from typing import NamedTuple

import chex
import numpy as np
from numpy.typing import ArrayLike


class RegressionErrors(NamedTuple):
    """Errors of joints that are visible, in the unit of the points. NaN where none is."""

    per_coordinate: float  # the root of the mean square of a coordinate's error
    per_point: float  # the same of a point's distance: sqrt(2) times `per_coordinate`
    #: the same of the norm over all J points of an image: sqrt(2 J) times `per_coordinate`
    per_image: float
    mean_distance: float  # the plain mean of distances
    per_joint: np.ndarray  # (J,) float64, `per_coordinate` of each joint


def regression_errors(
    predicted: ArrayLike, true: ArrayLike, visible: ArrayLike
) -> RegressionErrors:
    """Computes errors of joints (N, J, 2) in float64; those with visible (N, J) above 0.5 count.

    Where some joints are hidden, `per_image` assumes J joints with errors like those of the visible
    ones.
    """
    squares, shown = _squared_distances(predicted, true, visible)
    count = shown.sum(0)
    sums = squares.sum(0)
    points = int(count.sum())
    mean_square = float(sums.sum() / points) if points else float("nan")
    coordinates = 2 * np.maximum(count, 1)
    per_joint = np.where(count > 0, np.sqrt(sums / coordinates), np.nan)
    total = np.sqrt(squares).sum()
    distance = float(total / points) if points else float("nan")
    return RegressionErrors(
        float(np.sqrt(mean_square / 2)),
        float(np.sqrt(mean_square)),
        float(np.sqrt(mean_square * shown.shape[1])),
        distance,
        per_joint,
    )


def errors_in_units(
    predicted: ArrayLike,
    true: ArrayLike,
    visible: ArrayLike,
    *,
    size: tuple[int, int],
    crop: ArrayLike,
) -> dict[str, RegressionErrors]:
    """Computes the errors of points in pixels of the network's images, in three units.

    Args:
        size: (height, width) of those images.
        crop: (N, 3, 3), their pixels to those of the original images.

    Returns:
        "normalised" (the image's edges at -1 and 1), "pixels" (of the network's images) and
        "original" (pixels of the original images).
    """
    points = [np.asarray(points, np.float64) for points in (predicted, true)]
    crop = np.asarray(crop, np.float64)
    chex.assert_shape(points, (None, None, 2))
    chex.assert_shape(crop, (len(points[1]), 3, 3))
    normalised = [normalised_from_pixels(part, size) for part in points]
    original = [_apply_maps(crop, part) for part in points]
    return {
        "normalised": regression_errors(*normalised, visible),
        "pixels": regression_errors(*points, visible),
        "original": regression_errors(*original, visible),
    }


def normalised_from_pixels(points: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Converts pixels (..., 2) of an image (height, width) to normalised ones, the outer edges at
    +-1.
    """
    height, width = size
    from_edge = np.asarray(points, np.float64) + 0.5
    scale = 2 / np.array([width, height])
    return from_edge * scale - 1


def _squared_distances(predicted, true, visible) -> tuple[np.ndarray, np.ndarray]:
    """Returns squared distances (N, J), 0 where not visible, and the visible points (N, J) bool."""
    predicted = np.asarray(predicted, np.float64)
    true = np.asarray(true, np.float64)
    shown = np.asarray(visible) > 0.5
    chex.assert_shape(true, (None, None, 2))
    chex.assert_equal_shape([predicted, true])
    chex.assert_shape(shown, true.shape[:2])
    difference = np.where(shown[..., None], predicted - true, 0.0)
    squares = np.square(difference).sum(-1)
    return squares, shown


def _apply_maps(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Moves points (N, J, 2) by maps (N, 3, 3)."""
    moved = np.einsum(
        "nij,nkj->nki", maps, np.concatenate([points, np.ones((*points.shape[:2], 1))], -1)
    )
    return moved[..., :2] / moved[..., 2:]
