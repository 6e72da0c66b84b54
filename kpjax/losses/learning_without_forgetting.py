"""The distillation of Learning without Forgetting (Li and Hoiem 2016) for heatmaps: across channels,
where KAMP's is across positions.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.losses.distillation import (
    Maps,
    SampleWeights,
    Scalar,
    check_maps,
    map_weights,
    weighted_mean,
)

# a logit whose softmax is exactly 0 and whose difference from another is still finite
EXCLUDED = -1e30


def _across_channels(maps, readable):
    """Computes the log softmax over the last axis among readable channels (B, K) bool; other values
    are finite.
    """
    return jax.nn.log_softmax(
        jnp.where(readable[:, None, None], maps.astype(jnp.float32), EXCLUDED), axis=-1
    )


def _per_sample(costs, readable):
    """Computes the mean over cells of the sum over readable channels, (B,)."""
    return jnp.where(readable[:, None, None], costs, 0.0).sum(-1).mean((1, 2))


def channel_distillation(
    teacher: Maps,
    student: Maps,
    channels: Float[Array, "keypoints"],
    sample_weights: SampleWeights = None,
    *,
    temperature: float = 2.0,
) -> Scalar:
    """Computes the cross-entropy between teacher and student across channels at every cell, in
    nats.

    The result is the mean over cells and samples of the sum over channels of softmax(map /
    temperature), without the factor temperature². `channels` (K,) are above 0 where a channel takes
    part in the softmax. `sample_weights` are (B,), or (B, K) of maps: those of weight 0 take no part
    in the softmax of their image, which weighs as its maps do on average. With one channel the loss
    is the constant 0, which teaches nothing; with none it is 0. Source: Li and Hoiem 2016 (Learning
    without Forgetting), for heatmaps as in KAMP's comparison.
    """
    check_maps(student, teacher)
    of_maps = map_weights(student, channels > 0, sample_weights)
    readable = of_maps > 0
    weights = of_maps.mean(1)
    log_truth = _across_channels(jax.lax.stop_gradient(teacher) / temperature, readable)
    log_answer = _across_channels(student / temperature, readable)
    return -weighted_mean(_per_sample(jnp.exp(log_truth) * log_answer, readable), weights)
