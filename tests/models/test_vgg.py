"""Layers and taps of VGG, against published counts and PyTorch, and its published files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import count, drawn, shapes_of

from kpjax.models.vgg import VGG, max_pool_pairs
from kpjax.models.weights.torch_names import to_torch, torch_names

# In torchvision's list of layers, by depth.
PLACES = {"relu1_2": {16: 3, 19: 3}, "relu2_2": {16: 8, 19: 8}, "relu3_3": {16: 15, 19: 15},
          "relu4_3": {16: 22, 19: 24}, "relu5_2": {16: 27, 19: 31}}
LAYERS = {16: (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512),
          19: (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512)}


def shapes(network):
    return shapes_of(network, jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(("depth", "parameters"), [(16, 7_635_264), (19, 8_225_344)])
def test_it_has_the_published_number_of_parameters_up_to_its_last_tap(depth, parameters):
    network = VGG(depth)
    variables = shapes(network)
    assert count(variables) == parameters
    features = jax.eval_shape(network.apply, variables, jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32))
    assert [f.shape[1:] for f in features] == [(128, 128, 64), (64, 64, 128), (32, 32, 256), (16, 16, 512)]


@pytest.mark.parametrize("depth", [16, 19])
@pytest.mark.parametrize("tap", PLACES)
def test_taps_lie_where_torchvision_has_them(depth, tap):
    """The place of a ReLU in the list is one behind its convolution's."""
    names = torch_names(shapes(VGG(depth, (tap,)))).values()
    assert max(int(name.split(".")[1]) for name in names) + 1 == PLACES[tap][depth]


@pytest.mark.parametrize("depth", [16, 19])
def test_pytorch_sees_the_same(depth):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    network = VGG(depth, ("relu1_1", "relu2_2", "relu3_3", "relu4_3"))
    variables = drawn(shapes(network))
    layers, channels = [], 3
    for layer in LAYERS[depth]:
        if layer == "pool":
            layers.append(torch.nn.MaxPool2d(2))
        else:
            layers += [torch.nn.Conv2d(channels, layer, 3, padding=1), torch.nn.ReLU()]
            channels = layer
    theirs = torch.nn.Sequential(*layers[:PLACES["relu4_3"][depth] + 1])
    theirs.load_state_dict({name.removeprefix("features."): torch.from_numpy(tensor)
                            for name, tensor in to_torch(variables).items()})
    image = np.random.default_rng(1).normal(size=(1, 18, 16, 3)).astype(np.float32)
    expected, x = [], torch.from_numpy(image.transpose(0, 3, 1, 2))
    with torch.no_grad():
        for place, layer in enumerate(theirs):
            x = layer(x)
            if place in (1, *(PLACES[tap][depth] for tap in network.taps[1:])):
                expected.append(x.numpy().transpose(0, 2, 3, 1))
    for ours, reference in zip(jax.jit(network.apply)(variables, image), expected, strict=True):
        assert np.abs(ours - reference).max() <= 1e-4 * np.abs(reference).max()


def test_pools_drop_a_last_odd_pixel_as_pytorch_does():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    np.testing.assert_array_equal(max_pool_pairs(x)[0, :, :, 0], [[6, 8]])
