"""MobileNetV2: inverted residual blocks with depthwise convolutions, and a pyramid that brings them
to stride 4.

"MobileNetV2: Inverted Residuals and Linear Bottlenecks" (Sandler et al. 2018), without its last 1x1
convolution and classifier. Layer names are torchvision's, with `features_1/conv_0_0` for
`features.1.conv.0.0`, so that published weights fit (`kpjax.models.weights`).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models import layers
from kpjax.models.feature_pyramid import PyramidDecoder
from kpjax.models.network import (
    COARSEST_STRIDE,
    HeatmapHead,
    KeypointNetwork,
    check_options,
    check_sizes,
)

# Of each stage: expansion, channels, number of blocks, stride of the first.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_WIDTH = 32
TAPS = (0, 1, 2, 4, 6)  # the last stage of each stride
FrozenStride = Literal[0, 2, 4, 8, 16, 32]


class InvertedResidual(nn.Module):
    """A 1x1 convolution to `expansion` times the channels, a depthwise one, and a 1x1 one to
    `width` channels.

    ReLU6 follows the first two. The input is added where it has the shape of the result.
    """

    width: int
    expansion: int
    stride: int
    padding: layers.Padding
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        convolution = partial(
            layers.Convolution,
            kernel_size=1,
            kernel_init=layers.he_normal_fan_out,
            dtype=self.dtype,
        )
        y = x
        layer = 0
        if self.expansion > 1:
            y = convolution(self.expansion * x.shape[-1], name="conv_0_0")(y)
            y = nn.relu6(layers.BatchNorm(name="conv_0_1")(y, train))
            layer = 1
        y = layers.DepthwiseConvolution(
            stride=self.stride, padding=self.padding, dtype=self.dtype, name=f"conv_{layer}_0"
        )(y)
        y = nn.relu6(layers.BatchNorm(name=f"conv_{layer}_1")(y, train))
        y = convolution(self.width, name=f"conv_{layer + 1}")(y)
        y = layers.BatchNorm(name=f"conv_{layer + 2}")(y, train)
        return x + y if y.shape == x.shape else y


class MobileNetV2Trunk(nn.Module):
    """Normalised images (B, H, W, 3) to maps of strides 2, 4, 8, 16 and 32 with 16, 24, 32, 96 and
    320 channels.

    These are the maps after the last stage of each stride; others are chosen by `taps`.

    width_multiplier: of all channels, which are rounded to multiples of 8.
    padding: of 3x3 convolutions, as the weights were trained: see
    `kpjax.models.layers.spatial_padding`.
    rematerialise: each block keeps its input only and is computed again in the backward pass.
    frozen_stride: nothing flows back into layers up to the map of this stride; 0 for none.
    taps: numbers of the stages, rising from 0, whose maps are returned.

    Weights start as torchvision's: He's normal by fan-out, BatchNorm at identity.
    """

    width_multiplier: float = 1.0
    padding: layers.Padding = "torch"
    dtype: jnp.dtype = jnp.float32
    rematerialise: bool = False
    frozen_stride: int = 0
    taps: tuple[int, ...] = TAPS

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        pads = layers.spatial_padding(images.shape, 3, 2, self.padding)
        x = jnp.pad(images, pads)
        x = layers.Convolution(
            rounded_width(STEM_WIDTH * self.width_multiplier),
            3,
            2,
            padding=0,
            kernel_init=layers.he_normal_fan_out,
            dtype=self.dtype,
            name="features_0_0",
        )(x)
        x = nn.relu6(layers.BatchNorm(name="features_0_1")(x, train))
        block = layers.rematerialised(InvertedResidual, self.rematerialise)
        number = 1
        maps = []
        map_stride = 2
        for stage, (expansion, channels, blocks, stride) in enumerate(STAGES):
            map_stride *= stride
            for place in range(blocks):
                x = block(
                    rounded_width(channels * self.width_multiplier),
                    expansion,
                    stride if place == 0 else 1,
                    self.padding,
                    self.dtype,
                    name=f"features_{number}",
                )(x, train)
                number += 1
            if map_stride <= self.frozen_stride and stage in {*TAPS, *self.taps}:
                x = jax.lax.stop_gradient(x)
            if stage in self.taps:
                maps.append(x)
        return tuple(maps)


def rounded_width(channels: float) -> int:
    """Rounds a number of channels to a multiple of 8, at least 8 and not below nine tenths, as
    torchvision does.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    if rounded < 0.9 * channels:
        return rounded + 8
    return rounded


