"""PoseResNet written in plain PyTorch, with the official names. Importing it needs torch."""
import torch
from torch import nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class Block(nn.Module):
    """A basic block, or a bottleneck if `expansion` is 4."""

    def __init__(self, channels, width, stride, expansion):
        super().__init__()
        # (out, kernel, stride, padding) of the convolutions
        layers = [(width, 3, stride, 1), (width, 3, 1, 1)]
        if expansion == 4:
            layers = [(width, 1, 1, 0), (width, 3, stride, 1), (4 * width, 1, 1, 0)]
        self.count, before = len(layers), channels
        for number, (out, kernel, step, padding) in enumerate(layers, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(before, out, kernel, step, padding, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(out))
            before = out
        self.downsample = nn.Identity()
        if stride > 1 or channels != before:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, before, 1, stride, bias=False), nn.BatchNorm2d(before))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = torch.relu(y)
        return torch.relu(y + self.downsample(x))


class Trunk(nn.Module):
    def __init__(self, depth):
        super().__init__()
        expansion, channels = (1 if depth < 50 else 4), 64
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for stage, (count, width) in enumerate(zip(BLOCKS[depth], (64, 128, 256, 512), strict=True), start=1):
            blocks = []
            for number in range(count):
                blocks.append(Block(channels, width, 2 if stage > 1 and number == 0 else 1, expansion))
                channels = width * expansion
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.channels = channels

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class PoseResNet(nn.Module):
    def __init__(self, depth, keypoints, head_layers=1, width=256):
        super().__init__()
        self.backbone = Trunk(depth)
        layers, channels = [], self.backbone.channels
        for _ in range(3):
            layers += [nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.upsampling = nn.Sequential(*layers)
        output = nn.Conv2d(width, keypoints, 1)
        self.head = output if head_layers == 1 else nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), output)

    def forward(self, x):
        return self.head(self.upsampling(self.backbone(x)))


def with_random_statistics(module, seed=0):
    """The module with every BatchNorm's parameters and statistics away from where they start."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low in ((layer.weight, 0.5), (layer.running_var, 0.5), (layer.bias, -0.5),
                                (layer.running_mean, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=generator)
    return module
