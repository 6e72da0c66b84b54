"""The optimizer and the learning rate of the released code of "Object landmark discovery through
unsupervised adaptation" (NeurIPS 2019).
"""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from kpjax.optimization import Schedule


def released_optimizer(
    *, decay: float = 5e-4, clip: float = 1.0, decay_to: Literal["zero", "start"] = "zero"
) -> optax.GradientTransformation:
    """Builds the released code's optimizer of each of the two networks, without its learning rate.

    The gradient is clipped to norm `clip`, weight decay is added, and Adam has beta1 = 0 and beta2
    = 0.9. Adam without a first moment stores none.

    Args:
        decay: added to the gradient times the distance from where weights decay to. The gradient is
            divided by its size only afterwards: where it is weaker than the decay, a weight falls
            by the learning rate at every step.
        clip: of the gradient's norm.
        decay_to: "zero" for all weights, as in the released code; with "start" projections decay to
            the identity, kernels to zero, and the scales and biases of normalisation not at all.
    """
    added = (
        optax.add_decayed_weights(decay)
        if decay_to == "zero"
        else optax.stateless(
            lambda gradient, params: jax.tree_util.tree_map_with_path(
                lambda path, leaf, weight: leaf + decay * _distance(path, weight), gradient, params
            )
        )
    )
    return optax.chain(
        optax.clip_by_global_norm(clip),
        added,
        optax.scale_by_rms(0.9, eps=1e-8, eps_in_sqrt=False, bias_correction=True),
    )


def _distance(path: tuple, weight: jax.Array) -> jax.Array | float:
    """Returns a weight minus what it decays to; 0 where it does not."""
    if path[0].key == "projections":
        return weight - (jnp.eye(len(weight), dtype=weight.dtype) if weight.ndim == 2 else 1)
    return weight if weight.ndim > 1 else 0.0


def released_learning_rate(steps: int = 200_000, rate: float = 1e-3) -> Schedule:
    """Builds a schedule: a tenth after 3/8 of the steps, again after 6/8 (epochs 30 and 60 of 80,
    2,500 steps each).
    """
    return optax.piecewise_constant_schedule(rate, {steps * 3 // 8: 0.1, steps * 6 // 8: 0.1})
