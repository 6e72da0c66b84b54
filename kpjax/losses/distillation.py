"""Losses that keep a student's heatmaps where a frozen teacher had them, and entropies of a
student's heatmaps.

A heatmap is read as distributions over positions: a softmax along each column and along each row.
Maps are raw heatmaps. All results are float32 scalars, the teacher is a constant to the gradient,
and the values of a map of weight 0 are never read.

Source: Incremental Object Keypoint Learning (KAMP, arXiv 2503.20248), equation 5, and the baselines
it names.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Mode = Literal["lines", "joint", "marginal"]
Reduction = Literal["element_mean", "line_sum"]
Maps = Float[Array, "batch height width keypoints"]
Scalar = Float[Array, ""]  # float32
ChannelWeights = Float[Array, "keypoints"] | None
SampleWeights = Float[Array, "batch"] | Float[Array, "batch keypoints"] | None


def map_weights(maps, channel_weights, sample_weights):
    """Computes the weight of every map, (B, K) float32, of weights (K,), and (B,) or (B, K)."""
    batch, _, _, keypoints = maps.shape
    if channel_weights is not None:
        chex.assert_shape(channel_weights, (keypoints,))
    if sample_weights is not None:
        chex.assert_rank(sample_weights, {1, 2})
        chex.assert_shape(sample_weights, (batch, keypoints)[: sample_weights.ndim])
    weights = jnp.ones((batch, keypoints), jnp.float32)
    if channel_weights is not None:
        weights = weights * channel_weights.astype(jnp.float32)[None]
    if sample_weights is not None:
        of_map = sample_weights if sample_weights.ndim == 2 else sample_weights[:, None]
        weights = weights * of_map.astype(jnp.float32)
    return weights


def check_maps(*maps) -> None:
    """Raises AssertionError unless maps are (B, h, w, K), all of one shape."""
    chex.assert_rank(maps, 4)
    chex.assert_equal_shape(maps)


def weighted_mean(values, weights):
    """Computes sum(values * weights) / sum(weights) of two arrays of one shape; 0 if the weights
    are 0.
    """
    total = weights.sum()
    return jnp.where(total > 0, (values * weights).sum() / jnp.where(total > 0, total, 1.0), 0.0)


def _readable(maps, weights):
    """Returns the maps in float32, zeros where the weight is 0, so that those reach neither value
    nor gradient.
    """
    return jnp.where(weights[:, None, None] > 0, maps.astype(jnp.float32), 0.0)


def _families(maps, mode: Mode) -> list[tuple[jax.Array, tuple[int, ...]]]:
    """Returns the families of logits that a mode reads in maps (B, h, w, K), each with the axes of
    its softmax.
    """
    if mode == "lines":
        return [(maps, (1,)), (maps, (2,))]
    if mode == "joint":
        return [(maps, (1, 2))]
    return [(maps.sum(2), (1,)), (maps.sum(1), (1,))]


def _positions(logits, axes) -> int:
    """Counts the positions of one distribution."""
    count = 1
    for axis in axes:
        count *= logits.shape[axis]
    return count


def _per_map(costs, axes, reduction: Reduction):
    """Reduces costs to (B, K): for each map, the mean over positions, or the mean over lines of the
    sum along each.
    """
    mean = costs.mean(tuple(range(1, costs.ndim - 1)))
    return mean * _positions(costs, axes) if reduction == "line_sum" else mean


def spatial_distillation(
    teacher: Maps,
    student: Maps,
    channel_weights: ChannelWeights = None,
    sample_weights: SampleWeights = None,
    *,
    reduction: Reduction = "element_mean",
    mode: Mode = "lines",
    temperature: float = 1.0,
) -> Scalar:
    """Computes the cross-entropy between lines of teacher's and student's heatmaps (KAMP, equation
    5), in nats.

    Every column and every row of a map is a distribution of its own, softmax(map / temperature)
    along it. The result is the mean of the two axes. At student = teacher it is the teacher's own
    entropy, not 0.

    Args:
        channel_weights: (K,). The result is the mean over maps (b, k), each weighted by the product
            of its two weights; 0 if all are 0.
        sample_weights: (B,) or (B, K).
        reduction: "element_mean" averages over all cells of a map. "line_sum" sums along each line
            and averages over lines: `side` times as much on square maps, with about the gradient
            of `mse_distillation`.
        mode: "lines" as above; "joint", one distribution over all cells; "marginal", distributions
            of the sums of columns and of rows.
        temperature: divides the maps; nothing is multiplied by its square.
    """
    check_maps(student, teacher)
    weights = map_weights(student, channel_weights, sample_weights)
    teacher = jax.lax.stop_gradient(_readable(teacher, weights)) / temperature
    student = _readable(student, weights) / temperature
    families = []
    for (of_teacher, axes), (of_student, _) in zip(
        _families(teacher, mode), _families(student, mode), strict=True
    ):
        log_truth, log_answer = (
            jax.nn.log_softmax(logits, axis=axes) for logits in (of_teacher, of_student)
        )
        families.append(_per_map(jnp.exp(log_truth) * -log_answer, axes, reduction))
    return weighted_mean(sum(families) / len(families), weights)


def mse_distillation(
    teacher: Maps,
    student: Maps,
    channel_weights: ChannelWeights = None,
    sample_weights: SampleWeights = None,
    *,
    half: bool = True,
) -> Scalar:
    """Computes the mean squared difference of the raw heatmaps, with the weights of
    `spatial_distillation`.

    half: whether to include the factor 1/2. "line_sum" of `spatial_distillation` has nearly this
    gradient on maps with values in [0, 1].
    """
    check_maps(student, teacher)
    weights = map_weights(student, channel_weights, sample_weights)
    difference = _readable(student, weights) - jax.lax.stop_gradient(_readable(teacher, weights))
    return (0.5 if half else 1.0) * weighted_mean(jnp.square(difference).mean((1, 2)), weights)


def line_entropy(
    student: Maps,
    channels: ChannelWeights = None,
    sample_weights: SampleWeights = None,
    *,
    mode: Literal["lines", "joint"] = "lines",
    normalised: bool = True,
) -> Scalar:
    """Computes the mean entropy of heatmaps as distributions, in nats; CPR maximises it.

    Source: Cha et al. 2021 (CPR), with positions in the place of classes.

    Args:
        student: raw heatmaps.
        channels: (K,). The weight of a map is the product of both weights, and the result the mean
            over maps; 0 if all are 0.
        sample_weights: (B,) or (B, K).
        mode: "lines", the mean over columns and rows; "joint", over all cells.
        normalised: whether to divide by the logarithm of the number of positions, to lie in [0, 1].
    """
    check_maps(student)
    weights = map_weights(student, channels, sample_weights)
    families = []
    for logits, axes in _families(_readable(student, weights), mode):
        log_share = jax.nn.log_softmax(logits, axis=axes)
        entropy = _per_map(-jnp.exp(log_share) * log_share, axes, "line_sum")
        largest = jnp.log(jnp.float32(max(_positions(logits, axes), 2)))
        families.append(entropy / largest if normalised else entropy)
    return weighted_mean(sum(families) / len(families), weights)
