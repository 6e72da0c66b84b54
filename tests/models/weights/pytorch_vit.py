"""ViT in plain PyTorch with the names of the official DINOv2, and ViTPose's decoder. Importing it needs torch."""
import math

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        shares = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1)
        return self.proj((shares @ value).transpose(1, 2).flatten(-2))


class Perceptron(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class Scale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, width, heads, layer_scale):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), Perceptron(width)
        self.ls1, self.ls2 = (Scale(width), Scale(width)) if layer_scale else (nn.Identity(), nn.Identity())

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Patches(nn.Module):
    def __init__(self, width, patch_size):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, x):
        return self.proj(x)


class ViT(nn.Module):
    """The class token has a position embedding, also beside registers, which enter after it."""

    def __init__(self, width, depth, heads, *, side, patch_size=16, registers=0, layer_scale=False):
        super().__init__()
        self.patch_embed = Patches(width, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side * side, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.blocks = nn.ModuleList(Block(width, heads, layer_scale) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.side = side

    def forward(self, x):
        """Returns the map after each block, and the normalised one after the last."""
        x = self.patch_embed(x)
        grid = x.shape[2:]
        positions = self.pos_embed[:, 1:].transpose(1, 2).unflatten(-1, (self.side, self.side))
        if grid != positions.shape[2:]:
            positions = functional.interpolate(positions, size=grid, mode="bicubic", antialias=True)
        x = (x + positions).flatten(2).transpose(1, 2)
        tokens = [self.cls_token + self.pos_embed[:, :1]]
        if self.register_tokens is not None:
            tokens.append(self.register_tokens)
        x = torch.cat([token.expand(len(x), -1, -1) for token in tokens] + [x], dim=1)
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return [each[:, -math.prod(grid):].transpose(1, 2).unflatten(-1, tuple(grid))
                for each in (*maps, self.norm(x))]


class PoseViT(nn.Module):
    def __init__(self, keypoints, *, upsampling_width, **options):
        super().__init__()
        self.backbone, layers = ViT(**options), []
        for channels in (options["width"], upsampling_width):
            layers += [nn.ConvTranspose2d(channels, upsampling_width, 4, 2, 1, bias=False),
                       nn.BatchNorm2d(upsampling_width), nn.ReLU()]
        self.upsampling, self.head = nn.Sequential(*layers), nn.Conv2d(upsampling_width, keypoints, 1)

    def forward(self, x):
        return self.head(self.upsampling(self.backbone(x)[-1]))


def with_random_tokens(module, seed=0):
    """Returns the module with everything that starts at zero or one away from it."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.named_parameters():
        if "norm" in name or "gamma" in name or "token" in name or "pos_embed" in name:
            tensor.data += torch.rand(tensor.shape, generator=generator) - 0.5
    return module
