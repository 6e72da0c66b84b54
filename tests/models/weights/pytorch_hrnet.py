"""HRNet in PyTorch under the official names. Importing this needs torch and torchvision."""
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from experiments.measure.benchmark.pytorch_networks import block, convolution


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
