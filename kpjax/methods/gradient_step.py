"""One step of gradient descent on an objective, and the state of methods that take nothing but such
steps.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from kpjax.optimization import LearningRate, descend, schedule_of
from kpjax.structures import Metrics, Variables

# parameters -> (value, (parts, auxiliary))
Loss = Callable[[Any], tuple[jax.Array, tuple[Metrics, Any]]]


class State(NamedTuple):
    """The state of a method that has no live tree besides its network and its optimizer."""

    step: jax.Array
    variables: Variables
    optimizer_state: Any  # one, or one for each group of parameters by name
    frozen: Mapping[str, Any]  # trees that never change, by name


class Moved(NamedTuple):
    """The outcome of a step."""

    params: Any
    optimizer_state: Any
    auxiliary: Any  # the loss's; often the BatchNorm statistics after its pass
    metrics: dict[str, jax.Array]  # `loss/total`, the loss's parts, and `gradient_norm/<name>`


def gradient_step(
    loss: Loss,
    params,
    state,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    *,
    norms: Callable[[Any], Mapping[str, Any]] = lambda gradient: {"model": gradient},
) -> Moved:
    """Takes one step of `params` against the gradient of a loss, by `state.optimizer_state` and
    `state.step`.

    optimizer, learning_rate: as in `descend`. norms: the gradient -> the trees whose norms are
    logged, by name.
    """
    gradient, auxiliary, metrics = _differentiate(loss, params, norms)
    moved, optimizer_state = descend(
        optimizer, gradient, state.optimizer_state, params, learning_rate, state.step
    )
    return Moved(moved, optimizer_state, auxiliary, metrics)


def gradient_steps(
    loss: Loss,
    params: Mapping[str, Any],
    state,
    optimizer: optax.GradientTransformation,
    rates: LearningRate,
) -> Moved:
    """Takes one step of every group of `params`, each by an optimizer state and a learning rate of
    its own.

    Groups that are not in `params` keep their optimizer state. The others are as in
    `gradient_step`.
    """
    gradient, auxiliary, metrics = _differentiate(loss, params, dict)
    moved = {}
    states = dict(state.optimizer_state)
    for group in params:
        moved[group], states[group] = descend(
            optimizer,
            gradient[group],
            states[group],
            params[group],
            schedule_of(rates, group),
            state.step,
        )
    return Moved(moved, states, auxiliary, metrics)


def _differentiate(loss: Loss, params, norms) -> tuple[Any, Any, Metrics]:
    (value, (parts, auxiliary)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    lengths = {
        f"gradient_norm/{name}": optax.tree.norm(tree) for name, tree in norms(gradient).items()
    }
    return gradient, auxiliary, {**parts, "loss/total": value, **lengths}
