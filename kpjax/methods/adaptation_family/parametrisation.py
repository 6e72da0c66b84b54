"""Parametrisations of a network by a frozen core: the weights that are trained, and the network that they make.

These are the variants of the tables in "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), and
their building blocks: projections of kernels and low-rank updates. A parametrisation concerns all of a network but its
head, which is always new and trained. Frozen weights are never differentiated and have no optimizer state.
"""
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError
from kpjax.methods.adaptation_family.parameter_paths import (
    Params,
    Path,
    Rule,
    channel_kernels,
    chosen_leaves,
    merge,
    split,
)

# Projections: one matrix for each frozen kernel


def constrains(shape: tuple[int, ...]) -> bool:
    """Returns whether products of a kernel (..., in, out) with matrices (out, out) are fewer than all kernels.

    They are all kernels where a kernel has no more inputs, over all taps, than outputs: a matrix would then free what
    is to be frozen.
    """
    return prod(shape[:-1]) > shape[-1]


def projected_leaves(core_params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict[Path, Any]:
    """Selects the kernels that are frozen and projected: of those that a rule chooses, all that a matrix constrains.

    The others are frozen as they are; BatchNorm after them is trained. Raises InputError as `chosen_leaves` does.
    """
    grouped = frozenset(grouped)
    return {path: leaf for path, leaf in chosen_leaves(core_params, rule, grouped).items()
            if path in grouped or constrains(leaf.shape)}


def identity_projections(core_params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict:
    """Builds an identity matrix (out, out) float32 for each kernel (..., in, out) of `projected_leaves`, by path.

    A depthwise kernel has ones (out,): a full matrix would mix its channels, which is what a depthwise layer never
    does. grouped: paths of the kernels of grouped convolutions, from `parameter_paths.grouped_kernels`; their shape
    does not show it. Raises InputError if the rule chooses nothing, or one of `grouped` that is not depthwise.
    """
    grouped = frozenset(grouped)
    chosen = projected_leaves(core_params, rule, grouped)
    return unflatten_dict({path: jnp.ones(leaf.shape[-1]) if path in grouped else jnp.eye(leaf.shape[-1])
                           for path, leaf in chosen.items()})


def project(core_params: Params, projections: Params) -> dict:
    """Projects every kernel that has a matrix W (out, out), `kernel @ W.T` on its last axis, or a scale (out,).

    kernel_Y[..., i, o] = sum over p of kernel_X[..., i, p] W[o, p], for kernels (..., in, out) of convolutions,
    transposed convolutions and dense layers. All other leaves are unchanged. With identities the result equals the core
    exactly on a CPU. Raises InputError for a path that the core does not have, or a matrix of another width.
    """
    core, matrices = flatten_dict(core_params), flatten_dict(projections)
    _check_projections(core, matrices)
    return unflatten_dict(core | {path: _projected(core[path], matrix) for path, matrix in matrices.items()})


def _projected(kernel: jax.Array, matrix: jax.Array) -> jax.Array:
    if matrix.ndim == 1:
        return kernel * matrix.reshape((1,) * (kernel.ndim - 1) + (-1,))
    return jnp.einsum("...p,op->...o", kernel, matrix, precision=jax.lax.Precision.HIGHEST)


def _check_projections(core: dict[Path, Any], matrices: dict[Path, Any]) -> None:
    for path, matrix in matrices.items():
        name = "/".join(path)
        if path not in core:
            raise InputError(f"projection of {name}: the core has no such kernel; give the core that it was made for")
        width = core[path].shape[-1]
        if matrix.shape not in ((width, width), (width,)):
            raise InputError(f"projection of {name}: the matrix has shape {matrix.shape} and the kernel {width} "
                             "outputs; give the core that it was made for")


# Low-rank updates of frozen kernels: LoRA (Hu et al. 2021)


def ranks_of_equal_size(shapes: dict[Path, tuple[int, ...]], grouped: Iterable[Path] = ()) -> dict[Path, int]:
    """Chooses ranks, at least 1, such that all updates together have as many weights as the projections.

    The equality holds up to half the cost of one rank of the last kernel; each kernel's rounding error passes to the
    next. Where a kernel is so narrow that rank 1 costs more than its matrix, the sum can be larger. shapes: of kernels
    (..., in, out), by path; those in `grouped` have a scale (out,) for a projection.
    """
    ranks, wanted, spent = {}, 0, 0
    for path, shape in shapes.items():
        cost = prod(shape[:-1]) + shape[-1]
        wanted += shape[-1] if path in grouped else shape[-1] ** 2
        ranks[path] = max(1, round((wanted - spent) / cost))
        spent += ranks[path] * cost
    return ranks


def initial_updates(key: jax.Array, core_params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict:
    """Initialises updates, without effect at first, for every kernel of `projected_leaves`.

    Each kernel's place holds {"down", "up"}, float32: `down` normal with variance 1 / (taps * in), `up` zero. `grouped`
    is as in `identity_projections`, which raises the same InputError.
    """
    shapes = {path: leaf.shape for path, leaf in projected_leaves(core_params, rule, grouped).items()}
    updates = {}
    for number, (path, rank) in enumerate(ranks_of_equal_size(shapes, grouped).items()):
        *_, width = shapes[path]
        inputs = prod(shapes[path][:-1])
        normal = jax.random.normal(jax.random.fold_in(key, number), (inputs, rank), jnp.float32)
        updates[path] = {"down": normal * inputs ** -0.5, "up": jnp.zeros((rank, width), jnp.float32)}
    return unflatten_dict(updates)


def with_updates(core_params: Params, updates: Params) -> dict:
    """Adds its update to every kernel that has one, kernel + down @ up; all other leaves are unchanged.

    Raises InputError for a path that the core does not have, or factors that do not fit the kernel.
    """
    core, factors = flatten_dict(core_params), flatten_dict(updates)
    changed = dict(core)
    for path in dict.fromkeys(path[:-1] for path in factors):
        down, up = factors[*path, "down"], factors[*path, "up"]
        fits = path in core and (down.shape[0], up.shape[1]) == (prod(core[path].shape[:-1]), core[path].shape[-1])
        if not fits:
            raise InputError(f"low-rank update of {'/'.join(path)}: the core has no kernel of this name and size; give "
                             "the core that it was made for")
        change = jnp.matmul(down, up, precision=jax.lax.Precision.HIGHEST)
        changed[path] = core[path] + change.reshape(core[path].shape)
    return unflatten_dict(changed)


# Parametrisations


class Parametrisation(NamedTuple):
    """Two pure functions: one splits a core's parameters, the other assembles a network's.

    `init` gets the paths of kernels of grouped convolutions too: depthwise ones are scaled, others not projected.
    `frozen` may be {}. `trained` has some of the names `projections`, `low_rank` and `free`.
    """

    init: Callable[[jax.Array, Params, frozenset[Path]], tuple[dict, dict[str, Any]]]
    # (key, params without the head, grouped) -> (frozen, trained)
    assemble: Callable[[Params, Params], dict]  # (frozen, trained) -> params without the head
    starts_from_core: bool = True


def adapted() -> Parametrisation:
    """Builds the paper's proposal: chosen kernels are frozen, and projected where that constrains them (see
    `projected_leaves`); all else is trained freely.

    The kernels are those of `parameter_paths.channel_kernels`: in the paper's hourglass the 51 convolutions of all
    blocks. The rest is the stem, 1x1 convolutions and BatchNorm, as in the paper's code; by its text every convolution
    is projected.
    """
    def init(key, params, grouped):
        del key
        chosen = channel_kernels(params, grouped)
        kernels, free = split(params, chosen)
        return kernels, {"projections": identity_projections(params, chosen, grouped), "free": free}

    def assemble(frozen, trained):
        return merge(project(frozen, trained["projections"]), trained["free"])

    return Parametrisation(init, assemble)


def adapted_w_and_head_only() -> Parametrisation:
    """Builds the same projections with all else of the core frozen. (BatchNorm's statistics still follow the data.)"""
    def init(key, params, grouped):
        del key
        return params, {"projections": identity_projections(params, channel_kernels(params, grouped), grouped)}

    def assemble(frozen, trained):
        return project(frozen, trained["projections"])

    return Parametrisation(init, assemble)


def lora() -> Parametrisation:
    """Builds `adapted` with a low-rank update in place of each projection, at an equal number of trained weights."""
    def init(key, params, grouped):
        chosen = channel_kernels(params, grouped)
        kernels, free = split(params, chosen)
        return kernels, {"low_rank": initial_updates(key, params, chosen, grouped), "free": free}

    def assemble(frozen, trained):
        return merge(with_updates(frozen, trained["low_rank"]), trained["free"])

    return Parametrisation(init, assemble)


def finetuned() -> Parametrisation:
    """Builds full finetuning: everything starts at the core and is trained."""
    return Parametrisation(lambda key, params, grouped: ({}, {"free": params}), lambda frozen, trained: trained["free"])


def scratch() -> Parametrisation:
    """Builds training from a fresh start; a given core is not read."""
    return finetuned()._replace(starts_from_core=False)


def finetuned_where(rule: Rule) -> Parametrisation:
    """Builds partial finetuning: weights chosen by a rule start at the core and are trained; the others are frozen."""
    def init(key, params, grouped):
        del key, grouped
        free, frozen = split(params, rule)
        return frozen, {"free": free}

    return Parametrisation(init, lambda frozen, trained: merge(frozen, trained["free"]))


def finetuned_last() -> Parametrisation:
    """Builds finetuning of the part between trunk and head: the hourglass's top block and last 1x1 convolution.

    The paper does not name its layers.
    """
    return finetuned_where(lambda path, leaf: path[0] == "upsampling")
