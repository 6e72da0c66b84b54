"""Trackers of `incremental` for two baselines with a memory of their own: the Riemannian walk, and
AFEC.

Riemannian walk (Chaudhry et al. 2018): a parameter matters by its Fisher information and by its
contribution to the decrease of the loss. A function for the end of a step returns the start of the
next one:

    tracked, importance = walk.end_of_step(state.tracked)
    next_start = {"tracked": tracked, "importance": importance, "anchor": params, ...}

The penalty of the next step is sum_i importance_i (parameter_i - anchor_i)², without a factor 1/2.

AFEC (Wang et al. 2021), active forgetting: a second penalty, towards a network that has learnt the
new keypoints alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpjax.losses.continual import Walk, start_walk, walk_importance, walk_on
from kpjax.methods.incremental_family.incremental import State, Tracker
from kpjax.methods.setup import require
from kpjax.structures import Metrics, Start, Trained, Variables


def _zeros(params) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)


# The Riemannian walk


class RiemannianWalk(NamedTuple):
    """A published form of the walk: what it tracks, and the end of a step."""

    tracker: Tracker
    end_of_step: Callable[[Any], tuple[Any, Any]]  # tracked -> (tracked, importance)


def _restore(kind: type, tracked: Any) -> Any:
    """Returns a tracked tree, which may have become a plain mapping in a file."""
    if not isinstance(tracked, Mapping):
        return tracked
    return kind(**tracked)


def walk_by_updates() -> RiemannianWalk:
    """Builds the form of the code of CPR (Cha et al. 2021) and AFEC: everything is collected while
    training.

    After every update with the gradient g as applied, penalties included, and the movement d: F <-
    decay g² + (1 - decay) F and S <- S - g d / (F d² / 2 + epsilon), see `walk_on`. At the end of a
    step S is halved. Negative scores count as 0 in the importance F + S; the walk itself keeps
    them.
    """

    def init(params, start: Start) -> Walk:
        return _restore(Walk, start.get("tracked")) or start_walk(params)

    def after_update(walk: Walk, *, gradient, old, new) -> Walk:
        return walk_on(walk, gradient, old, new)

    def end_of_step(walk: Walk) -> tuple[Walk, Any]:
        return walk_importance(_restore(Walk, walk))

    return RiemannianWalk(Tracker(init, after_update), end_of_step)


# AFEC: active forgetting with the expanded copy's parameters and importances


FISHER_EVERY = 5  # epochs of the expanded copy
# `anchor`, theta_e; `importance`, F_e, a tree like it; `copy`, the rest of the expanded copy's
# state
Expanded = Mapping[str, Any]


def adaptive_consolidation() -> Tracker:
    """Builds a tracker that keeps `start['expanded']`, which `train_expanded` changes between
    epochs.

    Raises InputError from the method's `init` if the start has no `expanded`.
    """

    def init(params, start: Start) -> Expanded:
        del params
        return require(start, "expanded")

    def after_update(tracked: Expanded, *, gradient, old, new) -> Expanded:
        del gradient, old, new
        return tracked

    return Tracker(init, after_update)


def expanded_copy(state: State, importance: Any = None) -> Expanded:
    """Builds the tree to track, from a state of the expanded copy's method; without an importance
    its pull is 0.
    """
    params = state.variables["params"]
    importance = _zeros(params) if importance is None else importance
    rest = {name: tree for name, tree in state.variables.items() if name != "params"}
    return {"anchor": params, "importance": importance, "copy": state._replace(variables=rest)}


def expanded_variables(tracked: Expanded) -> Variables:
    """Returns the expanded copy's network, from which its next step starts."""
    return {"params": tracked["anchor"], **tracked["copy"].variables}


def train_expanded(
    update: Callable[[State, int], tuple[State, Metrics]],
    importance_of: Callable[[Trained], Any],
    *,
    epoch_steps: int,
) -> Callable[[State, int], State]:
    """Builds the function to pass to `fit` as `between=(epoch_steps, ...)`: one epoch of the
    expanded copy.

    Args:
        update: (state of the copy, number of the step) -> the state after one update on that step's
            batch; it may donate the state.
        importance_of: a network -> its Fisher information, a tree like its parameters; measured
            after the first epoch and every `FISHER_EVERY` epochs from then on.
    """

    def between(state: State, step: int) -> State:
        tracked = state.tracked
        # An update may donate its state, and the main network's is still in use.
        copy: State = jax.tree.map(
            jnp.copy, tracked["copy"]._replace(variables=expanded_variables(tracked))
        )
        for number in range(step, step + epoch_steps):
            copy, _ = update(copy, number)
        importance = tracked["importance"]
        if step // epoch_steps % FISHER_EVERY == 0:
            importance = importance_of(Trained(copy.variables, copy.frozen))
        return state._replace(tracked=expanded_copy(copy, importance))

    return between
