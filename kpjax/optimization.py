"""One step of gradient descent, schedules, and moving averages, as functions of trees."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kpjax.errors import InputError

Schedule = Callable[[jax.Array], jax.Array]  # step as float32 -> learning rate
# one for all parameters, or one per top-level name
LearningRate = Schedule | Mapping[str, Schedule]


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
        return lambda p, d: p - (jnp.float32(rate) * d.astype(jnp.float32)).astype(p.dtype)

    if isinstance(learning_rate, Mapping):
        moved = {
            name: jax.tree.map(
                move(_schedule(learning_rate, name)(step)), params[name], direction[name]
            )
            for name in params
        }
    else:
        moved = jax.tree.map(
            move(_schedule(learning_rate, "all parameters")(step)), params, direction
        )
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


def scale_backbone(factor: float, frozen: Collection[str] = ()) -> optax.GradientTransformation:
    """Builds the last part of a chain: updates of parameters below a `backbone` are multiplied by
    `factor`.

    frozen: names of its layers whose updates are zero, also by weight decay.
    """

    def scaled(path, update: jax.Array) -> jax.Array:
        names = [getattr(entry, "key", None) for entry in path]
        if "backbone" not in names:
            return update
        below = names[names.index("backbone") + 1 :]
        return jnp.zeros_like(update) if below and below[0] in frozen else factor * update

    return optax.stateless(
        lambda updates, params: jax.tree_util.tree_map_with_path(scaled, updates)
    )


def ema(average, current, decay: float):
    """Computes the exponential moving average of two equal trees: decay * average + (1 - decay) *
    current.
    """
    return optax.incremental_update(current, average, step_size=1 - decay)
