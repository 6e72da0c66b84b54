"""Losses between predicted heatmaps and target maps: squared errors, divergences, coarse-to-fine
supervision (RSN).

Weights are 0 or 1 per keypoint. Means run over all keypoints of a batch, those of weight 0
included. An image with few labels therefore counts less.
"""

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.heatmaps import Grid, gaussian_targets

Maps = Float[Array, "batch height width keypoints"]
Weights = Float[Array, "batch keypoints"]
Scalar = Float[Array, ""]  # float32

# sides of RSN's Gaussian kernels in heatmap pixels, from coarse to fine
KERNELS = (15, 11, 9, 7, 5)


def _check_maps(maps, targets, weights) -> None:
    """Raises AssertionError unless maps and targets have one shape (B, h, w, K), weights (B, K).

    Arrays of one image, or of one keypoint, would otherwise be broadcast and give a wrong number.
    """
    chex.assert_rank(maps, 4)
    chex.assert_equal_shape([maps, targets])
    chex.assert_shape(weights, (maps.shape[0], maps.shape[3]))


def heatmap_mse(heatmaps: Maps, targets: Maps, weights: Weights, *, half: bool = True) -> Scalar:
    """Computes the mean squared error of raw heatmaps, the loss of HRNet (Sun et al. 2019) and
    source-only baselines.

    The mean runs over batch * keypoints * height * width. `half` includes the factor 1/2 of the
    official code.
    """
    _check_maps(heatmaps, targets, weights)
    errors = heatmaps.astype(jnp.float32) - targets.astype(jnp.float32)
    squares = jnp.square(errors).mean((1, 2))
    factor = 0.5 if half else 1.0
    return factor * (weights.astype(jnp.float32) * squares).mean()


def heatmap_kl_per_keypoint(
    logits: Maps, targets: Maps, weights: Weights, *, epsilon: float = 0.0
) -> Float[Array, "batch keypoints"]:
    """Computes the weighted Kullback-Leibler divergence KL(p || q) of each keypoint, in nats.

    q is the softmax of the logits over all cells. p is `targets` + `epsilon` in every cell, divided
    by its sum. 0 log 0 is 0. Source: Jiang et al. 2021 (RegDA), in the form of the official code.

    Args:
        logits: raw heatmaps.
        targets: non-negative maps of any sum.
        weights: multiply the divergences. A keypoint of weight 0, or with nothing to normalise (an
            empty map and no epsilon), gives exactly 0, also in gradient.
        epsilon: added to every cell of the targets.
    """
    _check_maps(logits, targets, weights)
    cells = logits.shape[1] * logits.shape[2]
    logits = logits.astype(jnp.float32)
    targets = targets.astype(jnp.float32)
    logits = logits - jax.lax.stop_gradient(logits.max((1, 2), keepdims=True))
    log_partition = jnp.log(jnp.exp(logits).sum((1, 2)))

    # The share of epsilon is summed separately. Thousands of cells of 1e-7 vanish when a CPU adds
    # them one by one to the sum of a map, and the loss is then wrong in its fifth digit.
    total = targets.sum((1, 2)) + cells * epsilon
    safe_total = jnp.where(total > 0, total, 1.0)
    weighted_logits = (targets * logits).sum((1, 2)) + epsilon * logits.sum((1, 2))
    expected_logit = weighted_logits / safe_total
    # log(1) stands in for log(0), so that neither the value nor a gradient with respect to the
    # target is 0 * infinity.
    mass = targets + epsilon
    empty = epsilon * math.log(epsilon) if epsilon > 0 else 0.0
    above_empty = mass * jnp.log(jnp.where(mass > 0, mass, 1.0)) - empty
    mass_log_mass = above_empty.sum((1, 2)) + cells * empty
    negative_entropy = mass_log_mass / safe_total - jnp.log(safe_total)

    divergence = negative_entropy - (expected_logit - log_partition)
    counted = (weights > 0) & (total > 0)
    return jnp.where(counted, weights.astype(jnp.float32) * divergence, 0.0)


def heatmap_kl(logits: Maps, targets: Maps, weights: Weights, *, epsilon: float = 0.0) -> Scalar:
    """Computes the mean of `heatmap_kl_per_keypoint`, which has the same arguments, over batch *
    keypoints.
    """
    _check_maps(logits, targets, weights)
    return heatmap_kl_per_keypoint(logits, targets, weights, epsilon=epsilon).mean()


# Coarse-to-fine supervision: heatmaps at several levels, each with targets of its own width


