"""Layers: rewritten convolutions equal the built-in ones, with gradients; normalisations follow
PyTorch's rule.
"""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from kpjax.models import layers
from kpjax.models.resnet import max_pool
from kpjax.platforms import known_platform
from kpjax.training.mesh import compiled_for, data_mesh, traced_for

TRANSPOSED = [(4, 1, 0), (3, 1, 1), (2, 0, 0)]  # kernel size, PyTorch's padding and output padding


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_same_function(ours, theirs, *arguments):
    """Equal results, and equal gradients of one weighted sum with respect to every argument."""

    def both(function):
        def run(arguments):
            result, pull = jax.vjp(function, *arguments)
            weights = jnp.arange(result.size, dtype=jnp.float32).reshape(result.shape) / result.size
            return result, pull(weights)

        return jax.jit(run)(arguments)

    chex.assert_trees_all_close(both(ours), both(theirs), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "padding", "output_padding"), TRANSPOSED)
def test_transposed_convolution_equals_the_built_in_one(size, padding, output_padding):
    before = size - 1 - padding
    sides = [(before, before + output_padding)] * 2

    def built_in(x, kernel):
        return jax.lax.conv_transpose(
            x, kernel, (2, 2), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    # of CPUs and of accelerators
    for form in (layers.transposed_in_phases, layers.transposed_by_dilation):
        assert_same_function(form, built_in, draw(0, 2, 3, 5, 4), draw(1, size, size, 4, 6))


@pytest.mark.parametrize(
    ("form", "size", "stride"),
    [
        *((layers.convolve_by_dot, *sizes) for sizes in ((1, 1), (1, 2), (3, 1), (3, 2), (7, 2))),
        *((layers.convolve_in_blocks, size, 1) for size in (3, 5, 7, 9)),
    ],
)
def test_a_dot_of_patches_and_a_convolution_of_blocks_equal_the_convolution(form, size, stride):
    ours, theirs = (
        lambda x, kernel, each=each: each(x, kernel, stride, size // 2)
        for each in (form, layers.convolve)
    )
    assert_same_function(ours, theirs, draw(0, 2, 8, 10, 3), draw(1, size, size, 3, 5) / size)


def test_the_module_takes_every_form():
    """By blocks for narrow maps under a large kernel, by a dot for 1x1 kernels, plainly for a map
    of odd size.
    """
    for size, side in ((7, 8), (7, 9), (1, 8), (9, 8)):
        x, module = draw(0, 2, side, side, 3), layers.Convolution(4, size)

        @jax.jit
        def both(key, x, module=module, size=size):
            found, variables = module.init_with_output(key, x)
            return found, layers.convolve(x, variables["params"]["kernel"], 1, size // 2)

        with known_platform("cpu"):
            np.testing.assert_allclose(*both(jax.random.key(1), x), atol=1e-5)


@pytest.mark.parametrize("padding", ["torch", "tensorflow"])
@pytest.mark.parametrize("stride", [1, 2])
def test_both_forms_of_a_depthwise_convolution_agree_with_their_gradients(stride, padding):
    generator = np.random.default_rng(0)
    x, kernel = (
        generator.normal(size=shape).astype(np.float32) for shape in ((2, 8, 6, 5), (3, 3, 1, 5))
    )

    pads = layers.spatial_padding(x.shape, 3, stride, padding)

    def by_shifts(x, kernel):
        return layers.depthwise_by_shifts(jnp.pad(x, pads), kernel, stride)

    def by_groups(x, kernel):
        return layers.depthwise_by_groups(x, kernel, stride, pads[1:3])

    assert jax.eval_shape(by_shifts, x, kernel).shape == (2, 8 // stride, 6 // stride, 5)
    assert_same_function(by_shifts, by_groups, x, kernel)


@pytest.mark.parametrize(
    ("side", "stride", "torch", "tensorflow"),
    [
        (8, 1, (1, 1), (1, 1)),
        (8, 2, (1, 1), (0, 1)),
        (7, 2, (1, 1), (1, 1)),
        (7, 1, (1, 1), (1, 1)),
    ],
)
def test_padding_of_both_kinds(side, stride, torch, tensorflow):
    for padding, expected in (("torch", torch), ("tensorflow", tensorflow)):
        assert layers.spatial_padding((1, side, side, 4), 3, stride, padding) == [
            (0, 0),
            expected,
            expected,
            (0, 0),
        ]


def test_max_pool_equals_the_windowed_maximum():
    shape = (2, 8, 6, 3)
    distinct = (
        np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    )
    assert_same_function(
        max_pool, lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), distinct - 100
    )


def test_upsample_nearest_repeats_every_pixel():
    x = draw(0, 2, 3, 5, 4)
    np.testing.assert_array_equal(layers.upsample_nearest(x), x.repeat(2, 1).repeat(2, 2))


# Normalisation


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(3, 2, (8, 3, 2, 4)).astype(np.float32)


@pytest.mark.parametrize(("platform", "barriers"), [("cpu", 2), ("tpu", 0), ("cuda", 0)])
def test_sums_of_branches_are_kept_apart_on_cpus_alone(platform, barriers):
    """In both directions: the gradient of a sum is read by both branches."""

    def loss(x):
        return jnp.square(layers.compute_once(x + jnp.sin(x))).sum()

    x = jnp.arange(3.0)
    chex.assert_trees_all_close(jax.grad(loss)(x), 2 * (x + jnp.sin(x)) * (1 + jnp.cos(x)))
    with known_platform(platform):
        traced = str(jax.make_jaxpr(jax.value_and_grad(loss))(x))
    assert traced.count("optimization_barrier") == barriers


def test_batch_norm_normalises_by_the_batch_and_moves_the_statistics(images):
    layer = layers.BatchNorm()
    variables = layer.init(jax.random.key(1), images, False)
    variables["params"] |= {"scale": jnp.arange(1.0, 5.0), "bias": jnp.arange(4.0)}
    y, mutated = jax.jit(lambda x: layer.apply(variables, x, True, mutable=["batch_stats"]))(images)

    mean, var = images.mean((0, 1, 2)), images.var((0, 1, 2))
    expected = (images - mean) / np.sqrt(var + 1e-5) * np.arange(1, 5) + np.arange(4)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    count = images.size // 4
    np.testing.assert_allclose(mutated["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(
        mutated["batch_stats"]["var"], 0.9 + 0.1 * var * count / (count - 1), rtol=1e-5
    )
    # In evaluation the running statistics are used and stay.
    still = jax.jit(lambda x: layer.apply(variables, x, False))(images)
    np.testing.assert_allclose(
        still, images / np.sqrt(1 + 1e-5) * np.arange(1, 5) + np.arange(4), atol=1e-5
    )


def test_groups_of_a_batch_are_normalised_each_by_itself(images):
    """As each alone would be; running statistics move towards the groups' mean."""
    layer = layers.BatchNorm()
    variables = layer.init(jax.random.key(1), images, False)

    def normalised(x, groups=1):
        with layers.batch_norm_groups(groups):
            return jax.jit(lambda x: layer.apply(variables, x, True, mutable=["batch_stats"]))(x)

    y, moved = normalised(images, 2)
    parts = [normalised(part) for part in np.split(np.asarray(images), 2)]
    np.testing.assert_allclose(y, np.concatenate([part for part, _ in parts]), atol=1e-6)
    mean = jax.tree.map(lambda *both: sum(both) / 2, *(statistics for _, statistics in parts))
    chex.assert_trees_all_close(moved, mean, rtol=1e-6)
    assert np.abs(y - normalised(images)[0]).max() > 0.01


def test_groups_on_devices_of_their_own_share_no_statistics():
    """Each group on its device: what is left to add up is the gradient and the running statistics,
    which nothing of the step waits for."""
    mesh = data_mesh()

    class Three(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            for _ in range(3):
                x = layers.BatchNorm()(layers.Convolution(4)(x), train)
            return x

    network, images = Three(), jnp.ones((2 * mesh.size, 8, 8, 3))
    variables = network.init(jax.random.key(0), images, False)

    def loss(parameters, images):
        y, _ = network.apply(
            variables | {"params": parameters}, images, True, mutable=["batch_stats"]
        )
        return jnp.square(y - 1).mean()

    def sums_between_devices(groups):
        step = traced_for(mesh, jax.grad(loss), groups)
        compiled = compiled_for(step, mesh, split=(False, True))
        text = compiled.lower(variables["params"], images).compile().as_text()
        return len(re.findall(r" all-reduce(?:-start)?\(", text))

    assert sums_between_devices(mesh.size) < sums_between_devices(1)


def test_group_norm_normalises_each_image_by_groups(images):
    layer = layers.GroupNorm(groups=2)
    y, _ = jax.jit(lambda key: layer.init_with_output(key, images, True))(jax.random.key(1))
    grouped = np.asarray(y).reshape(8, 6, 2, 2)
    np.testing.assert_allclose(grouped.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.std((1, 3)), 1, atol=1e-4)
