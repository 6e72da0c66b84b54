"""What poses look like, without an image or a label: a mean, a subspace, and how far labels lie
from it.

A pose is first moved to the mean of its keypoints and divided by its size, the root mean square
distance from there, so that another camera, nearer or further away, sees the same poses. The
subspace is that of principal components (`fit_pose_subspace`). With the two shifts and the mean it
spans all poses that are plausible anywhere, at any size: a linear space, from which the distance of
a pose is a closed form.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError
from kpjax.files import foreign, write_json
from kpjax.losses.pose_subspace import fit_pose_subspace

FILE = "pose_statistics.json"
NO_SIZE = 1e-3  # px; a pose of one sure point has none, but for rounding
RIDGE = 1e-4  # ridge of the weights, so that a pose with few sure points has one nearest pose


class PoseStatistics(NamedTuple):
    """Poses of labelled animals, in sizes of a pose about the mean of its keypoints."""

    names: tuple[str, ...]  # names of the K keypoints
    poses: int  # that they come from
    mean: np.ndarray  # (2 K,) float32, (x_1, y_1, ..., x_K, y_K)
    basis: np.ndarray  # (2 K, C) float32, orthonormal columns
    epsilon: float  # 99 of 100 labelled points lie within this distance of their pose's projection

    def span(self) -> np.ndarray:
        """Returns orthonormal columns (2 K, C + up to 3), float32, that span the basis, the mean
        and both shifts.
        """
        shifts = np.tile(np.eye(2), (len(self.names), 1))
        columns = np.concatenate([shifts, self.mean[:, None], self.basis], 1)
        left, values, _ = np.linalg.svd(columns.astype(np.float64), full_matrices=False)
        independent = values > 1e-6 * values[0]
        return left[:, independent].astype(np.float32)


def pose_statistics(
    keypoints: np.ndarray, visible: np.ndarray, names: Sequence[str], *, share: float = 0.99
) -> PoseStatistics:
    """Computes the statistics of labelled poses with all their keypoints.

    Args:
        keypoints: (N, K, 2) in pixels of any image.
        visible: (N, K); poses with a 0 are left out.
        share: of the variance that the subspace reaches.

    Raises:
        InputError: fewer whole poses than coordinates.
    """
    chex.assert_shape(keypoints, (None, len(names), 2))
    chex.assert_shape(visible, keypoints.shape[:2])
    labelled = (np.asarray(visible) > 0).all(1)
    whole = np.asarray(keypoints, np.float64)[labelled]
    centred = whole - whole.mean(1, keepdims=True)
    squares = np.square(centred).sum(-1)
    sizes = np.sqrt(squares.mean(1))
    extended = sizes > 0
    of_size_one = centred[extended] / sizes[extended, None, None]
    rows = of_size_one.reshape(-1, 2 * len(names))
    found = fit_pose_subspace(rows, share=share)
    return PoseStatistics(tuple(names), len(rows), found.mean, found.basis, float(found.epsilon))


def plausible_poses(
    points: jax.Array, weights: jax.Array, span: jax.Array | np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Computes the poses of a span that are nearest to points, and each point's distance from there
    over the pose's size, or that of the points if it is larger.

    The nearest pose has the smallest sum of squared distances times weights, by the normal
    equations. Points of weight 0 therefore do not count, and lie where the others say.

    Args:
        points: (B, K, 2) px; finite, also where the weight is 0.
        weights: (B, K), 0 or more.
        span: (2 K, D) of `PoseStatistics.span`.

    Returns:
        Poses (B, K, 2) and distances (B, K), float32; a distance of 0 where a pose has no size.
    """
    chex.assert_shape(points, (None, None, 2))
    batch, keypoints, _ = points.shape
    chex.assert_shape([weights, span], [(batch, keypoints), (2 * keypoints, None)])
    # About the middle of the image's points, so that large coordinates cost no digits; shifts are
    # in the span.
    middle = points.astype(jnp.float32).mean(1, keepdims=True)
    centred = points.astype(jnp.float32) - middle
    rows = centred.reshape(batch, 2 * keypoints)
    weighted = jnp.repeat(weights.astype(jnp.float32), 2, axis=1)
    each = jnp.einsum("rc,br,rd->bcd", span, weighted, span, precision="highest")
    ridge = RIDGE * jnp.eye(span.shape[1])[None]
    each = each + ridge
    right = jnp.matmul(weighted * rows, span, precision="highest")
    solved = jnp.linalg.solve(each, right[..., None])
    coefficients = solved[..., 0]
    about_middle = jnp.matmul(coefficients, span.T, precision="highest")
    poses = about_middle.reshape(batch, keypoints, 2) + middle
    # A pose that no plausible one resembles has a nearest one of no size, so that of the points
    # counts, too.
    shares = weights.astype(jnp.float32) / jnp.maximum(weights.sum(1, keepdims=True), RIDGE)
    of_poses = _sizes(poses, jnp.ones_like(shares) / keypoints)
    of_points = _sizes(points.astype(jnp.float32), shares)
    sizes = jnp.maximum(of_poses, of_points)
    differences = points.astype(jnp.float32) - poses
    distances = jnp.linalg.norm(differences, axis=-1)
    relative = jnp.where(
        sizes[:, None] > NO_SIZE, distances / jnp.maximum(sizes, NO_SIZE)[:, None], 0.0
    )
    return poses, relative


def _sizes(points: jax.Array, shares: jax.Array) -> jax.Array:
    """Returns the root mean square distances (B,) of points from their mean, both weighted by
    shares of 1.
    """
    mean = (shares[..., None] * points).sum(1, keepdims=True)
    squares = jnp.square(points - mean).sum(-1)
    return jnp.sqrt((shares * squares).sum(1))


def write_pose_statistics(folder: Path, found: PoseStatistics) -> Path:
    """Writes pose_statistics.json into a run's folder and returns its path."""
    stored = {}
    for name, value in found._asdict().items():
        stored[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return write_json(Path(folder) / FILE, stored)


def pose_statistics_from(found: Mapping[str, Any], path: str) -> PoseStatistics:
    """Returns the statistics that `write_pose_statistics` wrote. Raises InputError, which names
    `path`, for a broken file."""
    with foreign(path, "copy the file again"):
        stored = PoseStatistics(
            tuple(map(str, found["names"])),
            int(found["poses"]),
            np.array(found["mean"], np.float32),
            np.array(found["basis"], np.float32),
            float(found["epsilon"]),
        )
    rows = 2 * len(stored.names)
    shapes_match = (
        stored.mean.shape == (rows,) and stored.basis.ndim == 2 and len(stored.basis) == rows
    )
    finite = (
        np.isfinite(stored.mean).all()
        and np.isfinite(stored.basis).all()
        and 0 <= stored.epsilon < np.inf
    )
    if not (shapes_match and finite):
        raise InputError(
            f"{path}: its numbers do not belong to {len(stored.names)} keypoints; copy the file again"
        )
    return stored