def kernel_sigma(kernel: int) -> float:
    """Returns the standard deviation, in pixels, that OpenCV assumes for a Gaussian kernel of this
    side.
    """
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def coarse_to_fine_targets(
    keypoints: Float[Array, "*batch keypoints 2"],
    visible: Float[Array, "*batch keypoints"],
    *,
    image_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    kernels: Sequence[int] = KERNELS,
    grid: Grid = "index",
) -> tuple[
    tuple[Float[Array, "*batch height width keypoints"], ...], Float[Array, "*batch keypoints"]
]:
    """Renders a target heatmap for each kernel size (RSN, Cai et al. 2020).

    Gaussians are centred on whole cells and cut off at the kernel's border. Their peak is 1. The
    official code's is 255; for kernels 7 and 5 OpenCV rounds them, by up to 0.03 of the peak.

    Args:
        keypoints: (x, y) in pixels of the image.
        visible: 1 where a keypoint is labelled, 0 elsewhere.
        image_size, heatmap_size: (height, width).
        kernels: sides of the kernels in heatmap pixels, from coarse to fine.
        grid: the map from image to heatmap coordinates.

    Returns:
        The targets of each kernel, and the weight of each keypoint, as
        `kpjax.heatmaps.gaussian_targets` gives them.
    """
    made = [
        gaussian_targets(
            keypoints,
            visible,
            image_size=image_size,
            heatmap_size=heatmap_size,
            grid=grid,
            sigma=kernel_sigma(kernel),
            window=(kernel // 2 + 0.25) / kernel_sigma(kernel),
        )
        for kernel in kernels
    ]
    _, weights = made[0]
    return tuple(targets for targets, _ in made), weights


def hardest_keypoints_mse(
    heatmaps: Maps, targets: Maps, weights: Weights, *, hardest: int = 8
) -> Scalar:
    """Computes the mean squared error of each image's `hardest` keypoints, those with the largest
    errors.

    The error of a keypoint of weight 0 is 0. The mean is over `hardest` keypoints, or over all if
    there are fewer, also for images with fewer labels.
    """
    _check_maps(heatmaps, targets, weights)
    errors = heatmaps.astype(jnp.float32) - targets.astype(jnp.float32)
    squares = jnp.square(errors).mean((1, 2))
    count = min(hardest, squares.shape[1])
    weighted = weights.astype(jnp.float32) * squares
    largest, _ = jax.lax.top_k(weighted, count)
    return largest.mean()


def coarse_to_fine(
    heatmaps: Sequence[Maps],
    targets: Sequence[Maps],
    weights: Weights,
    *,
    levels: int = 4,
    hardest: int | None = 8,
) -> Scalar:
    """Sums over stages a quarter of the squared errors of coarse levels, and that of the finest
    level.

    Errors are plain means of squares, without a factor 1/2. With `levels=1` and the heatmaps of a
    single-level network, only the finest term remains. Keypoints of weight 0 are ignored, so that
    the network does not unlearn those that an image has no label for; in the official code they
    have an empty target at the coarse levels.

    Args:
        heatmaps: stage by stage, `levels` of them from coarse to fine, as a network's
            `all_heatmaps` returns them.
        targets: from coarse to fine, `levels` or more. The last stage is compared with the last
            `levels` of them, earlier stages with the first. With one more target than levels, the
            last stage learns the narrower ones, as in RSN.
        weights: of keypoints.
        levels: heatmaps per stage.
        hardest: number of keypoints per image that count at the finest level
            (`hardest_keypoints_mse`); None: all.

    Raises:
        ValueError: the heatmaps are no whole stages, or there are too few targets.
    """
    if not heatmaps or len(heatmaps) % levels or len(targets) < levels:
        raise ValueError(
            f"coarse_to_fine: {len(heatmaps)} heatmaps and {len(targets)} targets do not make stages of "
            f"{levels} levels; give whole stages and at least {levels} targets"
        )
    loss = jnp.float32(0)
    for number, predicted in enumerate(heatmaps):
        level = number % levels
        is_last_stage = number >= len(heatmaps) - levels
        of_stage = targets[-levels:] if is_last_stage else targets[:levels]
        target = of_stage[level]
        if level < levels - 1:
            loss += 0.25 * heatmap_mse(predicted, target, weights, half=False)
        elif hardest is None:
            loss += heatmap_mse(predicted, target, weights, half=False)
        else:
            loss += hardest_keypoints_mse(predicted, target, weights, hardest=hardest)
    return loss
