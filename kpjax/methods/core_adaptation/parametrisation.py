"""Which weights of a core network are trained and how they make the network: the rows of the paper's tables.

"Object landmark discovery through unsupervised adaptation" (NeurIPS 2019). A parametrisation concerns all of a network
but its head, which is always new and trained. What it freezes is never differentiated and has no optimizer state.
"""
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError
from kpjax.methods.core_adaptation.parameter_paths import Params, Path, Rule, chosen_leaves, convolutions, merge, split

# A trained network turned to other objects by one small matrix for each of its convolutions


def identity_projections(core_params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict:
    """An identity matrix (out, out) float32 for each kernel (..., in, out) that the rule chooses.

    grouped: paths of the kernels of grouped convolutions, as `parameter_paths.grouped_kernels` finds them: the shape of
    a kernel does not tell, and the projection of one would be another function than the paper's.
    Raises InputError if the rule chooses nothing, or one of `grouped`.
    """
    chosen = chosen_leaves(core_params, rule, grouped)
    return unflatten_dict({path: jnp.eye(leaf.shape[-1], dtype=jnp.float32) for path, leaf in chosen.items()})


def project(core_params: Params, projections: Params) -> dict:
    """Parameters in which every kernel that has a projection W (out, out) is `kernel @ W.T` on its last axis.

    kernel_Y[..., i, o] = sum over p of kernel_X[..., i, p] W[o, p], for kernels (..., in, out) of convolutions,
    transposed convolutions and dense layers; all other leaves are as they were. With identities the result equals the
    core exactly on a CPU. Raises InputError for a path that the core does not have, or a matrix of another width.
    """
    core, matrices = flatten_dict(core_params), flatten_dict(projections)
    _check(core, matrices)
    return unflatten_dict(core | {
        path: jnp.einsum("...p,op->...o", core[path], matrix, precision=jax.lax.Precision.HIGHEST)
        for path, matrix in matrices.items()})


def fold(core_params: Params, projections: Params) -> dict:
    """What `project` gives, once and for all: numpy parameters of a plain network, to be kept without the matrices.

    Summed in float64 and rounded once to the dtype of the core. Raises InputError as `project` does.
    """
    core, matrices = flatten_dict(core_params), flatten_dict(projections)
    _check(core, matrices)
    folded = {path: np.asarray(leaf) for path, leaf in core.items()}
    for path, matrix in matrices.items():
        product = folded[path].astype(np.float64) @ np.asarray(matrix, np.float64).T
        folded[path] = product.astype(folded[path].dtype)
    return unflatten_dict(folded)


def _check(core: dict[Path, Any], matrices: dict[Path, Any]) -> None:
    for path, matrix in matrices.items():
        name = "/".join(path)
        if path not in core:
            raise InputError(f"projection of {name}: the core has no such kernel; give the core that it was made for")
        width = core[path].shape[-1]
        if matrix.shape != (width, width):
            raise InputError(f"projection of {name}: a matrix of {matrix.shape} for a kernel of {width} outputs; give "
                             "the core that it was made for")


# Frozen kernels and a low-rank update beside each: LoRA (Hu et al. 2021)


def ranks_of_equal_size(shapes: dict[Path, tuple[int, ...]]) -> dict[Path, int]:
    """The rank, at least 1, for each kernel (..., in, out), with which all updates together have as many weights as
    matrices (out, out), up to half of what one rank of the last kernel costs.

    What rounding leaves over at one kernel goes to the next. Where a kernel is so narrow that rank 1 costs more than
    its matrix, the sum can be larger.
    """
    ranks, wanted, spent = {}, 0, 0
    for path, shape in shapes.items():
        cost = prod(shape[:-1]) + shape[-1]
        wanted += shape[-1] ** 2
        ranks[path] = max(1, round((wanted - spent) / cost))
        spent += ranks[path] * cost
    return ranks


def initial_updates(key: jax.Array, core_params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict:
    """Updates that change nothing yet, for every kernel that the rule chooses: float32, `down` normal with variance
    1 / (taps * in), `up` zero; a nested dictionary with {"down", "up"} in the place of each kernel.

    Raises InputError as `projection.identity_projections` does.
    """
    shapes = {path: leaf.shape for path, leaf in chosen_leaves(core_params, rule, grouped).items()}
    updates = {}
    for number, (path, rank) in enumerate(ranks_of_equal_size(shapes).items()):
        *_, width = shapes[path]
        inputs = prod(shapes[path][:-1])
        drawn = jax.random.normal(jax.random.fold_in(key, number), (inputs, rank), jnp.float32)
        updates[path] = {"down": drawn * inputs ** -0.5, "up": jnp.zeros((rank, width), jnp.float32)}
    return unflatten_dict(updates)


def with_updates(core_params: Params, updates: Params) -> dict:
    """Parameters in which every kernel that has an update is kernel + down @ up; all others are as they were.

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
