"""One step of gradient descent, schedules, and moving averages, as functions of trees.

What a parameter moves by is the optimizer's direction times its learning rate: that of the schedule
of its group (`LearningRate`), times the backbone's share of it (`scale_backbone`) for parameters
below a `backbone`. `group_rates` says what comes of both.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from kpjax.errors import InputError

Schedule = Callable[[jax.Array], jax.Array]  # step as float32 -> learning rate
# one for all parameters, or one per top-level name
LearningRate = Schedule | Mapping[str, Schedule]
ALL = "all parameters"  # the group of a learning rate without groups


def descend(
    optimizer: optax.GradientTransformation,
    gradient,
    optimizer_state,
    params,
    learning_rate: LearningRate,
    step,
) -> tuple[Any, Any]:
    """Takes one step against `gradient`: (new parameters, new optimizer state).

    Strict dtype promotion is relaxed in here only: optax counts in int32 and multiplies with
    floats.

    Args:
        optimizer: without its learning rate, for example `optax.trace(0.9)` or
            `optax.scale_by_adam()`.
        learning_rate: a schedule, or one for each top-level name of `params`; see `schedule_of`.
    """
    with jax.numpy_dtype_promotion("standard"):
        direction, optimizer_state = optimizer.update(gradient, optimizer_state, params)
    step = step.astype(jnp.float32)

    def move(rate):
        def of_leaf(p, d):
            change = jnp.float32(rate) * d.astype(jnp.float32)
            return p - change.astype(p.dtype)

        return of_leaf

    if isinstance(learning_rate, Mapping):
        moved = {
            name: jax.tree.map(
                move(_schedule(learning_rate, name)(step)), params[name], direction[name]
            )
            for name in params
        }
    else:
        moved = jax.tree.map(move(_schedule(learning_rate, ALL)(step)), params, direction)
    return moved, optimizer_state


def schedule_of(learning_rate: LearningRate, group: str) -> LearningRate:
    """Returns the learning rate of one group of parameters: a schedule, or one for each of its
    parts.

    Raises InputError where it has neither.
    """
    found = learning_rate.get(group) if isinstance(learning_rate, Mapping) else learning_rate
    if not callable(found) and not isinstance(found, Mapping):
        raise _no_schedule(found, group)
    return found


def _schedule(learning_rate: LearningRate, group: str) -> Schedule:
    """Returns the one schedule of a group of parameters. Raises InputError where it has none."""
    found = schedule_of(learning_rate, group)
    if isinstance(found, Mapping):
        raise _no_schedule(found, group)
    return found


def _no_schedule(found: Any, group: str) -> InputError:
    wanted = "give a schedule, such as optax.constant_schedule"
    return InputError("learning_rate", f"{found} for {group!r}; {wanted}")


class BackboneOptimizer(NamedTuple):
    """An optax optimizer whose updates of a backbone are a share of its own."""

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]
    share: float  # share of parameters below a `backbone`
    frozen: tuple[str, ...]  # names of the backbone's layers that do not move


def scale_backbone(
    optimizer: optax.GradientTransformation, share: float, frozen: Collection[str] = ()
) -> BackboneOptimizer:
    """Builds an optimizer whose updates of parameters below a `backbone` are multiplied by `share`.

    frozen: names of its layers whose updates are zero, also by weight decay.
    """

    def scaled(path, update: jax.Array) -> jax.Array:
        names = [getattr(entry, "key", None) for entry in path]
        if "backbone" not in names:
            return update
        below = names[names.index("backbone") + 1 :]
        if below and below[0] in frozen:
            return jnp.zeros_like(update)
        return share * update

    last = optax.stateless(
        lambda updates, params: jax.tree_util.tree_map_with_path(scaled, updates)
    )
    chained = optax.chain(optimizer, last)
    return BackboneOptimizer(chained.init, chained.update, share, tuple(frozen))


# groups of parameters of which a backbone is a part, in the order in which they are looked for
WITH_BACKBONE = ("backbone", "features", ALL)


@functools.lru_cache(maxsize=64)
def check_direction(optimizer: optax.GradientTransformation) -> None:
    """Takes one update of a unit gradient. Raises InputError for an optimizer that points against
    it, since it holds its learning rate, as `optax.adam(1e-3)` does: `descend` would climb.

    An optimizer that asks for parameters of certain names is not tried.
    """
    ones = {"weight": np.ones(2, np.float32)}
    try:
        # a method may be built while JAX traces another function
        with jax.numpy_dtype_promotion("standard"), jax.ensure_compile_time_eval():
            step, _ = optimizer.update(ones, optimizer.init(ones), ones)
    except (KeyError, ValueError, TypeError):
        return
    if np.asarray(step["weight"]).sum() < 0:
        raise InputError(
            "optimizer",
            "it holds its learning rate, and would climb; give it without one, such as "
            "optax.scale_by_adam() for optax.adam(1e-3), and the rate as `learning_rate`",
        )


def group_rates(
    optimizer: optax.GradientTransformation, learning_rate: LearningRate
) -> Callable[[float], dict[str, float]]:
    """Returns a function of the step's number: the learning rate of each group of parameters.

    Raises InputError for an optimizer that holds a learning rate of its own.

    With an optimizer of `scale_backbone`, `backbone` is its share of the rate of its group; frozen
    layers have none. A rate without groups is that of "all parameters". Nested groups have names
    with slashes.
    """
    check_direction(optimizer)
    schedules = learning_rate if isinstance(learning_rate, Mapping) else {ALL: learning_rate}
    schedules = flatten_dict(schedules, sep="/")
    share = getattr(optimizer, "share", 1.0)

    def rates(step: float) -> dict[str, float]:
        found = {name: float(rate(jnp.float32(step))) for name, rate in schedules.items()}
        group = next((name for name in WITH_BACKBONE if name in found), None)
        if share != 1 and group is not None:
            found["backbone"] = share * found[group]
        return found

    return rates


def ema(average, current, decay: float):
    """Computes the exponential moving average of two equal trees: decay * average + (1 - decay) *
    current.
    """
    return optax.incremental_update(current, average, step_size=1 - decay)
