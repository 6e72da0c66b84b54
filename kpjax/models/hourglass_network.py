"""One hourglass of a Face Alignment Network: features at ever coarser scales and back, joined by
skip connections.

Bulat and Tzimiropoulos 2017 (FAN), with the blocks of their "Binarized convolutional landmark
localizers"; the core of "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019).
Layers have FAN's names (`conv2`, `m0/b1_4`, `top_m_0`, `bn_end0`; `l0` is `head/output`), with
`downsample_0` for `downsample.0`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import (
    BatchNorm,
    Convolution,
    compute_once,
    rematerialised,
    uniform_fan_in,
    upsample_nearest,
)
from kpjax.models.network import (
    HeatmapHead,
    KeypointNetwork,
    check_options,
    check_sizes,
    check_stride,
)

STRIDE = 4  # stride of the heatmaps


class HierarchicalBlock(nn.Module):
    """Three successive 3x3 convolutions, whose concatenated results are added to the input.

    They have a half, a quarter and a quarter of `width` channels; normalisation and ReLU precede
    each, and none has a bias. Where the number of channels changes, the input passes normalisation,
    ReLU and a 1x1 convolution.
    """

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = x
        parts = []
        for number, share in enumerate((2, 4, 4), start=1):
            y = nn.relu(BatchNorm(name=f"bn{number}")(y, train))
            y = Convolution(
                self.width // share,
                kernel_init=uniform_fan_in,
                dtype=self.dtype,
                name=f"conv{number}",
            )(y)
            parts.append(y)
        if x.shape[-1] != self.width:
            x = nn.relu(BatchNorm(name="downsample_0")(x, train))
            x = Convolution(
                self.width,
                kernel_size=1,
                kernel_init=uniform_fan_in,
                dtype=self.dtype,
                name="downsample_2",
            )(x)
        joined = jnp.concatenate(parts, axis=-1)
        return compute_once(joined + x.astype(y.dtype))


class Hourglass(nn.Module):
    """Features (B, h, w, C) to features of the same shape with a receptive field 2 ** depth times
    as large.

    At each of `depth` scales one block keeps the resolution. Beside it the map is halved, passes a
    block, the next coarser scale (at the last a block instead) and another block, is doubled by
    repeating pixels, and is added.
    """

    depth: int
    dtype: jnp.dtype = jnp.float32
    rematerialise: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = rematerialised(HierarchicalBlock, self.rematerialise)

        def block(x: jax.Array, name: str) -> jax.Array:
            return layer(x.shape[-1], self.dtype, name=name)(x, train)

        kept = []
        for level in range(self.depth, 0, -1):
            kept.append(block(x, f"b1_{level}"))
            x = block(average_pool_pairs(x), f"b2_{level}")
        x = block(x, "b2_plus_1")
        for level in range(1, self.depth + 1):
            kept_map = kept.pop()
            x = compute_once(kept_map + upsample_nearest(block(x, f"b3_{level}")))
        return x


class HourglassTrunk(nn.Module):
    """Normalised images (B, H, W, 3) to one feature map (B, H / 4, W / 4, width): the stem and the
    hourglass.

    H and W are multiples of 4 * 2 ** depth. rematerialise: each block keeps its input only and is
    computed again in the backward pass.
    """

    width: int = 256
    depth: int = 4
    dtype: jnp.dtype = jnp.float32
    rematerialise: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array]:
        x = Convolution(
            self.width // 4,
            7,
            2,
            use_bias=True,
            kernel_init=uniform_fan_in,
            dtype=self.dtype,
            name="conv1",
        )(images)
        x = nn.relu(BatchNorm(name="bn1")(x, train))
        block = rematerialised(HierarchicalBlock, self.rematerialise)
        x = block(self.width // 2, self.dtype, name="conv2")(x, train)
        x = average_pool_pairs(x)
        x = block(self.width // 2, self.dtype, name="conv3")(x, train)
        x = block(self.width, self.dtype, name="conv4")(x, train)
        return (Hourglass(self.depth, self.dtype, self.rematerialise, name="m0")(x, train),)


class HourglassTop(nn.Module):
    """The layers between the hourglass and the heatmaps: a block, a 1x1 convolution with bias,
    BatchNorm, ReLU.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        width = features[-1].shape[-1]
        x = HierarchicalBlock(width, self.dtype, name="top_m_0")(features[-1], train)
        x = Convolution(
            width,
            kernel_size=1,
            use_bias=True,
            kernel_init=uniform_fan_in,
            dtype=self.dtype,
            name="conv_last0",
        )(x)
        return nn.relu(BatchNorm(name="bn_end0")(x, train))


def hourglass(
    keypoints: int,
    *,
    width: int = 256,
    depth: int = 4,
    dtype: jnp.dtype = jnp.float32,
    rematerialise: bool = False,
) -> KeypointNetwork:
    """Builds one hourglass: images (B, H, W, 3) to heatmaps (B, H / 4, W / 4, keypoints) float32.

    H and W are multiples of 4 * 2 ** depth. The head starts at PyTorch's default, with which the
    points of a sharp soft-argmax differ; with a much smaller start, all of them lie in the middle.
    Published: width 256 and depth 4, 6,234,762 parameters for 10 keypoints; a laptop trains width
    64 and depth 3. `width` is a multiple of 16.
    """
    return KeypointNetwork(
        backbone=HourglassTrunk(width, depth, dtype, rematerialise),
        upsampling=HourglassTop(dtype),
        head=HeatmapHead(keypoints, output_init=uniform_fan_in, dtype=dtype),
    )


@dataclass(frozen=True)
class HourglassNetwork:
    """The options of `hourglass`. A laptop trains width 64 and depth 3."""

    name: ClassVar[str] = "hourglass"

    width: int = 256  # channels
    depth: int = 4  # halvings
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        check_options(self, "width", "depth")
        if self.width % 16:
            raise InputError(
                "width", f"{self.width}; the width of an hourglass is a multiple of 16"
            )

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        check_sizes(
            self.name, image_size, heatmap_size, strides=(STRIDE,), multiple=STRIDE * 2**self.depth
        )

    def build(self, keypoints: int, *, stride: int = STRIDE) -> KeypointNetwork:
        """Builds the network. stride: of the heatmaps, always 4."""
        check_stride(self.name, stride)
        return hourglass(
            keypoints,
            width=self.width,
            depth=self.depth,
            dtype=jnp.dtype(self.dtype),
            rematerialise=self.rematerialise,
        )


def average_pool_pairs(x: jax.Array) -> jax.Array:
    """Averages 2x2 windows: (B, H, W, C) -> (B, H / 2, W / 2, C) in the same dtype, H and W
    even."""
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return windows.astype(jnp.float32).mean((2, 4)).astype(x.dtype)
