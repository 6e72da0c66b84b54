"""BatchNorm follows PyTorch's rule, GroupNorm its definition, and both keep the dtype of their input."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from kpjax.models.layers import MOMENTUM, BatchNorm, GroupNorm


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(3, 2, (8, 3, 2, 4)).astype(np.float32)


def test_batch_norm_normalises_by_the_batch_and_moves_the_statistics(images):
    layer = BatchNorm()
    variables = layer.init(jax.random.key(1), images, False)
    variables["params"] |= {"scale": jnp.arange(1.0, 5.0), "bias": jnp.arange(4.0)}
    y, mutated = jax.jit(lambda x: layer.apply(variables, x, True, mutable=["batch_stats"]))(images)

    mean, var = images.mean((0, 1, 2)), images.var((0, 1, 2))
    expected = (images - mean) / np.sqrt(var + 1e-5) * np.arange(1, 5) + np.arange(4)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    count = images.size // 4
    np.testing.assert_allclose(mutated["batch_stats"]["mean"], (1 - MOMENTUM) * mean, rtol=1e-5)
    np.testing.assert_allclose(
        mutated["batch_stats"]["var"], MOMENTUM + (1 - MOMENTUM) * var * count / (count - 1), rtol=1e-5)
    # In evaluation the running statistics are used and stay.
    still = jax.jit(lambda x: layer.apply(variables, x, False))(images)
    np.testing.assert_allclose(still, images / np.sqrt(1 + 1e-5) * np.arange(1, 5) + np.arange(4), atol=1e-5)


def test_batch_norm_of_a_sharded_batch_sees_the_global_batch(images):
    layer = BatchNorm()
    variables = layer.init(jax.random.key(1), images, False)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(images, NamedSharding(mesh, P("data")))
    run = jax.jit(lambda x: layer.apply(variables, x, True, mutable=["batch_stats"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), run(sharded), run(images))


def test_group_norm_normalises_each_image_by_groups(images):
    layer = GroupNorm(groups=2)
    y, _ = jax.jit(lambda key: layer.init_with_output(key, images, True))(jax.random.key(1))
    grouped = np.asarray(y).reshape(8, 6, 2, 2)
    np.testing.assert_allclose(grouped.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.std((1, 3)), 1, atol=1e-4)
