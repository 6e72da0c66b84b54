"""Networks that are here and in PyTorch with the same weights. Importing this needs torch."""

import torch
from torch import nn


def with_random_statistics(module, seed=0):
    """Returns the module with every BatchNorm's parameters and statistics away from where they start."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.weight, 0.5), (layer.running_var, 0.5), (layer.bias, -0.5),
                                (layer.running_mean, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=generator)
    return module
