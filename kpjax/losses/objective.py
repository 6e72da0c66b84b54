"""Weighted sums of named terms. An ablation is a function of an objective."""
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpjax.structures import Streams


class Term(NamedTuple):
    """One term of a loss. `reads` names the forward passes whose outputs it needs; a method runs no others."""

    weight: float
    function: Callable[[Mapping[str, Any], Streams], jax.Array]  # (outputs, streams) -> scalar
    reads: tuple[str, ...] = ()


Objective = Mapping[str, Term]


def _check_known(objective: Objective, names) -> None:
    if unknown := sorted(set(names) - set(objective)):
        raise KeyError(f"no term {', '.join(unknown)} in an objective of {', '.join(objective)}")


def total(
    objective: Objective,
    outputs: Mapping[str, Any],
    streams: Streams,
    scales: Mapping[str, jax.Array] = MappingProxyType({}),
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted sum of all terms, a float32 scalar, and every term unweighted under `loss/<name>`.

    scales: () float32 by name of term, multiplies the term's weight. Being arrays, they may change without a new
    compilation; at 0 the term still runs. A name without a term is ignored, so that one set suits every ablation.
    """
    parts = {name: term.function(outputs, streams).astype(jnp.float32) for name, term in objective.items()}
    weights = {name: term.weight * scales[name].astype(jnp.float32) if name in scales else term.weight
               for name, term in objective.items()}
    summed = sum((weights[name] * part for name, part in parts.items()), jnp.float32(0))
    return summed, {f"loss/{name}": part for name, part in parts.items()}


def views(objective: Objective) -> frozenset[str]:
    """The forward passes that the terms of an objective need together."""
    return frozenset(view for term in objective.values() for view in term.reads)


def without(objective: Objective, *names: str) -> Objective:
    """The objective less some terms, whose passes are then not run. Raises KeyError for an unknown name."""
    _check_known(objective, names)
    return {name: term for name, term in objective.items() if name not in names}


def reweighted(objective: Objective, **weights: float) -> Objective:
    """The objective with other weights. Raises KeyError for an unknown name and ValueError for a weight of zero."""
    _check_known(objective, weights)
    if zero := [name for name, weight in weights.items() if weight == 0]:
        raise ValueError(f"weight 0 for {zero[0]!r} still runs the term, and 0 x NaN is NaN: use without()")
    return {name: term._replace(weight=weights.get(name, term.weight)) for name, term in objective.items()}


def replaced(objective: Objective, **functions: Callable[[Mapping[str, Any], Streams], jax.Array]) -> Objective:
    """The objective with other functions under the same weights and passes. Raises KeyError for an unknown name."""
    _check_known(objective, functions)
    return {name: term._replace(function=functions.get(name, term.function)) for name, term in objective.items()}
