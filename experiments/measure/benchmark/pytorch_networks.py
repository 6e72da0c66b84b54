"""Networks of torchvision under our heads, with a training step. Importing this needs
both.

PoseResNet has the official names, so the tests of imported weights compare with it, too.
"""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torchvision import models

RELU = nn.ReLU(inplace=True)


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
