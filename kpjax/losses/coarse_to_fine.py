"""The loss of networks that predict heatmaps at several levels, each with targets of its own width.

"Learning Delicate Local Representations for Multi-Person Pose Estimation" (RSN, Cai et al. 2020), with the factors of
the official code; the hardest keypoints are those of "Cascaded Pyramid Network" (Chen et al. 2018).
"""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.heatmaps import Grid, gaussian_targets
from kpjax.losses.heatmap import heatmap_mse

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
    a picture has no label of.
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
