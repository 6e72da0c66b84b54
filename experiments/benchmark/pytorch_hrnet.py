"""HRNet in plain PyTorch, layer by layer as in `kpjax.models.high_resolution`, with the official names. Needs torch."""
from collections.abc import Sequence

import torch
from torch import nn

EXPANSION = 4  # of a bottleneck


class Block(nn.Module):
    """A basic block, or a bottleneck, beside a shortcut."""

    def __init__(self, channels: int, width: int, *, bottleneck: bool = False):
        super().__init__()
        layers = [(width, 1), (width, 3), (EXPANSION * width, 1)] if bottleneck else [(width, 3), (width, 3)]
        self.count, before = len(layers), channels
        for number, (out, kernel) in enumerate(layers, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(before, out, kernel, padding=kernel // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(out))
            before = out
        self.downsample = nn.Identity() if channels == before else convolution(channels, before, 1)

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = torch.relu_(y)
        return torch.relu_(y + self.downsample(x))


def convolution(channels: int, width: int, kernel: int, stride: int = 1, *after: nn.Module) -> nn.Sequential:
    """Convolution and BatchNorm, then what else is given."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), *after)


class Module(nn.Module):
    """One module: blocks on every branch, then the exchange between them towards the first `outputs` branches."""

    def __init__(self, widths: Sequence[int], blocks: int, outputs: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(Block(c, c) for _ in range(blocks))) for c in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(exchange(widths, source, target) for source in range(len(widths)))
            for target in range(outputs))

    def forward(self, branches):
        branches = [branch(x) for branch, x in zip(self.branches, branches, strict=True)]
        outputs = []
        for row in self.fuse_layers:
            first, *others = (layer(x) for layer, x in zip(row, branches, strict=True))
            for other in others:
                first = first + other
            outputs.append(torch.relu(first))
        return outputs


def exchange(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """What brings one branch to the size of another."""
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
        self.conv1, self.bn1 = nn.Conv2d(3, stem_width, 3, 2, 1, bias=False), nn.BatchNorm2d(stem_width)
        self.conv2, self.bn2 = nn.Conv2d(stem_width, stem_width, 3, 2, 1, bias=False), nn.BatchNorm2d(stem_width)
        channels = EXPANSION * stem_width
        self.layer1 = nn.Sequential(
            Block(stem_width, stem_width, bottleneck=True),
            *(Block(channels, stem_width, bottleneck=True) for _ in range(3)))
        widths = [width * 2 ** branch for branch in range(4)]

        def coarser(number):
            before = channels if number == 1 else widths[number - 1]
            return nn.Sequential(convolution(before, widths[number], 3, 2, nn.ReLU()))

        self.transition1 = nn.ModuleList([convolution(channels, width, 3, 1, nn.ReLU()), coarser(1)])
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), coarser(2)])
        self.transition3 = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity(), coarser(3)])
        for stage, count in enumerate(modules, start=2):
            outputs = [stage] * count
            if stage == 4 and not classifier:
                outputs[-1] = 1
            setattr(self, f"stage{stage}", nn.Sequential(*(Module(widths[:stage], blocks, n) for n in outputs)))
        self.final_layer = nn.Conv2d(width, keypoints, 1)

    def forward(self, x):
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.layer1(torch.relu_(self.bn2(self.conv2(x))))
        branches = self.stage2([layer(x) for layer in self.transition1])
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])
        return self.final_layer(branches[0])