def mobilenet_v2(
    keypoints: int,
    *,
    width_multiplier: float = 1.0,
    padding: layers.Padding = "torch",
    heatmap_stride: int = 4,
    decoder_width: int = 64,
    head_layers: int = 1,
    dtype: jnp.dtype = jnp.float32,
    rematerialise: bool = False,
    frozen_stride: int = 0,
) -> KeypointNetwork:
    """Builds MobileNetV2 with a pyramid: images (B, H, W, 3) to heatmaps (B, H / s, W / s,
    keypoints) float32.

    H and W are multiples of 32.

    Args:
        heatmap_stride: s, 4 or 2.
        decoder_width: channels of the pyramid, and between layers of the head.
        dtype: of the computation; parameters and statistics are float32.
        rematerialise: each block of the trunk is computed again in the backward pass.
        frozen_stride: of the trunk's maps, 2 to 32; layers up to it get no gradient. 0 for none.
            For an optimizer that decays weights see `frozen_layers` and
            `kpjax.optimization.scale_backbone`.
    """
    return KeypointNetwork(
        backbone=MobileNetV2Trunk(width_multiplier, padding, dtype, rematerialise, frozen_stride),
        upsampling=PyramidDecoder(
            decoder_width, skipped=1 if heatmap_stride == 4 else 0, dtype=dtype
        ),
        head=HeatmapHead(keypoints, head_layers, decoder_width, dtype=dtype),
    )


def check_frozen_stride(stride: int) -> None:
    """Raises InputError unless a `FrozenStride` is given."""
    if stride not in get_args(FrozenStride):
        raise InputError(
            "frozen_stride", f"{stride}; give {', '.join(map(str, get_args(FrozenStride)))}"
        )


def frozen_layers(stride: int) -> tuple[str, ...]:
    """Returns the names of the trunk's layers up to the map of a stride: 2 to 32, or 0 for none."""
    if not stride:
        return ()
    last = TAPS[stride.bit_length() - 2]
    blocks = sum(count for _, _, count, _ in STAGES[: last + 1])
    return (
        "features_0_0",
        "features_0_1",
        *(f"features_{number}" for number in range(1, blocks + 1)),
    )


@dataclass(frozen=True)
class MobileNetV2:
    """The options of `mobilenet_v2`."""

    name: ClassVar[str] = "mobilenet_v2"

    width_multiplier: float = 1.0  # width multiplier of all channels of the backbone
    #: padding of its 3x3 convolutions, as its weights were trained
    padding: layers.Padding = "torch"
    decoder_width: int = 64  # channels of the pyramid and the head
    head_layers: int = 1  # convolutions of the head
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False
    #: stride of feature maps, up to which the backbone keeps its weights
    frozen_stride: FrozenStride = 0

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        check_frozen_stride(self.frozen_stride)
        if not self.width_multiplier > 0:
            raise InputError("width_multiplier", f"{self.width_multiplier}; give a number above 0")
        if self.padding not in ("torch", "tensorflow"):
            raise InputError("padding", f"{self.padding!r} is unknown; give torch or tensorflow")
        check_options(self, "decoder_width", "head_layers")

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        check_sizes(self.name, image_size, heatmap_size, strides=(4, 2), multiple=COARSEST_STRIDE)

    def build(self, keypoints: int, *, stride: int = 4) -> KeypointNetwork:
        """Builds the network. stride: of the heatmaps, 4 or 2."""
        return mobilenet_v2(
            keypoints,
            width_multiplier=self.width_multiplier,
            padding=self.padding,
            heatmap_stride=stride,
            decoder_width=self.decoder_width,
            head_layers=self.head_layers,
            dtype=jnp.dtype(self.dtype),
            rematerialise=self.rematerialise,
            frozen_stride=self.frozen_stride,
        )

    @property
    def frozen_layers(self) -> tuple[str, ...]:
        """The names of the backbone's layers that keep their weights."""
        return frozen_layers(self.frozen_stride)
