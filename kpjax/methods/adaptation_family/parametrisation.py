"""Parametrisations of a network by a frozen core: the weights that are trained, and the network
that they make.

These are the variants of the tables in "Object landmark discovery through unsupervised adaptation"
(NeurIPS 2019), those of its last section ("Further investigating finetuning"), and their building
block: projections of kernels. A parametrisation concerns all of a network but its head, which is
always trained, and new unless `keeps_head`. Frozen weights are never differentiated and have no
optimizer state.
"""

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError
from kpjax.methods.adaptation_family import parameter_paths as paths
from kpjax.structures import Metrics

LAST_LAYERS = "upsampling"  # the part of a `KeypointNetwork` between trunk and head

# Projections: one matrix for each frozen kernel


def constrains(shape: tuple[int, ...]) -> bool:
    """Returns whether products of a kernel (..., in, out) with matrices (out, out) are fewer than
    all kernels.

    They are all kernels where a kernel has no more inputs, over all taps, than outputs: a matrix
    would then free what is to be frozen.
    """
    return prod(shape[:-1]) > shape[-1]


def projected_leaves(
    core_params: paths.Params,
    rule: paths.Rule,
    grouped: Iterable[paths.Path] = (),
    *,
    unconstrained: bool = False,
) -> dict[paths.Path, Any]:
    """Selects the kernels that are frozen and projected: of those that a rule chooses, all that a
    matrix constrains.

    The others are frozen as they are; BatchNorm after them is trained. unconstrained: projects them
    too, as the paper's text asks for. Raises InputError as `chosen_leaves` does.
    """
    grouped = frozenset(grouped)
    return {
        path: leaf
        for path, leaf in paths.chosen_leaves(core_params, rule, grouped).items()
        if unconstrained or path in grouped or constrains(leaf.shape)
    }


def identity_projections(
    core_params: paths.Params,
    rule: paths.Rule,
    grouped: Iterable[paths.Path] = (),
    *,
    unconstrained: bool = False,
) -> dict:
    """Builds an identity matrix (out, out) float32 for each kernel (..., in, out) of
    `projected_leaves`, by path.

    A depthwise kernel has ones (out,): a full matrix would mix its channels, which is what a
    depthwise layer never does.

    Args:
        core_params: nested dictionaries, without the head.
        rule: chooses kernels.
        grouped: paths of the kernels of grouped convolutions, from
            `parameter_paths.grouped_kernels`; their shape does not show it.
        unconstrained: see `projected_leaves`.

    Raises:
        InputError: the rule chooses nothing, or one of `grouped` that is not depthwise.
    """
    grouped = frozenset(grouped)
    chosen = projected_leaves(core_params, rule, grouped, unconstrained=unconstrained)
    return unflatten_dict(
        {
            path: (jnp.ones if path in grouped else jnp.eye)(leaf.shape[-1], dtype=jnp.float32)
            for path, leaf in chosen.items()
        }
    )


def project(core_params: paths.Params, projections: paths.Params) -> dict:
    """Projects every kernel that has a matrix W (out, out), `kernel @ W.T` on its last axis, or a
    scale (out,).

    kernel_Y[..., i, o] = sum over p of kernel_X[..., i, p] W[o, p], for kernels (..., in, out) of
    convolutions, transposed convolutions and dense layers. All other leaves are unchanged. With
    identities the result equals the core exactly on a CPU. Raises InputError for a path that the
    core does not have, or a matrix of another width.
    """
    core = flatten_dict(core_params)
    matrices = flatten_dict(projections)
    _check_projections(core, matrices)
    return unflatten_dict(
        core | {path: _project(core[path], matrix) for path, matrix in matrices.items()}
    )


def _project(kernel: jax.Array, matrix: jax.Array) -> jax.Array:
    if matrix.ndim == 1:
        other_axes = (1,) * (kernel.ndim - 1)
        return kernel * matrix.reshape(*other_axes, -1)
    return jnp.einsum("...p,op->...o", kernel, matrix, precision=jax.lax.Precision.HIGHEST)


