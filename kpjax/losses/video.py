"""Losses on keypoints of consecutive frames, and their weights (Lightning Pose, Biderman et al. 2024)."""
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Points = Float[Array, "frames keypoints 2"]
Scalar = Float[Array, ""]  # float32


def temporal_difference(
    points: Points, confidences: Float[Array, "frames keypoints"],
    epsilon: float | Float[Array, "keypoints"] = 20.0, *, least_confidence: float = 0.05
) -> Scalar:
    """Computes the mean of max(0, d - epsilon), where d is how far each keypoint moves from a frame to the next.

    d is 0 where either confidence is below `least_confidence`, also in gradient. The mean is over all pairs of frames
    and keypoints.

    Args:
        points: of T consecutive frames, px of the original images.
        epsilon: px that a keypoint may move, one for all or one for each.
    """
    steps = points[1:].astype(jnp.float32) - points[:-1].astype(jnp.float32)
    sure = confidences >= least_confidence
    squares = jnp.square(steps).sum(-1)
    moved = (sure[1:] & sure[:-1]) & (squares > 0)  # the root has no gradient at 0
    distances = jnp.where(moved, jnp.sqrt(jnp.where(moved, squares, 1.0)), 0.0)
    epsilon = jnp.broadcast_to(jnp.asarray(epsilon, jnp.float32), distances.shape[1:])
    return jnp.maximum(distances - epsilon[None], 0.0).mean()


def log_weight(exponent: float | int) -> float:
    """Returns the weight 1 / (2 e^exponent) of a term; the official settings give exponents from 10.7 to 11."""
    return 0.5 * math.exp(-exponent)


def late_rise(epoch: Float[Array, ""] | Int[Array, ""] | float | int, *, first: float = 60.0, rise: float = 0.01
              ) -> Scalar:
    """Computes a factor of terms: 0 up to the epoch `first`, then larger by `rise` with each epoch, at most 1."""
    return jnp.clip(rise * (jnp.asarray(epoch, jnp.float32) - first), 0.0, 1.0)
