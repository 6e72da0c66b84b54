"""A trained network turned to other objects by one small matrix for each of its convolutions.

"Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), section 3: the kernel of layer L becomes
theta_Y = W_L x_1 theta_X, the product of a matrix with the output axis of the frozen kernel. Without a bias in between
this is the frozen convolution followed by a 1x1 convolution with W, at the cost of the frozen convolution alone.

Everything here is a function of trees of parameters, so it works for every linen model with no line changed in it.
`projections` is a nested dictionary with the paths of the projected kernels, and a matrix in the place of each.
"""
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError
from kpjax.parameter_paths import Params, Path, Rule, chosen_leaves


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