def _check_projections(core: dict[paths.Path, Any], matrices: dict[paths.Path, Any]) -> None:
    for path, matrix in matrices.items():
        name = "/".join(path)
        if path not in core:
            raise InputError(
                f"projection of {name}: the core has no such kernel; give the core that it was made for"
            )
        width = core[path].shape[-1]
        if matrix.shape not in ((width, width), (width,)):
            raise InputError(
                f"projection of {name}: the matrix has shape {matrix.shape} and the kernel {width} "
                "outputs; give the core that it was made for"
            )


# Parametrisations


class Parametrisation(NamedTuple):
    """Two pure functions: one splits a core's parameters, the other assembles a network's.

    `init` gets the paths of kernels of grouped convolutions too: depthwise ones are scaled, others
    not projected. `frozen` may be {}. `trained` has `free`, and `projections` where there are some.
    """

    # (params without the head, grouped) -> (frozen, trained)
    init: Callable[[paths.Params, frozenset[paths.Path]], tuple[dict, dict[str, Any]]]
    #: (frozen, trained) -> params without the head
    assemble: Callable[[paths.Params, paths.Params], dict]
    starts_from_core: bool = True
    keeps_head: bool = False  # whether the head, too, starts at the core's


def adapted(*, every: bool = False) -> Parametrisation:
    """Builds the paper's proposal: chosen kernels are frozen and projected, all else is trained
    freely.

    By default the kernels are those of `parameter_paths.channel_kernels`: in the paper's hourglass
    the 51 convolutions of all blocks, as in the authors' code. They are projected where that
    constrains them (see `projected_leaves`). The rest is the stem, 1x1 convolutions and BatchNorm.

    every: projects the kernels of all convolutions and dense layers, as the paper's text says
        ("for each convolutional layer, a projection matrix"). In its hourglass these are 55: the
        stem, the two 1x1 convolutions beside blocks and the last 1x1 convolution as well. The
        rest is biases and BatchNorm.
    """

    def init(params, grouped):
        chosen = paths.every_kernel if every else paths.channel_kernels(params, grouped)
        kernels, free = paths.split(params, chosen)
        projections = identity_projections(params, chosen, grouped, unconstrained=every)
        return kernels, {"projections": projections, "free": free}

    def assemble(frozen, trained):
        return paths.merge(project(frozen, trained["projections"]), trained["free"])

    return Parametrisation(init, assemble)


def finetuned(*, keeps_head: bool = False) -> Parametrisation:
    """Builds full finetuning: everything starts at the core and is trained.

    keeps_head: the head, too, starts at the core's, which has the keypoints to discover. So
        finetuning goes on after projections have been learnt and folded in (`plain_variables`).
    """
    return Parametrisation(
        lambda params, grouped: ({}, {"free": params}),
        lambda frozen, trained: trained["free"],
        keeps_head=keeps_head,
    )


def finetuned_last() -> Parametrisation:
    """Builds finetuning of the last layers: those between trunk and head start at the core and are
    trained, all others are frozen.

    In the paper's hourglass they are its top block, the last 1x1 convolution, and their
    BatchNorms; the paper says "only the last layers of the core network" and names none. Frozen
    layers of BatchNorm keep scale and bias; like those of all variants they normalise by the
    batch's statistics in training, and their running statistics follow.
    """

    def init(params, grouped):
        del grouped
        last, others = paths.split(params, lambda path, leaf: path[0] == LAST_LAYERS)
        if not last:
            raise InputError(
                "this network has no layers between trunk and head, so there are no last layers to "
                "train; choose another network or another variant"
            )
        return others, {"free": last}

    return Parametrisation(init, lambda frozen, trained: paths.merge(frozen, trained["free"]))


def scratch() -> Parametrisation:
    """Builds training from a fresh start; a given core is not read."""
    return finetuned()._replace(starts_from_core=False)


def mean_scales(params: Mapping[str, Any]) -> Metrics:
    """Returns the means of what starts at 1: diagonals of projections, and scales of normalisation
    that are trained.
    """
    diagonals = [
        jnp.diagonal(leaf) if leaf.ndim == 2 else leaf
        for leaf in jax.tree.leaves(params.get("projections"))
    ]
    scales = [
        leaf for path, leaf in flatten_dict(params.get("free", {})).items() if path[-1] == "scale"
    ]
    starting_at_1 = {"mean/projection_diagonal": diagonals, "mean/normalisation_scale": scales}
    return {
        name: jnp.concatenate(leaves).mean() for name, leaves in starting_at_1.items() if leaves
    }
