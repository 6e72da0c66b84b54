"""Losses between predicted heatmaps and target maps."""
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.heatmaps import Grid, gaussian_targets


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


# The loss of networks that predict heatmaps at several levels, each with targets of its own width


KERNELS = (15, 11, 9, 7, 5)  # sides in heatmap pixels, from coarse to fine


def kernel_sigma(kernel: int) -> float:
    """The standard deviation in pixels that OpenCV takes for a Gaussian kernel of this side."""
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def coarse_to_fine_targets(
    keypoints: Float[Array, "*batch keypoints 2"],
    visible: Float[Array, "*batch keypoints"],
    *,
    image_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    kernels: Sequence[int] = KERNELS,
    grid: Grid = "index",
) -> tuple[tuple[Float[Array, "*batch height width keypoints"], ...], Float[Array, "*batch keypoints"]]:
    """A target heatmap for each kernel, and the weight of each keypoint, as `kpjax.heatmaps.gaussian_targets`.

    Gaussians stand on whole cells and are cut off at the kernel's border. Their peak is 1; the official code's is 255,
    and for kernels 7 and 5 OpenCV rounds them, by up to 0.03 of the peak.
    """
    made = [
        gaussian_targets(keypoints, visible, image_size=image_size, heatmap_size=heatmap_size, grid=grid,
                         sigma=kernel_sigma(kernel), window=(kernel // 2 + 0.25) / kernel_sigma(kernel))
        for kernel in kernels]
    return tuple(targets for targets, _ in made), made[0][1]


def hardest_keypoints_mse(
    heatmaps: Float[Array, "batch height width keypoints"],
    targets: Float[Array, "batch height width keypoints"],
    weights: Float[Array, "batch keypoints"],
    *,
    hardest: int = 8,
) -> Float[Array, ""]:
    """Mean squared error of the `hardest` keypoints of each image, those with the largest errors. Float32 scalar.

    A keypoint of weight 0 has no error. The mean is over `hardest` keypoints, or all where there are fewer, also in an
    image with fewer labels.
    """
    errors = jnp.square(heatmaps.astype(jnp.float32) - targets.astype(jnp.float32)).mean((1, 2))
    largest, _ = jax.lax.top_k(weights.astype(jnp.float32) * errors, min(hardest, errors.shape[1]))
    return largest.mean()


def coarse_to_fine(
    heatmaps: Sequence[Float[Array, "batch height width keypoints"]],
    targets: Sequence[Float[Array, "batch height width keypoints"]],
    weights: Float[Array, "batch keypoints"],
    *,
    levels: int = 4,
    coarse_weight: float = 0.25,
    hardest: int | None = 8,
    absent_is_empty: bool = False,
) -> Float[Array, ""]:
    """The sum over stages of: squared errors of coarse levels times `coarse_weight`, and that of the finest level.

    heatmaps: stage by stage, in each `levels` of them from coarse to fine, as a network's `all_heatmaps` gives them.
    targets: from coarse to fine, `levels` or more. The last stage is compared with the last `levels` of them, earlier
    stages with the first: with one more target than levels the last stage learns the narrower ones, as in RSN.
    hardest: of each image's keypoints only so many count at the finest level (`hardest_keypoints_mse`); None: all.
    absent_is_empty: a keypoint of weight 0 has an empty map as its target at the coarse levels (with `hardest=None` at
    all), which is the official code's rule. By default it does not count, so that no network unlearns a keypoint that
    an image has no label of.
    Errors are plain means of squares, without a factor 1/2, over all keypoints of a batch whatever their weights.
    With the heatmaps of a network that has one level, `levels=1`, only the finest is left.

    Returns a float32 scalar. Raises ValueError if the heatmaps are no whole stages or there are too few targets.
    """
    if not heatmaps or len(heatmaps) % levels or len(targets) < levels:
        raise ValueError(f"coarse_to_fine: {len(heatmaps)} heatmaps and {len(targets)} targets do not make stages of "
                         f"{levels} levels")
    counted = jnp.ones_like(weights) if absent_is_empty else weights
    loss = jnp.float32(0)
    for number, predicted in enumerate(heatmaps):
        level, is_last_stage = number % levels, number >= len(heatmaps) - levels
        target = (targets[-levels:] if is_last_stage else targets[:levels])[level]
        if level < levels - 1:
            loss += coarse_weight * heatmap_mse(predicted, target, counted, half=False)
        elif hardest is None:
            loss += heatmap_mse(predicted, target, counted, half=False)
        else:
            loss += hardest_keypoints_mse(predicted, target, weights, hardest=hardest)
    return loss
