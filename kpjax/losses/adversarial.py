"""Losses of RegDA and of disparity discrepancy, and the maps that their adversary is driven to."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.heatmaps import decode_argmax, gaussian_bumps, gaussian_profile
from kpjax.losses.heatmap import heatmap_kl

Maps = Float[Array, "batch height width keypoints"]
Weights = Float[Array, "batch keypoints"]
Scalar = Float[Array, ""]  # float32

EPSILON = 1e-7  # added to every cell of a pseudo map before it is normalised


class PseudoMaps(NamedTuple):
    """Targets for the adversary, rendered where the main regressor predicts.

    Float32, constants to every gradient.
    """

    truth: jax.Array  # (B, h, w, K) the prediction itself
    false: jax.Array  # (B, h, w, K) where a wrong prediction would be


def _predict(main_logits, strict_positive: bool):
    """Returns the main regressor's keypoints in heatmap pixels, without a gradient."""
    return decode_argmax(jax.lax.stop_gradient(main_logits), strict_positive=strict_positive)[0]


def _truth(main_logits, sigma: float, strict_positive: bool):
    """Renders the main regressor's keypoints."""
    return gaussian_bumps(_predict(main_logits, strict_positive), main_logits.shape[1:3], sigma)


def ground_false_by_others(
    main_logits: Maps, *, sigma: float = 2.0, strict_positive: bool = True, clip: bool = True
) -> PseudoMaps:
    """Builds pseudo maps whose ground false is the union of the other keypoints' Gaussians.

    With a single keypoint the ground false is empty, and `maximum_disparity` asks for a uniform
    map. Source: Jiang et al. 2021 (RegDA), with the clip of the official code.

    Args:
        main_logits: of the main regressor.
        sigma: of the Gaussians, in heatmap pixels.
        strict_positive: see `decode_argmax`.
        clip: the union; without it, the sum.
    """
    chex.assert_rank(main_logits, 4)
    truth = _truth(main_logits, sigma, strict_positive)
    # The sum less the own bump costs K maps; sums over the others would cost K². Rounding may leave
    # -1e-7.
    others = truth.sum(-1, keepdims=True) - truth
    return PseudoMaps(truth, jnp.clip(others, 0.0, 1.0 if clip else None))


def ground_false_by_area(
    main_logits: Maps,
    *,
    sigma: float,
    low: int,
    high: int,
    strict_positive: bool = True,
    clip: bool = False,
) -> PseudoMaps:
    """Builds pseudo maps for a keypoint in a known area: the ground false is every cell of it but
    the predicted one.

    It is the sum of the Gaussians at all cells of the area, less the Gaussian at the prediction if
    that lies inside. Source: Jiang et al. 2021 (RegDA), the dSprites experiment.

    Args:
        low, high: first and last cell of the square area, in both axes.
        clip: the union in place of the sum, an ablation. At a sigma of 1 or more the sum is above 2
            in the whole area, so the union is 1 at the prediction, too.
        The others are as in `ground_false_by_others`.
    """
    chex.assert_rank(main_logits, 4)
    _, height, width, _ = main_logits.shape
    points = _predict(main_logits, strict_positive)
    truth = gaussian_bumps(points, (height, width), sigma)
    area = jnp.arange(low, high + 1, dtype=jnp.float32)
    rows = gaussian_profile(area, height, sigma).sum(-1)
    columns = gaussian_profile(area, width, sigma).sum(-1)
    everywhere = (rows[:, None] * columns[None, :])[None, :, :, None]
    inside = ((points >= low) & (points <= high)).all(-1)[:, None, None]
    false = jnp.maximum(everywhere - jnp.where(inside, truth, 0.0), 0.0)
    return PseudoMaps(truth, jnp.minimum(false, 1.0) if clip else false)


def ground_false_uniform(
    main_logits: Maps, *, sigma: float = 2.0, strict_positive: bool = True
) -> PseudoMaps:
    """Builds pseudo maps whose ground false is 1 everywhere: an ablation of the ground-false map.

    It asks the adversary for flat maps, wherever the main regressor predicts. That is what
    `ground_false_by_others` asks of a single keypoint.

    Args:
        The arguments are those of `ground_false_by_others`.
    """
    truth = _truth(main_logits, sigma, strict_positive)
    return PseudoMaps(truth, jnp.ones_like(truth))


def minimum_disparity(adversary_logits: Maps, maps: PseudoMaps, weights: Weights) -> Scalar:
    """Computes the adversary's disagreement with the main regressor: `heatmap_kl` to the pseudo
    truth (RegDA).
    """
    chex.assert_equal_shape([adversary_logits, *maps])
    return heatmap_kl(adversary_logits, maps.truth, weights, epsilon=EPSILON)


def maximum_disparity(adversary_logits: Maps, maps: PseudoMaps, weights: Weights) -> Scalar:
    """Computes the adversary's distance from disagreeing with the main regressor: `heatmap_kl` to
    the ground false.

    It is minimised, like `minimum_disparity` (RegDA).
    """
    chex.assert_equal_shape([adversary_logits, *maps])
    return heatmap_kl(adversary_logits, maps.false, weights, epsilon=EPSILON)
