"""Penalties that hold parameters near those of earlier steps, and the importances that weight them.

Parameters, anchors and importances are trees of one structure. An importance is float32 and not negative, 0 where a
parameter is free. Everything is a pure function of trees, for use under jit or on the host.
"""
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Tree = Any  # a tree of arrays


def quadratic_penalty(params: Tree, anchor: Tree, importance: Tree, *, half: bool = True) -> Float[Array, ""]:
    """Computes 1/2 sum_i F_i (theta_i - anchor_i)² over all parameters theta, with the importance F.

    half: whether to include the factor 1/2. Source: Kirkpatrick et al. 2017 (EWC); without 1/2 Chaudhry et al. 2018
    (Riemannian walk).
    """

    def of_leaf(value, held, weight):
        return (weight * jnp.square(value.astype(jnp.float32) - held.astype(jnp.float32))).sum()

    parts = jax.tree.leaves(jax.tree.map(of_leaf, params, anchor, importance))
    return (0.5 if half else 1.0) * sum(parts, jnp.float32(0))


class Anchored(NamedTuple):
    """The sum of any number of quadratic penalties: a single penalty, and a constant independent of the parameters."""

    anchor: Tree  # sum_j F_j anchor_j / sum_j F_j
    importance: Tree  # sum_j F_j
    constant: jax.Array  # () float32: the sum of all penalties at `anchor`


def one_anchor(anchor: Tree, importance: Tree) -> Anchored:
    """Returns the penalty towards a single anchor."""
    return Anchored(anchor, importance, jnp.float32(0))


def with_anchor(anchored: Anchored, anchor: Tree, importance: Tree) -> Anchored:
    """Adds one more penalty to `anchored`: exact for any number of steps, in the memory of a single one.

    Quadratics add up to a quadratic. Stored as its minimum and its curvature, not as sums of F theta and F theta², it
    keeps its digits in float32. The new anchor becomes that of the sum wherever both importances are 0.
    """

    def meet(held, new, weight, new_weight):
        total = weight + new_weight
        share = jnp.where(total > 0, weight / jnp.where(total > 0, total, 1.0), 0.0)
        return (new + share * (held - new)).astype(new.dtype)

    def between(held, new, weight, new_weight):
        total = weight + new_weight
        joint = weight * new_weight / jnp.where(total > 0, total, 1.0)  # of two springs in series
        return (joint * jnp.square(held.astype(jnp.float32) - new.astype(jnp.float32))).sum()

    trees = anchored.anchor, anchor, anchored.importance, importance
    strain = sum(jax.tree.leaves(jax.tree.map(between, *trees)), jnp.float32(0))
    return Anchored(jax.tree.map(meet, *trees), jax.tree.map(jnp.add, anchored.importance, importance),
                    anchored.constant + 0.5 * strain)


def anchored_penalty(params: Tree, anchored: Anchored) -> Float[Array, ""]:
    """Computes sum_j 1/2 sum_i F_ji (theta_i - anchor_ji)², the original EWC with one anchor for every earlier step."""
    return quadratic_penalty(params, anchored.anchor, anchored.importance) + anchored.constant


# Importances


def fused_importance(
    old: Tree, new: Tree, *,
    rule: Literal["running_mean", "sum", "half", "decay"] = "running_mean", step: int | Array = 1, decay: float = 0.9
) -> Tree:
    """Combines the importance of all steps before with that of the step just ended.

    Args:
        old, new: importances of the steps before, and of the step just ended.
        rule: "running_mean" is (new + step * old) / (step + 1), with `old` the mean of `step` steps; "sum" old + new;
            "half" (old + new) / 2; "decay" decay * old + new, online EWC (Schwarz et al. 2018).
        step: number of steps behind `old`.
        decay: factor of the old importance.
    """
    if rule == "running_mean":
        count = jnp.asarray(step, jnp.float32)
        return jax.tree.map(lambda before, now: (now + count * before) / (count + 1), old, new)
    kept, taken = {"sum": (1.0, 1.0), "half": (0.5, 0.5), "decay": (decay, 1.0)}[rule]
    return jax.tree.map(lambda before, now: kept * before + taken * now, old, new)


def normalised_importance(importance: Tree) -> Tree:
    """Divides an importance by its mean over all parameters, so that a penalty's weight means the same everywhere.

    An importance of zeros stays as it is.
    """
    leaves = jax.tree.leaves(importance)
    mean = sum((leaf.sum() for leaf in leaves), jnp.float32(0)) / sum(math.prod(leaf.shape) for leaf in leaves)
    return jax.tree.map(lambda leaf: leaf / jnp.where(mean > 0, mean, 1.0), importance)


# The Riemannian walk: importances from the path of the parameters


class Walk(NamedTuple):
    """Statistics of the walk, for every parameter."""

    fisher: Tree  # moving average of squared gradients
    score: Tree  # decrease of the loss along the path, over the decrease that the Fisher metric predicts


def start_walk(params: Tree) -> Walk:
    """Returns a walk of no steps."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    return Walk(zeros, zeros)


def walk_on(
    walk: Walk, gradient: Tree, before: Tree, after: Tree, *, decay: float = 0.9, epsilon: float = 0.01
) -> Walk:
    """Extends the walk by one update with movement d = after - before.

    F <- decay g² + (1 - decay) F, then S <- S - g d / (1/2 F d² + epsilon). Source: Chaudhry et al. 2018, in the form
    that Cha et al. 2021 (CPR) compare with.

    Args:
        walk: before the update.
        gradient: g, as applied at `before`, penalties included.
        before, after: parameters before and after the update.
        decay: weight of the new square, deliberately, and not of the old ones.
        epsilon: added to the denominator.
    """
    fisher = jax.tree.map(lambda held, slope: decay * jnp.square(slope) + (1 - decay) * held, walk.fisher, gradient)

    def longer(score, slope, metric, start, end):
        moved = end - start
        return score - slope * moved / (0.5 * metric * jnp.square(moved) + epsilon)

    return Walk(fisher, jax.tree.map(longer, walk.score, gradient, fisher, before, after))


def walk_importance(walk: Walk, *, clip: bool = True) -> tuple[Walk, Tree]:
    """Ends a step: halves the walk's score and computes the importance F + S of the next penalty.

    The penalty is `quadratic_penalty(..., half=False)`. clip: scores below 0, of parameters along which the loss rose,
    count as 0 in the importance; they stay in the walk. Returns the walk to continue with, and the importance.
    """
    walk = walk._replace(score=jax.tree.map(lambda score: 0.5 * score, walk.score))
    importance = jax.tree.map(
        lambda fisher, score: fisher + (jnp.maximum(score, 0.0) if clip else score), walk.fisher, walk.score)
    return walk, importance
