"""The hourglass, the generator that reads its points, VGG's layers and taps, and random
features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes_of

from kpjax.models.hourglass_network import HierarchicalBlock, average_pool_pairs
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.models.vgg import VGG, max_pool_pairs, random_features
from kpjax.models.weights.torch_names import torch_names


def test_a_block_by_hand():
    """Kernels that read the first channel of their own pixel: ReLUs of ReLUs, and the input."""
    x = np.arange(-4, 4, dtype=np.float32).reshape(1, 2, 4, 1) * np.ones((1, 1, 1, 4), np.float32)
    block = HierarchicalBlock(4)
    variables = jax.tree.map(np.zeros_like, drawn(shapes_of(block, x, False)))
    params = {
        name: {leaf: value + np.float32(leaf == "scale") for leaf, value in layer.items()}
        for name, layer in variables["params"].items()
    }
    for name in ("conv1", "conv2", "conv3"):
        params[name]["kernel"][1, 1, 0] = 2
    statistics = {
        name: {"mean": layer["mean"], "var": layer["var"] + np.float32(1 - 1e-5)}
        for name, layer in variables["batch_stats"].items()
    }
    found = jax.jit(lambda x: block.apply({"params": params, "batch_stats": statistics}, x, False))(
        x
    )
    first = 2 * np.maximum(x[..., 0], 0)
    expected = np.stack([first, first, 2 * first, 4 * first], -1) + x
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_average_pool():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(average_pool_pairs(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])


def test_the_generator_paints_between_black_and_white():
    """In bfloat16; every convolution of float32 is the same."""
    generator = ResidualGenerator(4, blocks=1, dtype=jnp.bfloat16)
    images, maps = (
        jax.random.uniform(jax.random.key(0), (2, 8, 12, 3)),
        jnp.zeros((2, 2, 3, 5)).at[:, 1, 1].set(1.0),
    )

    variables = drawn(shapes_of(generator, images, maps, False))
    painted = jax.jit(lambda maps: generator.apply(variables, images, maps, False))
    found, other, params = painted(maps), painted(-maps), variables["params"]
    assert (found.shape, found.dtype) == (images.shape, jnp.float32)
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    assert float(jnp.abs(found - other).max()) > 0
    assert set(params["transposed_conv1"]) == set(params["output"]) == {"kernel"}
    # 4 * 4 + 5 maps, halved and cut twice
    assert params["transposed_conv2"]["kernel"].shape == (4, 4, 10, 5)


def test_random_features_answer_to_edges_and_not_to_brightness():

    @jax.jit
    def features(images):
        network, variables = random_features(jax.random.key(3), (4,))
        return network.apply(variables, images)[0]

    grey = features(jnp.full((1, 8, 8, 3), 0.7))
    np.testing.assert_allclose(grey[:, 2:-2, 2:-2], 0, atol=1e-5)
    assert float(grey[:, 0].max()) > 0.01  # zeros beyond the border are an edge


# VGG

# In torchvision's list of layers, by depth.
PLACES = {
    "relu1_2": {16: 3, 19: 3},
    "relu2_2": {16: 8, 19: 8},
    "relu3_3": {16: 15, 19: 15},
    "relu4_3": {16: 22, 19: 24},
    "relu5_2": {16: 27, 19: 31},
}


@pytest.mark.parametrize("depth", [16, 19])
@pytest.mark.parametrize("tap", PLACES)
def test_taps_lie_where_torchvision_has_them(depth, tap):
    """The place of a ReLU in the list is one behind its convolution's."""
    names = torch_names(shapes_of(VGG(depth, (tap,)), jnp.zeros((1, 32, 32, 3)))).values()
    assert max(int(name.split(".")[1]) for name in names) + 1 == PLACES[tap][depth]


def test_pools_drop_a_last_odd_pixel_as_pytorch_does():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(max_pool_pairs(x)[0, :, :, 0], [[6, 8]])
