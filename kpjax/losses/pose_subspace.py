"""The subspace of plausible poses: principal components of labels (Lightning Pose, 2024).

A row is a pose, (x_1, y_1, ..., x_K, y_K), in pixels of the original images.
"""

from typing import NamedTuple

import chex
import numpy as np

from kpjax.errors import InputError


class PoseSubspace(NamedTuple):
    """A mean, the directions in which labels vary, and the distance that labels keep from them."""

    mean: np.ndarray  # (D,) float32
    basis: np.ndarray  # (D, C) float32, orthonormal columns
    epsilon: np.ndarray  # () float32, px: no loss up to it


def fit_pose_subspace(
    rows: np.ndarray,
    *,
    share: float = 0.99,
    components: int | None = None,
    percentile: float = 99.0,
) -> PoseSubspace:
    """Fits the subspace to labels, without augmentation.

    Means and covariances leave out missing coordinates: those of two coordinates are over rows that
    have both.

    Args:
        rows: (N, D) with D even, NaN where a keypoint has no label.
        share: of the variance that the components reach; as few as do.
        components: their number, instead.
        percentile: epsilon is this percentile of the distances of all labelled points of whole
            rows.

    Raises:
        InputError: there are fewer rows than coordinates, fewer than two for some pair of
            coordinates, or no whole row.
    """
    rows = np.asarray(rows, np.float64)
    chex.assert_rank(rows, 2)
    chex.assert_is_divisible(rows.shape[1], 2, custom_message=f"rows of poses {rows.shape}")
    if len(rows) < rows.shape[1]:
        raise InputError(
            f"pose subspace: {len(rows)} labelled poses of {rows.shape[1]} coordinates; label at least as "
            "many"
        )
    known = ~np.isnan(rows)
    together = known.T.astype(np.float64) @ known
    whole = rows[known.all(1)]
    if together.min() < 2 or not len(whole):
        raise InputError(
            f"pose subspace: {len(whole)} poses have all keypoints, and some two keypoints are labelled "
            f"together in {int(together.min())}; label whole poses"
        )
    mean = np.nanmean(rows, 0)
    centred = np.where(known, rows - mean, 0.0)
    covariance = centred.T @ centred / (together - 1)
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances[::-1], 0.0)
    directions = directions[:, ::-1]
    if components is None:
        total = max(variances.sum(), np.finfo(np.float64).tiny)
        reached = np.cumsum(variances) / total
        components = min(int(np.searchsorted(reached, share)) + 1, rows.shape[1])
    basis = directions[:, :components]
    found = PoseSubspace(*(np.asarray(part, np.float32) for part in (mean, basis, 0.0)))
    difference = whole - mean
    difference -= difference @ basis @ basis.T
    by_point = difference.reshape(len(whole), -1, 2)
    distances = np.linalg.norm(by_point, axis=-1)
    return found._replace(epsilon=np.float32(np.percentile(distances, percentile)))
