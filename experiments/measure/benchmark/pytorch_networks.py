"""Our networks in PyTorch, on blocks of torchvision, with a training step. Importing this needs
both.

PoseResNet has the official names, so the tests of imported weights compare with it, too.
"""

from collections.abc import Callable
from itertools import pairwise

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

    On a GPU it has automatic mixed precision in bfloat16, and channels last.

    images: (B, 3, H, W) normalised. targets: (B, K, h, w) heatmaps, rendered beforehand.
    """
    device = images.device.type
    layout = torch.contiguous_format if device == "cpu" else torch.channels_last
    network, images = (
        network.to(device, memory_format=layout).train(),
        images.contiguous(memory_format=layout),
    )
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
