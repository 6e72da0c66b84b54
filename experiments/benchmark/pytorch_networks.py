"""The networks of the benchmark in plain PyTorch, with a training step. Importing this needs torch."""
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def convolution(channels: int, width: int, kernel: int, stride: int = 1, *, active: bool = True) -> nn.Sequential:
    """Convolution, BatchNorm and, if `active`, ReLU."""
    layers = [nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if active else []))


class Residual(nn.Module):
    """Convolutions beside a shortcut, which is a 1x1 convolution wherever the shape changes."""

    def __init__(self, channels: int, width: int, stride: int, *, bottleneck: bool = False):
        super().__init__()
        out = 4 * width if bottleneck else width
        if bottleneck:
            self.body = nn.Sequential(convolution(channels, width, 1), convolution(width, width, 3, stride),
                                      convolution(width, out, 1, active=False))
        else:
            self.body = nn.Sequential(convolution(channels, width, 3, stride),
                                      convolution(width, width, 3, active=False))
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else convolution(channels, out, 1, stride, active=False)

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


def head(channels: int, width: int, keypoints: int, layers: int) -> nn.Sequential:
    """1x1 convolution to heatmaps after `layers` - 1 hidden layers."""
    hidden = []
    for _ in range(layers - 1):
        hidden += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*hidden, nn.Conv2d(channels, keypoints, 1))


def pose_resnet(depth: int, keypoints: int, head_layers: int = 1) -> nn.Module:
    """`kpjax.models.resnet.pose_resnet`, layer by layer."""
    bottleneck = depth >= 50
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
                               nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (count, width) in enumerate(zip(RESNET_BLOCKS[depth], (64, 128, 256, 512), strict=True)):
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            layers.append(Residual(channels, width, stride, bottleneck=bottleneck))
            channels = 4 * width if bottleneck else width
    for _ in range(3):
        layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
        channels = 256
    return nn.Sequential(*layers, head(256, 256, keypoints, head_layers))


class SmallUnet(nn.Module):
    """`kpjax.models.unet.small_unet` with heatmaps of stride 4, layer by layer."""

    def __init__(self, keypoints: int, widths: tuple[int, ...], head_layers: int, head_width: int):
        super().__init__()
        first, second, *rest = widths
        self.stem = nn.Sequential(convolution(3, first, 3, 2), convolution(first, second, 3, 2))
        before = (second, *rest[:-1])
        self.blocks = nn.ModuleList(
            Residual(channels, width, 1 if number == 0 else 2)
            for number, (channels, width) in enumerate(zip(before, rest, strict=True)))
        finer = list(reversed(rest[:-1]))
        deeper = [rest[-1], *finer[:-1]]
        self.project = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in zip(deeper, finer, strict=True))
        self.smooth = nn.ModuleList(convolution(width, width, 3) for width in finer)
        self.head = head(rest[0], head_width, keypoints, head_layers)

    def forward(self, x):
        x, maps = self.stem(x), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        for project, smooth, skip in zip(self.project, self.smooth, reversed(maps[:-1]), strict=True):
            x = smooth(functional.interpolate(project(x), scale_factor=2, mode="nearest") + skip)
        return self.head(x)


def parameter_count(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def training_step(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, *, half_precision: bool = False,
    compiled: bool = False,
) -> Callable[[], None]:
    """One step of heatmap KL and SGD with Nesterov momentum, as a call that returns when it is done.

    images: (B, 3, H, W) normalised. targets: (B, K, h, w) heatmaps, drawn beforehand. half_precision: automatic mixed
    precision in bfloat16. compiled: the forward pass and the loss go through `torch.compile`.
    """
    device = images.device
    # Each device's faster layout.
    layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    network = network.to(device, memory_format=layout).train()
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    flat = targets.flatten(2)
    probability = flat / flat.sum(2, keepdim=True)

    def loss_of(images):
        with torch.autocast(device.type, torch.bfloat16, enabled=half_precision):
            heatmaps = network(images)
        return functional.kl_div(heatmaps.float().flatten(2).log_softmax(2), probability, reduction="sum") / len(images)

    objective = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        objective(images).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step
