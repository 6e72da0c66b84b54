"""The subspace of plausible poses: principal components of labels, and distances from it (Lightning Pose, 2024).

A row is a pose, (x_1, y_1, ..., x_K, y_K), in pixels of the original images. With several cameras it is one body part
in all views, (x_1, y_1, ..., x_V, y_V): a point in space has three degrees of freedom, so three components suffice.
"""
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from kpjax.errors import InputError

Rows = Float[Array, "rows coordinates"]
ACROSS_VIEWS = 3  # components of rows over several views


class PoseSubspace(NamedTuple):
    """A mean, the directions in which labels vary, and the distance that labels keep from them."""

    mean: np.ndarray  # (D,) float32
    basis: np.ndarray  # (D, C) float32, orthonormal columns
    epsilon: np.ndarray  # () float32, px: no loss up to it


def fit_pose_subspace(
    rows: np.ndarray, *, share: float = 0.99, components: int | None = None, percentile: float = 99.0
) -> PoseSubspace:
    """Fits the subspace to labels, without augmentation.

    Means and covariances leave out missing coordinates: those of two coordinates are over rows that have both.

    Args:
        rows: (N, D), NaN where a keypoint has no label.
        share: of the variance that the components reach; as few as do.
        components: their number, instead.
        percentile: epsilon is this percentile of the distances of all labelled points of whole rows.

    Raises:
        InputError: there are fewer rows than coordinates, fewer than two for some pair of coordinates, or no whole row.
    """
    rows = np.asarray(rows, np.float64)
    if len(rows) < rows.shape[1]:
        raise InputError(f"pose subspace: {len(rows)} labelled poses of {rows.shape[1]} coordinates; label at least as "
                         "many")
    known = ~np.isnan(rows)
    together = known.T.astype(np.float64) @ known
    whole = rows[known.all(1)]
    if together.min() < 2 or not len(whole):
        raise InputError(f"pose subspace: {len(whole)} poses have all keypoints, and some two keypoints are labelled "
                         f"together in {int(together.min())}; label whole poses")
    mean = np.nanmean(rows, 0)
    centred = np.where(known, rows - mean, 0.0)
    variances, directions = np.linalg.eigh(centred.T @ centred / (together - 1))
    variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    if components is None:
        reached = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        components = min(int(np.searchsorted(reached, share)) + 1, rows.shape[1])
    found = PoseSubspace(*(np.asarray(part, np.float32) for part in (mean, directions[:, :components], 0.0)))
    difference = whole - mean
    difference -= difference @ directions[:, :components] @ directions[:, :components].T
    distances = np.linalg.norm(difference.reshape(len(whole), -1, 2), axis=-1)
    return found._replace(epsilon=np.float32(np.percentile(distances, percentile)))


def rows_of_views(points: Float[Array, "batch views keypoints 2"]) -> Float[Array, "rows coordinates"]:
    """Returns one row for each body part of each frame: its coordinates in all views."""
    batch, views, keypoints, _ = points.shape
    return points.transpose(0, 2, 1, 3).reshape(batch * keypoints, 2 * views)


def onto_subspace(rows: Rows, subspace: PoseSubspace) -> Rows:
    """Returns the nearest rows of the subspace, in float32."""
    mean, basis, _ = (jnp.asarray(part, jnp.float32) for part in subspace)
    mean, centred = mean[None], rows.astype(jnp.float32) - mean[None]
    inside = jnp.matmul(jnp.matmul(centred, basis, precision="highest"), basis.T, precision="highest")
    return mean + inside


def subspace_distances(rows: Rows, subspace: PoseSubspace) -> Float[Array, "rows points"]:
    """Computes how far each point of a row lies from the row's projection, px; without a gradient at 0."""
    squares = jnp.square(rows.astype(jnp.float32) - onto_subspace(rows, subspace))
    squares = squares.reshape(rows.shape[0], -1, 2).sum(-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)


def pose_subspace_loss(rows: Rows, subspace: PoseSubspace) -> Float[Array, ""]:
    """Computes the mean of max(0, e - epsilon) over rows and points, e of `subspace_distances`."""
    return jnp.maximum(subspace_distances(rows, subspace) - jnp.asarray(subspace.epsilon, jnp.float32), 0.0).mean()
