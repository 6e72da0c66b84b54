"""Our networks in PyTorch, on blocks of torchvision, with a training step. Importing this needs
both.

PoseResNet and HRNet have the official names, so the tests of imported weights compare with them,
too.
"""

import copy
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.resnet import BasicBlock

RELU = nn.ReLU(inplace=True)


def convolution(
    channels: int, width: int, kernel: int, stride: int = 1, *after: nn.Module
) -> nn.Sequential:
    """Builds a convolution and BatchNorm, then what else is given."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        *after,
    )


def block(
    channels: int, width: int, stride: int = 1, kind: type[nn.Module] = BasicBlock
) -> nn.Module:
    """Builds a block with a shortcut that fits."""
    out = width * kind.expansion
    return kind(
        channels,
        width,
        stride,
        None if (stride, channels) == (1, out) else convolution(channels, out, 1, stride),
    )


def head(channels: int, width: int, keypoints: int, layers: int) -> nn.Module:
    """Builds a 1x1 convolution to heatmaps after `layers` - 1 hidden layers."""
    hidden = []
    for _ in range(layers - 1):
        hidden += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), RELU]
        channels = width
    output = nn.Conv2d(channels, keypoints, 1)
    return nn.Sequential(*hidden, output) if hidden else output


class PoseResNet(nn.Module):
    """`kpjax.models.resnet.pose_resnet`."""

    def __init__(self, depth: int, keypoints: int, head_layers: int = 1):
        super().__init__()
        self.backbone, layers = models.get_model(f"resnet{depth}", weights=None), []
        for channels in (self.backbone.fc.in_features, 256, 256):
            layers += [
                nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False),
                nn.BatchNorm2d(256),
                RELU,
            ]
        del self.backbone.fc
        self.upsampling = nn.Sequential(*layers)
        self.head = head(256, 256, keypoints, head_layers)

    def forward(self, x):
        trunk = self.backbone
        x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(x))))
        return self.head(self.upsampling(trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(x))))))


class SmallUnet(nn.Module):
    """`kpjax.models.unet.small_unet` with heatmaps of stride 4."""

    def __init__(self, keypoints: int, widths: tuple[int, ...], head_layers: int, head_width: int):
        super().__init__()
        first, second, *rest = widths
        self.stem = nn.Sequential(
            convolution(3, first, 3, 2, RELU), convolution(first, second, 3, 2, RELU)
        )
        self.blocks = nn.ModuleList(
            block(channels, width, 2 if number else 1)
            for number, (channels, width) in enumerate(pairwise(widths[1:]))
        )
        self.project = nn.ModuleList(
            nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(rest[::-1])
        )
        self.smooth = nn.ModuleList(convolution(width, width, 3, 1, RELU) for width in rest[-2::-1])
        self.head = head(rest[0], head_width, keypoints, head_layers)

    def forward(self, x):
        maps = [self.stem(x)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        x = maps[-1]
        for project, smooth, skip in zip(self.project, self.smooth, maps[-2:0:-1], strict=True):
            x = smooth(functional.interpolate(project(x), scale_factor=2, mode="nearest") + skip)
        return self.head(x)


class MobileNetV2(nn.Module):
    """`kpjax.models.inverted_residuals.mobilenet_v2` with a head of one layer.

    stride: of the heatmaps, 2 or 4.
    """

    TAPS = (1, 3, 6, 13, 17)  # the last block of strides 2 to 32

    def __init__(self, keypoints: int, stride: int = 4, width: int = 64):
        super().__init__()
        trunk = models.mobilenet_v2(weights=None).features[:18]
        self.finest = stride // 2 - 1
        channels = [trunk[tap].conv[-1].num_features for tap in self.TAPS[self.finest :]]
        self.backbone = nn.ModuleDict({"features": trunk})
        self.upsampling = nn.ModuleDict(
            {f"lateral{n}": nn.Conv2d(c, width, 1, bias=False) for n, c in enumerate(channels, 1)}
            | {f"lateral_norm{n}": nn.BatchNorm2d(width) for n in range(1, len(channels) + 1)}
            | {
                "smooth1": nn.Conv2d(width, width, 3, padding=1, bias=False),
                "smooth_norm1": nn.BatchNorm2d(width),
            }
        )
        self.head = nn.Conv2d(width, keypoints, 1)

    def forward(self, x):
        maps = []
        for number, block in enumerate(self.backbone["features"]):
            x = block(x)
            if number in self.TAPS[self.finest :]:
                maps.append(x)
        layers, above = self.upsampling, None
        for number in range(len(maps), 0, -1):
            x = layers[f"lateral_norm{number}"](layers[f"lateral{number}"](maps[number - 1]))
            above = x if above is None else x + functional.interpolate(above, scale_factor=2.0)
        return self.head(RELU(layers["smooth_norm1"](layers["smooth1"](above))))


# HRNet, by its official names. `t` has the tensors of a file, and says by `t.training` whether BatchNorm
# measures its batch.


def numbered(t: Any, name: str, within: str) -> Iterator[str]:
    """Yields the names `name`.0, `name`.1, ... below which there is a tensor `within`."""
    number = 0
    while f"{name}.{number}.{within}" in t:
        yield f"{name}.{number}"
        number += 1


def convolved(t: Any, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """Computes a convolution, padded where its kernel is odd."""
    kernel, *bias = (t[f"{name}.{leaf}"] for leaf in ("weight", "bias") if f"{name}.{leaf}" in t)
    padding = kernel.shape[-1] // 2 if kernel.shape[-1] % 2 else 0
    return functional.conv2d(x, kernel, *bias, stride=stride, padding=padding)


def layer(
    t: Any, name: str, x: torch.Tensor, stride: int = 1, parts: tuple[str, str] = (".0", ".1")
) -> torch.Tensor:
    """Computes a convolution and its BatchNorm."""
    statistics = (
        t[f"{name}{parts[1]}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(
        convolved(t, name + parts[0], x, stride), *statistics, training=t.training
    )


def _blocks(t, name, x):
    for each in numbered(t, name, "conv1.weight"):
        y, count = x, 3 if f"{each}.conv3.weight" in t else 2
        for number in range(1, count + 1):
            y = layer(t, each, y, 1, (f".conv{number}", f".bn{number}"))
            y = torch.relu_(y) if number < count else y
        shortcut = layer(t, f"{each}.downsample", x) if f"{each}.downsample.0.weight" in t else x
        x = torch.relu_(y + shortcut)
    return x


def _exchanged(t, name, x, up):
    """Brings one branch to the size of another, `up` steps finer."""
    if up > 0:
        return functional.interpolate(layer(t, name, x), scale_factor=2.0**up)
    for step in range(-up):
        x = layer(t, f"{name}.{step}", x, 2)
        x = torch.relu_(x) if step < -up - 1 else x
    return x


def hrnet_maps(t: Any, x: torch.Tensor) -> torch.Tensor:
    """Computes the heatmaps of `kpjax.models.high_resolution.hrnet`."""
    for number in (1, 2):
        x = torch.relu_(layer(t, "", x, 2, (f"conv{number}", f"bn{number}")))
    branches = [_blocks(t, "layer1", x)]
    for stage in (2, 3, 4):
        first = f"transition{stage - 1}.0"
        last = torch.relu_(layer(t, f"transition{stage - 1}.{stage - 1}.0", branches[-1], 2))
        branches = [
            torch.relu_(layer(t, first, branches[0])) if stage == 2 else branches[0],
            *branches[1:],
            last,
        ]
        for module in numbered(t, f"stage{stage}", "branches.0.0.conv1.weight"):
            branches = [
                _blocks(t, f"{module}.branches.{number}", x) for number, x in enumerate(branches)
            ]
            targets = [
                n for n in range(stage) if n == 0 or f"{module}.fuse_layers.{n}.0.0.0.weight" in t
            ]
            branches = [
                torch.relu_(
                    reduce(
                        operator.add,
                        [
                            _exchanged(
                                t, f"{module}.fuse_layers.{target}.{source}", x, source - target
                            )
                            for source, x in enumerate(branches)
                        ],
                    )
                )
                for target in targets
            ]
    return convolved(t, "final_layer", branches[0])


class OfTensors(nn.Module):
    """A function of the tensors of a file, such as `hrnet_maps`, and of images, as a module that can be
    trained."""

    def __init__(
        self,
        function: Callable[[Any, torch.Tensor], torch.Tensor],
        tensors: Mapping[str, np.ndarray],
    ):
        super().__init__()
        self.function, self.places = function, {name: name.replace(".", "/") for name in tensors}
        for name, array in tensors.items():
            tensor, place = torch.tensor(array), self.places[name]
            if name.rpartition(".")[2] in ("weight", "bias"):
                self.register_parameter(place, nn.Parameter(tensor))
            else:
                self.register_buffer(place, tensor)

    def __contains__(self, name):
        return name in self.places

    def __getitem__(self, name):
        return getattr(self, self.places[name])

    def forward(self, x):
        return self.function(self, x)


def in_layout(
    network: nn.Module, images: torch.Tensor, layout: torch.memory_format
) -> tuple[nn.Module, torch.Tensor]:
    """Returns a copy of a network that trains, and images, both in a layout and where the images are."""
    return (
        copy.deepcopy(network).to(images.device, memory_format=layout).train(),
        images.contiguous(memory_format=layout),
    )


def forward_pass(network: nn.Module, images: torch.Tensor) -> Callable[..., None]:
    """Returns one evaluation of images (B, 3, H, W), normalised, as a call that may be given a
    number of threads.
    """

    def run(threads: int = 0):
        if threads:
            torch.set_num_threads(threads)
        network.eval()
        with torch.inference_mode():
            network(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        network.train()

    return run


def training_step(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor
) -> Callable[..., None]:
    """Returns one step of heatmap KL and of SGD as ours, as a call that returns when it is done.

    On a GPU it has automatic mixed precision in bfloat16.

    images: (B, 3, H, W) normalised, in the layout of the network. targets: (B, K, h, w) heatmaps,
    rendered beforehand.
    """
    device = images.device.type
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    flat = targets.flatten(2)
    probability = flat / flat.sum(2, keepdim=True)

    def step(threads: int = 0):
        if threads:
            torch.set_num_threads(threads)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            heatmaps = network(images)
        log = heatmaps.float().flatten(2).log_softmax(2)
        (functional.kl_div(log, probability, reduction="sum") / len(images)).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step
