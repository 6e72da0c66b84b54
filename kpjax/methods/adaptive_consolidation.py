"""AFEC, active forgetting (Wang et al. 2021): a second pull, towards a network that has learnt the new keypoints alone.

    l = l_GT + lambda 1/2 sum F (theta - theta*)² + lambda_e 1/2 sum F_e (theta - theta_e)²

The first penalty is EWC's. theta_e is the expanded copy: a network that is trained on each step's labels without any
penalty and carried from step to step, with its own Fisher information F_e. It is trained one epoch before each epoch of
the main network, between whose updates it does not change:

    plain = incremental(..., objective={"new_keypoints": ...})             # the expanded copy's own method
    main = incremental(..., objective={..., "expanded": penalty_term(tracked=True)}, track=adaptive_consolidation())
    copy = jax.jit(plain.init)(key, streams, {"teacher": expanded_variables(before), "increment": ...})
    fit(main, ..., start={"expanded": expanded_copy(copy), ...}, between=(epoch_steps, train_expanded(...)))

where `before` is what the step before has tracked. In the first step that is penalised, the copy continues from the
network that the main one continues from.
"""
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kpjax.methods.increment import needed
from kpjax.methods.incremental import State, Tracker
from kpjax.structures import Metrics, Start, Trained, Variables

# What is tracked: `anchor`, theta_e; `importance`, F_e, like it; `copy`, the rest of the expanded copy's state.
Expanded = Mapping[str, Any]


def adaptive_consolidation() -> Tracker:
    """Keeps what `start['expanded']` holds; `train_expanded` changes it between epochs.

    Raises InputError from the method's `init` if the start has no `expanded`.
    """

    def init(params, start: Start) -> Expanded:
        del params
        return needed(start, "expanded")

    def after_update(tracked: Expanded, **unused) -> Expanded:
        del unused
        return tracked

    return Tracker(init, after_update)


def expanded_copy(state: State, importance: Any = None) -> Expanded:
    """The tree to track, from a state of the expanded copy's method; without an importance its pull is 0."""
    params = state.variables["params"]
    if importance is None:
        importance = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    rest = {name: tree for name, tree in state.variables.items() if name != "params"}
    return {"anchor": params, "importance": importance, "copy": state._replace(variables=rest)}


def expanded_variables(tracked: Expanded) -> Variables:
    """The expanded copy's network, from which its next step starts."""
    return {"params": tracked["anchor"], **tracked["copy"].variables}


def train_expanded(
    update: Callable[[State, int], tuple[State, Metrics]],
    importance_of: Callable[[Trained], Any],
    *,
    epoch_steps: int,
    every: int = 5,
) -> Callable[[State, int], State]:
    """The function to give to `fit` as `between=(epoch_steps, ...)`: one epoch of the expanded copy.

    update: (state of the copy, number of the step) -> the state after one update on that step's batch; it may donate
    the state. importance_of: the Fisher information of a network, a tree like its parameters; it is measured after
    every `every`-th epoch, the first one included.
    """

    def between(state: State, step: int) -> State:
        tracked = state.tracked
        # Copied, since an update may donate its state, and the main network's is still in use.
        copy: State = jax.tree.map(jnp.copy, tracked["copy"]._replace(variables=expanded_variables(tracked)))
        for number in range(step, step + epoch_steps):
            copy, _ = update(copy, number)
        importance = tracked["importance"]
        if step // epoch_steps % every == 0:
            importance = importance_of(Trained(copy.variables, copy.frozen))
        return state._replace(tracked=expanded_copy(copy, importance))

    return between
