"""Our networks in PyTorch, on blocks of torchvision, with a training step. Importing this needs both.

PoseResNet and HRNet have the official names, so the tests of imported weights compare with them, too.
"""
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

RELU = nn.ReLU(inplace=True)


def convolution(channels: int, width: int, kernel: int, stride: int = 1, *after: nn.Module) -> nn.Sequential:
    """Builds a convolution and BatchNorm, then what else is given."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), *after)


def block(channels: int, width: int, stride: int = 1, kind: type[nn.Module] = BasicBlock) -> nn.Module:
    """Builds a block with a shortcut that fits."""
    out = width * kind.expansion
    return kind(channels, width, stride, None if (stride, channels) == (1, out) else convolution(
        channels, out, 1, stride))


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
            layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), RELU]
        del self.backbone.fc
        self.upsampling = nn.Sequential(*layers)
        self.head = head(256, 256, keypoints, head_layers)

    def forward(self, x):
        trunk = self.backbone
        x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(x))))
        return self.head(self.upsampling(trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(x))))))


class MobileNetV2(nn.Module):
    """`kpjax.models.inverted_residuals.mobilenet_v2` with heatmaps of stride 4."""

    def __init__(self, keypoints: int, decoder_width: int, head_layers: int):
        super().__init__()
        self.features = models.mobilenet_v2(weights=None).features[:18]
        self.lateral = nn.ModuleList(convolution(channels, decoder_width, 1) for channels in (24, 32, 96, 320))
        self.smooth = convolution(decoder_width, decoder_width, 3, 1, RELU)
        self.head = head(decoder_width, decoder_width, keypoints, head_layers)

    def forward(self, x):
        maps = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in (3, 6, 13, 17):
                maps.append(self.lateral[len(maps)](x))
        x = maps.pop()
        while maps:
            x = functional.interpolate(x, scale_factor=2, mode="nearest") + maps.pop()
        return self.head(self.smooth(x))


class SmallUnet(nn.Module):
    """`kpjax.models.unet.small_unet` with heatmaps of stride 4."""

    def __init__(self, keypoints: int, widths: tuple[int, ...], head_layers: int, head_width: int):
        super().__init__()
        first, second, *rest = widths
        self.stem = nn.Sequential(convolution(3, first, 3, 2, RELU), convolution(first, second, 3, 2, RELU))
        self.blocks = nn.ModuleList(
            block(channels, width, 2 if number else 1) for number, (channels, width) in enumerate(pairwise(widths[1:])))
        self.project = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(rest[::-1]))
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


class Module(nn.Module):
    """A module of HRNet: blocks on every branch, then the exchange between them towards the first `outputs` ones."""

    def __init__(self, widths: Sequence[int], blocks: int, outputs: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(block(c, c) for _ in range(blocks))) for c in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(exchange(widths, source, target) for source in range(len(widths)))
            for target in range(outputs))

    def forward(self, branches):
        branches = [branch(x) for branch, x in zip(self.branches, branches, strict=True)]
        return [torch.relu(sum(layer(x) for layer, x in zip(row, branches, strict=True))) for row in self.fuse_layers]


def exchange(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """Builds what brings one branch to the size of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        return convolution(widths[source], widths[target], 1, 1, nn.Upsample(scale_factor=2 ** (source - target)))
    links = [convolution(widths[source], widths[source], 3, 2, nn.ReLU()) for _ in range(target - source - 1)]
    return nn.Sequential(*links, convolution(widths[source], widths[target], 3, 2))


class HRNet(nn.Module):
    """`kpjax.models.high_resolution.hrnet`: images (B, 3, H, W) to heatmaps (B, keypoints, H / 4, W / 4)."""

    def __init__(self, keypoints: int, width: int = 32, modules: Sequence[int] = (1, 4, 3), blocks: int = 4,
                 stem_width: int = 64, *, classifier: bool = False):
        """classifier: the last module fills all branches, as in the network that is trained on ImageNet."""
        super().__init__()
        self.conv1, self.bn1 = convolution(3, stem_width, 3, 2)
        self.conv2, self.bn2 = convolution(stem_width, stem_width, 3, 2)
        channels, widths = Bottleneck.expansion * stem_width, [width * 2 ** branch for branch in range(4)]
        self.layer1 = nn.Sequential(
            *(block(before, stem_width, 1, Bottleneck) for before in (stem_width, *3 * [channels])))
        for branches, (before, last) in enumerate(pairwise([channels, *widths[1:]]), start=1):
            first = convolution(channels, width, 3, 1, nn.ReLU()) if branches == 1 else nn.Identity()
            kept = [nn.Identity() for _ in range(branches - 1)]
            setattr(self, f"transition{branches}", nn.ModuleList(
                [first, *kept, nn.Sequential(convolution(before, last, 3, 2, nn.ReLU()))]))
            outputs = [branches + 1] * modules[branches - 1]
            if branches == 3 and not classifier:
                outputs[-1] = 1
            setattr(self, f"stage{branches + 1}", nn.Sequential(
                *(Module(widths[:branches + 1], blocks, n) for n in outputs)))
        self.final_layer = nn.Conv2d(width, keypoints, 1)

    def forward(self, x):
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.layer1(torch.relu_(self.bn2(self.conv2(x))))
        branches = self.stage2([layer(x) for layer in self.transition1])
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])
        return self.final_layer(branches[0])


def forward_pass(network: nn.Module, images: torch.Tensor) -> Callable[..., None]:
    """Returns one evaluation of images (B, 3, H, W), normalised, as a call that may be given a number of threads."""
    def run(threads: int = 0):
        if threads:
            torch.set_num_threads(threads)
        network.eval()
        with torch.inference_mode():
            network(images)
        network.train()

    return run


def training_step(network: nn.Module, images: torch.Tensor, targets: torch.Tensor, *, compiled: bool = False
                  ) -> Callable[..., None]:
    """Returns one step of heatmap KL and SGD with Nesterov momentum, as a call that returns when it is done.

    On a GPU it has automatic mixed precision in bfloat16, and channels last.

    images: (B, 3, H, W) normalised. targets: (B, K, h, w) heatmaps, rendered beforehand. compiled: the forward pass and
    the loss go through `torch.compile`.
    """
    device = images.device.type
    layout = torch.contiguous_format if device == "cpu" else torch.channels_last
    network, images = network.to(device, memory_format=layout).train(), images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    flat = targets.flatten(2)
    probability = flat / flat.sum(2, keepdim=True)

    def loss_of(images):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            heatmaps = network(images)
        return functional.kl_div(heatmaps.float().flatten(2).log_softmax(2), probability, reduction="sum") / len(images)

    objective = torch.compile(loss_of) if compiled else loss_of

    def step(threads: int = 0):
        if threads:
            torch.set_num_threads(threads)
        optimizer.zero_grad(set_to_none=True)
        objective(images).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step
