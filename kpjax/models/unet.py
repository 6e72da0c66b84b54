"""A small U-net with residual blocks, which trains in milliseconds a step on two CPU cores.

It follows U-Net (Ronneberger et al. 2015) and residual learning (He et al. 2016), except where XLA
on CPUs is slow: two strided convolutions precede the first block, resolution is doubled by
repeating pixels, and skip connections are added, not concatenated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import BatchNorm, Convolution, he_normal, rematerialised, upsample_nearest
from kpjax.models.network import HeatmapHead, KeypointNetwork, check_options, check_sizes


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution wherever the shape
    changes.
    """

    width: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = Convolution(self.width, stride=self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = Convolution(self.width, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(name="bn2")(y, train)
        if y.shape != x.shape:
            x = Convolution(
                self.width, kernel_size=1, stride=self.stride, dtype=self.dtype, name="shortcut"
            )(x)
            x = BatchNorm(name="shortcut_bn")(x, train)
        return nn.relu(y + x)


class ResidualEncoder(nn.Module):
    """Images (B, H, W, 3) to feature maps at strides 2, 4, 8, ...

    widths: channels of the two strided convolutions of the stem (strides 2 and 4), then of one
        residual block at each of the strides 4, 8, 16, ... The feature map of stride 2 is the
        stem's first; the others are outputs of blocks.
    rematerialise: each block keeps its input only and is computed again in the backward pass.
    """

    widths: Sequence[int]
    dtype: jnp.dtype = jnp.float32
    rematerialise: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = images
        features = []
        block = rematerialised(ResidualBlock, self.rematerialise)
        for number, width in enumerate(self.widths[:2], start=1):
            x = Convolution(width, stride=2, dtype=self.dtype, name=f"stem_conv{number}")(x)
            x = nn.relu(BatchNorm(name=f"stem_bn{number}")(x, train))
            if number == 1:
                features.append(x)
        for number, width in enumerate(self.widths[2:], start=1):
            stride = 1 if number == 1 else 2
            x = block(width, stride, self.dtype, name=f"block{number}")(x, train)
            features.append(x)
        return tuple(features)


class SkipDecoder(nn.Module):
    """Feature maps from fine to coarse, each half as large as the one before, to one map of the
    finest's size.

    From the coarsest on: 1x1 convolution to the width of the next finer map, every pixel repeated,
    the finer map added, 3x3 convolution, BatchNorm, ReLU. `skipped` leaves out that many of the
    finest maps.
    """

    skipped: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        *finer, x = features[self.skipped :]
        for number, skip in enumerate(reversed(finer), start=1):
            width = skip.shape[-1]
            x = Convolution(width, kernel_size=1, dtype=self.dtype, name=f"project{number}")(x)
            x = Convolution(width, dtype=self.dtype, name=f"conv{number}")(
                upsample_nearest(x) + skip
            )
            x = nn.relu(BatchNorm(name=f"bn{number}")(x, train))
        return x


def small_unet(
    keypoints: int,
    *,
    widths: Sequence[int] = (16, 32, 32, 64, 64),
    heatmap_stride: int = 4,
    head_layers: int = 1,
    head_width: int = 32,
    dtype: jnp.dtype = jnp.float32,
    rematerialise: bool = False,
) -> KeypointNetwork:
    """Builds a small U-net: images (B, H, W, 3) to heatmaps (B, H / heatmap_stride, W /
    heatmap_stride, keypoints).

    Args:
        widths: channels of the two convolutions of the stem and of each residual block, see
            `ResidualEncoder`. H and W are multiples of the coarsest stride, 2 ** (len(widths) - 1).
        heatmap_stride: 4 or 2.
        rematerialise: each block of the way down is computed again in the backward pass.
    """
    small = nn.initializers.normal(0.01)
    head = HeatmapHead(
        keypoints, head_layers, head_width, hidden_init=he_normal, output_init=small, dtype=dtype
    )
    return KeypointNetwork(
        backbone=ResidualEncoder(tuple(widths), dtype, rematerialise),
        upsampling=SkipDecoder(skipped=0 if heatmap_stride == 2 else 1, dtype=dtype),
        head=head,
    )


@dataclass(frozen=True)
class SmallUNet:
    """The options of `small_unet`."""

    name: ClassVar[str] = "small_unet"

    #: channels: two for the stem, then one for each block
    widths: tuple[int, ...] = (16, 32, 32, 64, 64)
    head_layers: int = 1  # convolutions of the head
    head_width: int = 64  # channels between two layers of the head
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        if len(self.widths) < 3:
            raise InputError(
                "widths", f"{len(self.widths)} given; small_unet needs two and one for each block"
            )
        check_options(self, "widths", "head_layers", "head_width")

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        check_sizes(
            self.name,
            image_size,
            heatmap_size,
            strides=(2, 4),
            multiple=2 ** (len(self.widths) - 1),
        )

    def build(self, keypoints: int, *, stride: int = 4) -> KeypointNetwork:
        """Builds the network. stride: of the heatmaps, 2 or 4."""
        return small_unet(
            keypoints,
            widths=self.widths,
            heatmap_stride=stride,
            head_layers=self.head_layers,
            head_width=self.head_width,
            dtype=jnp.dtype(self.dtype),
            rematerialise=self.rematerialise,
        )
