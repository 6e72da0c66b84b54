"""Penalties that hold parameters near those of earlier steps, and the importances that weight them.

Parameters, anchors and importances are trees of one structure. An importance is float32 and not negative, 0 where a
parameter is free. Everything is a pure function of trees, for use under jit or on the host.
"""
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Tree = Any  # a tree of arrays


def quadratic_penalty(params: Tree, anchor: Tree, importance: Tree) -> Float[Array, ""]:
    """Computes 1/2 sum_i F_i (theta_i - anchor_i)² over all parameters theta, with the importance F.

    Source: Kirkpatrick et al. 2017 (EWC).
    """

    def of_leaf(value, held, weight):
        return (weight * jnp.square(value.astype(jnp.float32) - held.astype(jnp.float32))).sum()

    parts = jax.tree.leaves(jax.tree.map(of_leaf, params, anchor, importance))
    return 0.5 * sum(parts, jnp.float32(0))


# Importances


def fused_importance(old: Tree, new: Tree, *, step: int | Array) -> Tree:
    """Computes (new + step * old) / (step + 1): the mean of all steps, of that of `step` steps and the next one's."""
    count = jnp.asarray(step, jnp.float32)
    return jax.tree.map(lambda before, now: (now + count * before) / (count + 1), old, new)


def normalised_importance(importance: Tree) -> Tree:
    """Divides an importance by its mean over all parameters, so that a penalty's weight means the same everywhere.

    An importance of zeros stays as it is.
    """
    leaves = jax.tree.leaves(importance)
    mean = sum((leaf.sum() for leaf in leaves), jnp.float32(0)) / sum(math.prod(leaf.shape) for leaf in leaves)
    return jax.tree.map(lambda leaf: leaf / jnp.where(mean > 0, mean, 1.0), importance)
