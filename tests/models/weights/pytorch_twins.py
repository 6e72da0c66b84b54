"""Networks that are here and in PyTorch with the same weights. Importing this needs torch."""
import functools

import jax
import numpy as np
import torch
from torch import nn

from kpjax.models.weights.torch_names import from_torch, to_torch


def with_random_statistics(module, seed=0):
    """Returns the module with every BatchNorm's parameters and statistics away from where they start."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.weight, 0.5), (layer.running_var, 0.5), (layer.bias, -0.5),
                                (layer.running_mean, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=generator)
    return module


def twins_of(network, make, empty, width=64):
    """Returns a network, its variables, its twin that `make()` builds, and four images of 64 px by `width`.

    empty: the network's variables, which those of the twin fill.
    """
    torch.manual_seed(0)
    twin = with_random_statistics(make())
    variables, report = from_torch(twin.state_dict(), empty)
    assert report.missing == ()
    # The way back is complete enough for PyTorch's strict loading.
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in to_torch(variables).items()})
    return network, variables, twin, np.random.default_rng(0).normal(size=(4, 64, width, 3)).astype(np.float32)


def check_heatmaps(twins, train):
    """Asserts that both give the same heatmaps of three keypoints, and the same statistics after them."""
    network, variables, twin, images = twins
    run = jax.jit(functools.partial(network.apply, mutable=["batch_stats"]), static_argnums=2)
    ours, mutated = run(variables, images, train)
    twin.train(train)
    with torch.no_grad():
        theirs = twin(torch.tensor(images.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    assert ours.shape == (4, 16, 16, 3)
    assert np.std(theirs) > 0.02
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    check_statistics(twins, twin, mutated, 1e-4)


def check_statistics(twins, twin, mutated, tolerance):
    """Asserts that both moved their statistics alike."""
    moved = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    expected = from_torch(moved, twins[1]).variables["batch_stats"]
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=tolerance, rtol=tolerance),
                 mutated["batch_stats"], expected)
