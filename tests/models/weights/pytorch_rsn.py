"""RSN in plain PyTorch, layer by layer, with the official names. Importing it needs torch."""
import torch
from torch import nn
from torch.nn.functional import interpolate


def resized(x, size):
    return interpolate(x, size=size, mode="bilinear", align_corners=True)


class Layer(nn.Module):
    def __init__(self, channels, width, kernel=1, stride=1, relu=True):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.BatchNorm2d(width)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return torch.relu(x) if self.relu else x


class Block(nn.Module):
    """The ten steps are written out; `kpjax.models.residual_steps` has them as a rule."""

    def __init__(self, channels, width, group, stride):
        super().__init__()
        self.conv_bn_relu1 = Layer(channels, 4 * group, 1, stride)
        for name in ("1_1", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "4_4"):
            setattr(self, f"conv_bn_relu2_{name}", Layer(group, group, 3))
        self.conv_bn_relu3 = Layer(4 * group, width, relu=False)
        self.downsample = None
        if stride > 1 or channels != width:
            self.downsample = Layer(channels, width, 1, stride, relu=False)

    def forward(self, x):
        first, second, third, fourth = torch.chunk(self.conv_bn_relu1(x), 4, 1)
        a1 = self.conv_bn_relu2_1_1(first)
        b1 = self.conv_bn_relu2_2_1(second + a1)
        b2 = self.conv_bn_relu2_2_2(b1)
        c1 = self.conv_bn_relu2_3_1(third + b1)
        c2 = self.conv_bn_relu2_3_2(c1 + b2)
        c3 = self.conv_bn_relu2_3_3(c2)
        d1 = self.conv_bn_relu2_4_1(fourth + c1)
        d2 = self.conv_bn_relu2_4_2(d1 + c2)
        d3 = self.conv_bn_relu2_4_3(d2 + c3)
        d4 = self.conv_bn_relu2_4_4(d3)
        y = self.conv_bn_relu3(torch.cat([a1, b2, c3, d4], 1))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Down(nn.Module):
    def __init__(self, blocks, expansion, width, by_level):
        super().__init__()
        channels = width
        for level, count in enumerate(blocks):
            out, layers = expansion * width * 2 ** level, []
            for number in range(count):
                group = (width * 2 ** level if by_level else channels) * 26 // 64
                layers.append(Block(channels, out, group, 2 if level and not number else 1))
                channels = out
            setattr(self, f"layer{level + 1}", nn.Sequential(*layers))

    def forward(self, x, skips):
        maps = []
        for level in range(4):
            x = getattr(self, f"layer{level + 1}")(x)
            for skip in skips:
                x = x + skip[level]
            maps.append(x)
        return maps


class Unit(nn.Module):
    def __init__(self, channels, width, keypoints, first, goes_on, cross):
        super().__init__()
        self.u_skip = Layer(channels, width, relu=False)
        self.up_conv = None if first else Layer(width, width, relu=False)
        if goes_on:
            self.skip1, self.skip2 = Layer(channels, channels), Layer(width, channels)
        if cross:
            self.cross_conv = Layer(width, cross)
        self.res_conv1, self.res_conv2 = Layer(width, width), Layer(width, keypoints, 3, relu=False)

    def forward(self, x, coarser, size):
        y = self.u_skip(x)
        if self.up_conv is not None:
            y = y + self.up_conv(resized(coarser, x.shape[2:]))  # in the official order
        y = torch.relu(y)
        return y, resized(self.res_conv2(self.res_conv1(y)), size)


class Up(nn.Module):
    def __init__(self, channels, width, keypoints, cross):
        super().__init__()
        self.cross = cross
        for number in range(1, 5):
            setattr(self, f"up{number}", Unit(
                channels[4 - number], width, keypoints, number == 1, cross > 0, cross if number == 4 else 0))

    def forward(self, maps, size):
        y, heatmaps, one, two = None, [], [], []
        for number, x in enumerate(reversed(maps), start=1):
            unit = getattr(self, f"up{number}")
            y, predicted = unit(x, y, size)
            heatmaps.append(predicted)
            if self.cross:
                one.insert(0, unit.skip1(x))
                two.insert(0, unit.skip2(y))
        return heatmaps, (one, two), self.up4.cross_conv(y) if self.cross else None


class Stage(nn.Module):
    def __init__(self, keypoints, blocks, expansion, width, unit_width, by_level, cross):
        super().__init__()
        self.downsample = Down(blocks, expansion, width, by_level)
        self.upsample = Up([expansion * width * 2 ** level for level in range(4)], unit_width, keypoints, cross)

    def forward(self, x, skips, size):
        return self.upsample(self.downsample(x, skips), size)


class Top(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = Layer(3, width, 7, 2)

    def forward(self, x):
        return nn.functional.max_pool2d(self.conv(x), 3, 2, 1)


class RSN(nn.Module):
    """Images (B, 3, H, W) to the heatmaps of all units, stage by stage and in each from coarse to fine."""

    def __init__(self, keypoints, blocks=(2, 2, 2, 2), expansion=1, stages=1, width=64, unit_width=256, by_level=False):
        super().__init__()
        self.top, self.stages = Top(width), stages
        for number in range(stages):
            cross = width if number < stages - 1 else 0
            setattr(self, f"stage{number}", Stage(keypoints, blocks, expansion, width, unit_width, by_level, cross))

    def forward(self, x):
        size, heatmaps, skips = [side // 4 for side in x.shape[2:]], [], ()
        x = self.top(x)
        for number in range(self.stages):
            predicted, skips, x = getattr(self, f"stage{number}")(x, skips, size)
            heatmaps += predicted
        return heatmaps
