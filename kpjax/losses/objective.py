"""Objectives: weighted sums of named terms, and the functions that make ablations of them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from kpjax.structures import Streams


class Term(NamedTuple):
    """One term of a loss.

    `reads` names the forward passes whose outputs it needs; a method runs no others.
    """

    weight: float
    function: Callable[[Mapping[str, Any], Streams], jax.Array]  # (outputs, streams) -> scalar
    reads: tuple[str, ...] = ()


Objective = Mapping[str, Term]


def check_objective(objective: Any) -> None:
    """Raises TypeError for an objective that is no mapping from names to terms."""
    if not isinstance(objective, Mapping):
        raise TypeError(
            f"objective: a {type(objective).__name__}; give a dict of terms by name, such as "
            "{'supervised': Term(1.0, function)}"
        )
    for name, term in objective.items():
        if not isinstance(term, Term):
            raise TypeError(
                f"objective: {name!r} is a {type(term).__name__}; give kpjax.Term(weight, function)"
            )


def _check_known(objective: Objective, names) -> None:
    """Raises KeyError for names that are not terms of the objective."""
    check_objective(objective)
    unknown = sorted(set(names) - set(objective))
    if unknown:
        raise KeyError(f"no term {', '.join(unknown)} in an objective of {', '.join(objective)}")


def constant(step: jax.Array) -> Mapping[str, jax.Array]:
    """Returns no factor of any term: all weights stay as they are at every step."""
    del step
    return {}


def total(
    objective: Objective,
    outputs: Mapping[str, Any],
    streams: Streams,
    scales: Mapping[str, jax.Array] = MappingProxyType({}),
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the weighted sum of all terms.

    Args:
        objective: terms by name.
        outputs: what the terms read, by name.
        streams: the batches of the step, by name.
        scales: () float32 by name of term; multiplies the term's weight. As arrays, they may change
            without a new compilation. At 0 the term still runs. A name without a term is ignored,
            so that one mapping suits every ablation.

    Returns:
        The sum, a float32 scalar, and every term unweighted under `loss/<name>`.
    """
    parts = {
        name: term.function(outputs, streams).astype(jnp.float32)
        for name, term in objective.items()
    }
    for name, part in parts.items():
        chex.assert_shape(part, (), custom_message=f"loss of the term {name!r}")
    for name, scale in scales.items():
        chex.assert_shape(scale, (), custom_message=f"scale of the term {name!r}")
    weights = {
        name: term.weight * scales[name].astype(jnp.float32) if name in scales else term.weight
        for name, term in objective.items()
    }
    summed = sum((weights[name] * part for name, part in parts.items()), jnp.float32(0))
    metrics = {f"loss/{name}": part for name, part in parts.items()}
    return summed, metrics


def views(objective: Objective) -> frozenset[str]:
    """Returns the names of all forward passes that the terms of an objective read.

    Raises TypeError for an objective that is no mapping from names to terms.
    """
    check_objective(objective)
    return frozenset(view for term in objective.values() for view in term.reads)


def without(objective: Objective, *names: str) -> Objective:
    """Returns the objective less some terms, whose passes are then not run.

    Raises KeyError for an unknown name.
    """
    _check_known(objective, names)
    return {name: term for name, term in objective.items() if name not in names}


def reweighted(objective: Objective, **weights: float) -> Objective:
    """Returns the objective with other weights.

    Raises KeyError for an unknown name, ValueError for a weight of 0.
    """
    _check_known(objective, weights)
    zero = [name for name, weight in weights.items() if weight == 0]
    if zero:
        raise ValueError(
            f"weight 0 for {zero[0]!r} still runs the term, and 0 x NaN is NaN: use without()"
        )
    return {
        name: term._replace(weight=weights.get(name, term.weight))
        for name, term in objective.items()
    }


def replaced(
    objective: Objective,
    *misplaced: Any,
    **functions: Callable[[Mapping[str, Any], Streams], jax.Array],
) -> Objective:
    """Returns the objective with other functions under the same weights, each given by the name of
    its term: `replaced(objective, supervised=function)`.

    Raises KeyError for an unknown name, TypeError for a function without one.
    """
    if misplaced:
        raise TypeError(
            "give each function by the name of its term: replaced(objective, supervised=function)"
        )
    _check_known(objective, functions)
    return {
        name: term._replace(function=functions.get(name, term.function))
        for name, term in objective.items()
    }
