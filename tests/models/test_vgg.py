"""Layers and taps of VGG, against published counts and PyTorch."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.models.vgg import VGG, max_pool_pairs
from kpjax.models.weights.torch_names import torch_names

# In torchvision's list of layers, by depth.
PLACES = {"relu1_2": {16: 3, 19: 3}, "relu2_2": {16: 8, 19: 8}, "relu3_3": {16: 15, 19: 15},
          "relu4_3": {16: 22, 19: 24}, "relu5_2": {16: 27, 19: 31}}


def shapes(network, side=32):
    return jax.eval_shape(lambda x: network.init(jax.random.key(0), x), jnp.zeros((1, side, side, 3)))


@pytest.mark.parametrize("depth", [16, 19])
@pytest.mark.parametrize("tap", PLACES)
def test_taps_lie_where_torchvision_has_them(depth, tap):
    """The place of a ReLU in the list is one behind its convolution's."""
    names = torch_names(shapes(VGG(depth, (tap,)))).values()
    assert max(int(name.split(".")[1]) for name in names) + 1 == PLACES[tap][depth]


def test_pools_drop_a_last_odd_pixel_as_pytorch_does():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(max_pool_pairs(x)[0, :, :, 0], [[6, 8]])
