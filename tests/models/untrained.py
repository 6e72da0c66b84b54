"""Variables of networks without compiling their `init`, which takes most of the time of a small
test.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from kpjax.models.high_resolution import FirstMap
from kpjax.models.network import KeypointNetwork
from kpjax.models.residual_steps import ResidualStepsNetwork, UnitHeads


def shapes_of(module, *inputs, **options):
    """The variables' shapes and dtypes of any module."""
    return jax.eval_shape(lambda key: module.init(key, *inputs, **options), jax.random.key(0))


@functools.cache
def shapes(network, side=32):
    """Those of a network, for square images; nobody changes them."""
    return shapes_of(network, jnp.zeros((1, side, side, 3)), False)


def drawn(tree, seed=0):
    """Values for a tree of shapes: He's normal for kernels, a normal for tokens, near one for all
    else.
    """
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (
            generator.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
            if leaf.ndim in (2, 4)
            else generator.normal(size=leaf.shape)
            if leaf.ndim == 3
            else generator.uniform(0.8, 1.2, leaf.shape)
        ).astype(np.float32),
        tree,
    )


def zeros(network, side=32):
    """Variables that own no memory."""
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes(network, side)
    )


def count(tree):
    """The numbers in all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def small_rsn(keypoints, stages=1, width=8, dtype=jnp.float32):
    """An RSN of one block at each level."""
    trunk = ResidualStepsNetwork((1, 1, 1, 1), 1, stages, width, 8, dtype=dtype)
    return KeypointNetwork(trunk, FirstMap(), UnitHeads(keypoints, stages, dtype))


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors under their names, each made contiguous first: the format's writer silently
    permutes others.
    """
    arrays = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    save_file(arrays, path)
