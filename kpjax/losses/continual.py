"""Penalties that hold parameters near those of earlier steps, and the importances that weight them.

Parameters, anchors and importances are trees of one structure. An importance is float32 and not
negative, 0 where a parameter is free. Everything is a pure function of trees, for use under jit or
on the host. Trees of other structures or shapes are refused by an AssertionError.
"""

import math
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Tree = Any  # a tree of arrays


def quadratic_penalty(
    params: Tree, anchor: Tree, importance: Tree, *, half: bool = True
) -> Float[Array, ""]:
    """Computes 1/2 sum_i F_i (theta_i - anchor_i)² over all parameters theta, with the importance
    F.

    half: whether to include the factor 1/2. Source: Kirkpatrick et al. 2017 (EWC); without 1/2
    Chaudhry et al. 2018 (Riemannian walk).
    """
    chex.assert_trees_all_equal_shapes(params, anchor, importance)

    def of_leaf(value, held, weight):
        change = value.astype(jnp.float32) - held.astype(jnp.float32)
        return (weight * jnp.square(change)).sum()

    parts = jax.tree.leaves(jax.tree.map(of_leaf, params, anchor, importance))
    factor = 0.5 if half else 1.0
    return factor * sum(parts, jnp.float32(0))


# Importances

ONLINE_DECAY = 0.9  # weight of the importance of the steps before, in online EWC


def fused_importance(
    old: Tree,
    new: Tree,
    *,
    rule: Literal["running_mean", "sum", "decayed_sum"] = "running_mean",
    step: int | Array = 1,
) -> Tree:
    """Combines the importance of all steps before with that of the step just ended.

    Args:
        old, new: importances of the steps before, and of the step just ended.
        rule: "running_mean" is (new + step * old) / (step + 1), with `old` the mean of `step`
            steps; "sum" old + new; "decayed_sum" 0.9 old + new, of online EWC.
        step: number of steps behind `old`.

    Source: of the decayed sum Schwarz et al. 2018 (online EWC), whose decay is a setting.
    """
    chex.assert_trees_all_equal_shapes(old, new)
    chex.assert_rank(step, 0)
    if rule == "sum":
        return jax.tree.map(jnp.add, old, new)
    if rule == "decayed_sum":
        return jax.tree.map(lambda before, now: ONLINE_DECAY * before + now, old, new)
    count = jnp.asarray(step, jnp.float32)

    def running_mean(before, now):
        return (now + count * before) / (count + 1)

    return jax.tree.map(running_mean, old, new)


def normalised_importance(importance: Tree) -> Tree:
    """Divides an importance by its mean over all parameters, so that a penalty's weight means the
    same everywhere.

    An importance of zeros stays as it is.
    """
    leaves = jax.tree.leaves(importance)
    total = sum((leaf.sum() for leaf in leaves), jnp.float32(0))
    count = sum(math.prod(leaf.shape) for leaf in leaves)
    mean = total / count

    def relative(leaf):
        return leaf / jnp.where(mean > 0, mean, 1.0)

    return jax.tree.map(relative, importance)


# The Riemannian walk: importances from the path of the parameters

WALK_DECAY = 0.9  # weight of the new square, deliberately, and not of the old ones
WALK_EPSILON = 0.01  # added to the denominator


class Walk(NamedTuple):
    """Statistics of the walk, for every parameter."""

    fisher: Tree  # moving average of squared gradients
    #: decrease of the loss along the path, over the decrease that the Fisher metric predicts
    score: Tree


def start_walk(params: Tree) -> Walk:
    """Returns a walk of no steps."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    return Walk(zeros, zeros)


def walk_on(walk: Walk, gradient: Tree, before: Tree, after: Tree) -> Walk:
    """Extends the walk by one update with movement d = after - before.

    F <- 0.9 g² + 0.1 F, then S <- S - g d / (1/2 F d² + 0.01). Source: Chaudhry et al. 2018, in the
    form that Cha et al. 2021 (CPR) compare with.

    Args:
        walk: before the update.
        gradient: g, as applied at `before`, penalties included.
        before, after: parameters before and after the update.
    """
    chex.assert_trees_all_equal_shapes(walk.fisher, walk.score, gradient, before, after)

    def averaged(held, slope):
        return WALK_DECAY * jnp.square(slope) + (1 - WALK_DECAY) * held

    def longer(score, slope, metric, start, end):
        moved = end - start
        decrease = slope * moved
        predicted = 0.5 * metric * jnp.square(moved)
        return score - decrease / (predicted + WALK_EPSILON)

    fisher = jax.tree.map(averaged, walk.fisher, gradient)
    score = jax.tree.map(longer, walk.score, gradient, fisher, before, after)
    return Walk(fisher, score)


def walk_importance(walk: Walk) -> tuple[Walk, Tree]:
    """Ends a step: halves the walk's score and computes the importance F + S of the next penalty.

    The penalty is `quadratic_penalty(..., half=False)`. Scores below 0, of parameters along which
    the loss rose, count as 0 in the importance; they stay in the walk. Returns the walk to continue
    with, and the importance.
    """
    chex.assert_trees_all_equal_shapes(walk.fisher, walk.score)
    halved = jax.tree.map(lambda score: 0.5 * score, walk.score)
    walk = walk._replace(score=halved)

    def summed(fisher, score):
        return fisher + jnp.maximum(score, 0.0)

    importance = jax.tree.map(summed, walk.fisher, walk.score)
    return walk, importance
