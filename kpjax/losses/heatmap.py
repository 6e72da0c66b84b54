"""Losses between predicted heatmaps and target maps."""
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def heatmap_mse(
    heatmaps: Float[Array, "batch height width keypoints"],
    targets: Float[Array, "batch height width keypoints"],
    weights: Float[Array, "batch keypoints"],
    *,
    half: bool = True,
) -> Float[Array, ""]:
    """Mean squared error of raw heatmaps, the loss of HRNet (Sun et al. 2019) and of source-only pose networks.

    weights: 0 or 1 per keypoint. The mean runs over batch * keypoints * height * width, keypoints of weight 0 included,
    so that an image with few labels counts less.
    half: with the factor 1/2 of the official code; without it, the plain mean of squares.

    Returns a float32 scalar.
    """
    squares = jnp.square(heatmaps.astype(jnp.float32) - targets.astype(jnp.float32)).mean((1, 2))
    return (0.5 if half else 1.0) * (weights.astype(jnp.float32) * squares).mean()


def heatmap_kl_per_keypoint(
    logits: Float[Array, "batch height width keypoints"],
    targets: Float[Array, "batch height width keypoints"],
    weights: Float[Array, "batch keypoints"],
    *,
    epsilon: float = 0.0,
) -> Float[Array, "batch keypoints"]:
    """Weighted Kullback-Leibler divergence KL(p || q) of each keypoint, in nats.

    q is the softmax of the logits over all cells. p is `targets` + `epsilon` (in every cell), divided by its sum;
    targets are non-negative and of any sum. 0 log 0 is 0.
    A keypoint of weight 0 or with nothing to normalise (an empty map and no epsilon) gives exactly 0, also in gradient.

    Source: Jiang et al. 2021 (RegDA), in the form of the official code.
    """
    cells = logits.shape[1] * logits.shape[2]
    logits, targets = logits.astype(jnp.float32), targets.astype(jnp.float32)
    logits = logits - jax.lax.stop_gradient(logits.max((1, 2), keepdims=True))
    log_partition = jnp.log(jnp.exp(logits).sum((1, 2)))

    # The share of epsilon is summed by itself: thousands of cells of 1e-7 each vanish when they are added one by one to
    # the sum of a map, as CPUs do, and the loss is then wrong in its fifth digit.
    total = targets.sum((1, 2)) + cells * epsilon
    safe_total = jnp.where(total > 0, total, 1.0)
    expected_logit = ((targets * logits).sum((1, 2)) + epsilon * logits.sum((1, 2))) / safe_total
    # log(1) stands in for log(0), so that neither the value nor a gradient with respect to the target is 0 * infinity.
    mass = targets + epsilon
    empty = epsilon * math.log(epsilon) if epsilon > 0 else 0.0
    mass_log_mass = (mass * jnp.log(jnp.where(mass > 0, mass, 1.0)) - empty).sum((1, 2)) + cells * empty
    negative_entropy = mass_log_mass / safe_total - jnp.log(safe_total)

    divergence = negative_entropy - (expected_logit - log_partition)
    return jnp.where((weights > 0) & (total > 0), weights.astype(jnp.float32) * divergence, 0.0)


def heatmap_kl(
    logits: Float[Array, "batch height width keypoints"],
    targets: Float[Array, "batch height width keypoints"],
    weights: Float[Array, "batch keypoints"],
    *,
    epsilon: float = 0.0,
) -> Float[Array, ""]:
    """The mean of `heatmap_kl_per_keypoint` over batch * keypoints, keypoints of weight 0 included. Float32 scalar."""
    return heatmap_kl_per_keypoint(logits, targets, weights, epsilon=epsilon).mean()
