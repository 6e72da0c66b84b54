"""Losses between predicted heatmaps and target maps."""
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
    batch, height, width, keypoints = logits.shape
    flat = (batch, height * width, keypoints)
    log_predicted = jax.nn.log_softmax(logits.astype(jnp.float32).reshape(flat), axis=1)
    mass = targets.astype(jnp.float32).reshape(flat) + epsilon
    total = mass.sum(1)
    counts = (weights > 0) & (total > 0)
    target = mass / jnp.where(total > 0, total, 1.0)[:, None]
    # log(1) stands in for log(0), so that neither the value nor a gradient with respect to the target is 0 * infinity.
    log_target = jnp.log(jnp.where(target > 0, target, 1.0))
    divergence = (target * (log_target - log_predicted)).sum(1)
    return jnp.where(counts, weights.astype(jnp.float32) * divergence, 0.0)


def heatmap_kl(
    logits: Float[Array, "batch height width keypoints"],
    targets: Float[Array, "batch height width keypoints"],
    weights: Float[Array, "batch keypoints"],
    *,
    epsilon: float = 0.0,
) -> Float[Array, ""]:
    """The mean of `heatmap_kl_per_keypoint` over batch * keypoints, keypoints of weight 0 included. Float32 scalar."""
    return heatmap_kl_per_keypoint(logits, targets, weights, epsilon=epsilon).mean()
