"""Sums over gradients of single examples equal a loop over examples, on one device and on eight."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from kpjax.methods.incremental_family.importance import sum_over_samples
from kpjax.models.layers import Convolution
from kpjax.training.mesh import by_examples, data_mesh, replicated

ROWS = 16


class Network(nn.Module):
    """A strided, a padded and a 1x1 convolution: the kernels whose gradients a partitioner gets wrong."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(Convolution(4, kernel_size=5, stride=2, use_bias=True)(images))
        x = nn.relu(Convolution(6)(x))
        return Convolution(2, kernel_size=1)(x)


NETWORK = Network()


def loss(params, example):
    return jnp.square(NETWORK.apply(params, example["image"]) - example["target"]).mean()


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    examples = {"image": rng.standard_normal((ROWS, 12, 12, 3)).astype(np.float32),
                "target": rng.standard_normal((ROWS, 6, 6, 2)).astype(np.float32)}
    params = NETWORK.init(jax.random.key(0), examples["image"][:1])
    one = jax.jit(jax.grad(loss))
    loop = [jax.tree.map(np.asarray, one(params, jax.tree.map(lambda leaf, n=n: leaf[n:n + 1], examples)))
            for n in range(ROWS)]
    return params, examples, jax.tree.map(lambda *leaves: np.stack(leaves), *loop)


def assert_close(tree, expected):
    for leaf, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(leaf - wanted) <= 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("devices", [1, 8])
def test_a_sum_over_samples_equals_a_loop(case, devices):
    """The factor is traced, and closed over by the loss."""
    params, examples, expected = case
    mesh = data_mesh() if devices == 8 else jax.make_mesh(
        (1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
    weights = np.ones(ROWS, np.float32)
    weights[[3, ROWS - 1]] = 0

    def summed(params, examples, weights, factor):
        return sum_over_samples(jnp.square, lambda p, example: factor * loss(p, example), params, examples, weights)

    placed = (replicated(mesh), by_examples(mesh), by_examples(mesh), replicated(mesh))
    with jax.set_mesh(mesh):
        found = jax.jit(summed, in_shardings=placed)(params, examples, weights, jnp.float32(2))
    assert_close(found, jax.tree.map(lambda leaf: np.einsum("b,b...->...", weights, np.square(2 * leaf)), expected))
