"""Frozen kernels and an update of low rank beside each: LoRA (Hu et al. 2021), the rival of `kpjax.projection`.

A kernel (..., in, out) is read as the matrix (taps * in, out) and gains `down @ up` with `down` (taps * in, rank) and
`up` (rank, out). The ranks are such that as many weights are trained as the projections of the same kernels have.
"""
from collections.abc import Iterable
from math import prod

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError
from kpjax.parameter_paths import Params, Path, Rule, chosen_leaves


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
