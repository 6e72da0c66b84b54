"""Which weights of a core network are trained and how they make the network: the rows of the paper's tables.

"Object landmark discovery through unsupervised adaptation" (NeurIPS 2019). A parametrisation concerns all of a network
but its head, which is always new and trained. What it freezes is never differentiated and has no optimizer state.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from kpjax.low_rank import initial_updates, with_updates
from kpjax.parameter_paths import Params, Path, Rule, convolutions, merge, split
from kpjax.projection import identity_projections, project

KERNELS = convolutions(3)  # what the paper projects: in its hourglass, the 51 convolutions of all blocks


class Parametrisation(NamedTuple):
    """Two pure functions: a core's parameters taken apart, and a network's put together.

    `init` gets the paths of kernels of grouped convolutions too, which it refuses to project. `frozen` may be {}.
    `trained` has some of the names `projections`, `low_rank` and `free`.
    """

    init: Callable[[jax.Array, Params, frozenset[Path]], tuple[dict, dict[str, Any]]]
    # (key, params without the head, grouped) -> (frozen, trained)
    assemble: Callable[[Params, Params], dict]  # (frozen, trained) -> params without the head
    starts_from_core: bool = True


def adapted(rule: Rule = KERNELS) -> Parametrisation:
    """Chosen kernels are frozen and projected; all else (stem, 1x1 convolutions, BatchNorm) is trained freely.

    The paper's proposal as its code has it; by its text every convolution is projected.
    """
    def init(key, params, grouped):
        del key
        projections = identity_projections(params, rule, grouped)
        kernels, free = split(params, rule)
        return kernels, {"projections": projections, "free": free}

    def assemble(frozen, trained):
        return merge(project(frozen, trained["projections"]), trained["free"])

    return Parametrisation(init, assemble)


def adapted_w_and_head_only(rule: Rule = KERNELS) -> Parametrisation:
    """The same projections with all else of the core frozen. (BatchNorm's statistics follow the data in any case.)"""
    def init(key, params, grouped):
        del key
        return params, {"projections": identity_projections(params, rule, grouped)}

    def assemble(frozen, trained):
        return project(frozen, trained["projections"])

    return Parametrisation(init, assemble)


def lora(rule: Rule = KERNELS) -> Parametrisation:
    """`adapted` with an update of low rank in place of each projection, at an equal number of trained weights."""
    def init(key, params, grouped):
        updates = initial_updates(key, params, rule, grouped)
        kernels, free = split(params, rule)
        return kernels, {"low_rank": updates, "free": free}

    def assemble(frozen, trained):
        return merge(with_updates(frozen, trained["low_rank"]), trained["free"])

    return Parametrisation(init, assemble)


def finetuned() -> Parametrisation:
    """Everything starts at the core and is trained."""
    return Parametrisation(lambda key, params, grouped: ({}, {"free": params}), lambda frozen, trained: trained["free"])


def scratch() -> Parametrisation:
    """Everything is trained from a fresh start; a core that is given is not read."""
    return finetuned()._replace(starts_from_core=False)


def finetuned_where(rule: Rule) -> Parametrisation:
    """The weights that a rule chooses start at the core and are trained; the others are frozen."""
    def init(key, params, grouped):
        del key, grouped
        free, frozen = split(params, rule)
        return frozen, {"free": free}

    return Parametrisation(init, lambda frozen, trained: merge(frozen, trained["free"]))


def finetuned_last() -> Parametrisation:
    """Only what stands between the trunk and the head is trained: of the hourglass, the top block and the last 1x1
    convolution. The paper does not say which layers it took.
    """
    return finetuned_where(lambda path, leaf: path[0] == "upsampling")
