"""Selecting parameters of any linen model by their paths; splitting and merging trees of
parameters.

A path is the tuple of names that leads to a leaf, such as ("backbone", "layer1_0", "conv1",
"kernel"). A rule is a predicate of a path and its leaf that selects leaves.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.errors import InputError

Path = tuple[str, ...]
Rule = Callable[[Path, Any], bool]
Params = Mapping[str, Any]


def convolutions(*kernel_sizes: int) -> Rule:
    """Builds a rule for the kernels (k, k, in, out) of square convolutions with k one of
    `kernel_sizes`.

    Kernels of transposed convolutions have the same form and are chosen too. Those of grouped
    convolutions look alike: see `grouped_kernels`.
    """

    def chooses(path: Path, leaf: Any) -> bool:
        square = (
            len(leaf.shape) == 4
            and leaf.shape[0] == leaf.shape[1]
            and leaf.shape[0] in kernel_sizes
        )
        return path[-1] == "kernel" and square

    return chooses


def channel_kernels(params: Params, grouped: Iterable[Path] = ()) -> Rule:
    """Builds the rule for the kernels that mix the channels of any backbone.

    In a network of plain convolutions they are the 3x3 ones, as in the paper. Where those are
    depthwise, or the layers dense, as in MobileNetV2 and vision transformers, 1x1 and dense kernels
    mix channels, and are chosen too.

    params: without the head. grouped: from `grouped_kernels`.
    """
    dense = {
        path
        for path, leaf in flatten_dict(params).items()
        if path[-1] == "kernel" and leaf.ndim == 2
    }
    if not dense and not grouped:
        return convolutions(3)
    spatial = convolutions(1, 3)
    return lambda path, leaf: path in dense or spatial(path, leaf)


def every_kernel(path: Path, leaf: Any) -> bool:
    """Chooses the kernels of all convolutions, transposed convolutions and dense layers: a rule."""
    return path[-1] == "kernel" and len(leaf.shape) >= 2


def split(params: Params, rule: Rule) -> tuple[dict, dict]:
    """Splits parameters into the leaves that a rule chooses and all others, both without empty
    branches.
    """
    leaves = flatten_dict(params)
    chosen = {path: leaf for path, leaf in leaves.items() if rule(path, leaf)}
    others = {path: leaf for path, leaf in leaves.items() if path not in chosen}
    return unflatten_dict(chosen), unflatten_dict(others)


def merge(*trees: Params) -> dict:
    """Merges nested dictionaries that share no leaf.

    Raises ValueError with the path of one that two have.
    """
    leaves: dict[Path, Any] = {}
    for tree in trees:
        for path, leaf in flatten_dict(tree).items():
            if path in leaves:
                raise ValueError(f"{'/'.join(path)} is in two of the trees to be merged")
            leaves[path] = leaf
    return unflatten_dict(leaves)


def chosen_leaves(params: Params, rule: Rule, grouped: Iterable[Path] = ()) -> dict[Path, Any]:
    """Selects the kernels that a rule chooses, by path and in the order of paths.

    Raises InputError if there is none, or one of them is in `grouped`, the paths of kernels of
    grouped convolutions, and is not depthwise (k, k, 1, out).
    """
    leaves = sorted(flatten_dict(params).items())
    chosen = {path: leaf for path, leaf in leaves if rule(path, leaf)}
    if not chosen:
        spatial = sorted(
            {
                f"{leaf.shape[0]} x {leaf.shape[1]}"
                for leaf in flatten_dict(params).values()
                if len(leaf.shape) == 4
            }
        )
        raise InputError(
            f"the rule for frozen kernels chooses none of the core's, whose convolutions are "
            f"{', '.join(spatial) or 'none'}; change its kernel sizes or names"
        )
    both = set(grouped) & set(chosen)
    refused = sorted(path for path in both if chosen[path].shape[-2] > 1)
    if refused:
        raise InputError(
            f"{'/'.join(refused[0])}: a grouped convolution cannot be projected, since a matrix over all "
            f"outputs would mix its groups; leave it out of the rule for frozen kernels"
        )
    return chosen


def grouped_kernels(model: nn.Module, *inputs: Any, **options: Any) -> frozenset[Path]:
    """Finds the paths of the kernels of all grouped and depthwise convolutions of a model.

    In an abstract run of `model.init(key, *inputs, **options)`, it compares the inputs of a kernel
    (..., in, out) with the channels of its layer's input. A layer is any module that holds a
    parameter `kernel` and is called with one array first, like Flax's and kpjax's. Other modules
    are ignored.
    """
    found = set()

    def watch(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        kernel = context.module.variables.get("params", {}).get("kernel")
        is_layer = (
            context.method_name == "__call__" and arguments and getattr(kernel, "ndim", 0) >= 3
        )
        if is_layer and kernel.shape[-2] != arguments[0].shape[-1]:
            found.add((*context.module.path, "kernel"))
        return result

    with nn.intercept_methods(watch):

        def init(*arrays):
            return model.init(jax.random.key(0), *arrays, **options)

        jax.eval_shape(init, *inputs)
    return frozenset(found)
