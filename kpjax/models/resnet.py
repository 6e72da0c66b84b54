"""PoseResNet: a ResNet trunk, three transposed convolutions and a head of 1x1 convolutions.

"Simple Baselines for Human Pose Estimation" (Xiao et al. 2018), with torchvision's variant of the
ResNets of He et al.
2016: stride in the 3x3 convolution of a bottleneck, no dilation. Layer names are torchvision's,
with `layer1_0` for `layer1.0` and `downsample_0` for `downsample.0`, so that published weights fit
(`kpjax.models.weights`).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import (
    BatchNorm,
    Convolution,
    TransposedConvolution,
    compute_once,
    he_normal_fan_out,
    rematerialised,
)
from kpjax.models.network import (
    HeatmapHead,
    KeypointNetwork,
    StrideFourOptions,
    check_options,
    small_normal,
)
from kpjax.platforms import by_platform

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (ResNet-18 and -34)."""

    width: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        convolution = partial(Convolution, kernel_init=he_normal_fan_out, dtype=self.dtype)
        y = convolution(self.width, 3, self.stride, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = convolution(self.width, 3, name="conv2")(y)
        y = BatchNorm(name="bn2")(y, train)
        if y.shape != x.shape:
            x = convolution(y.shape[-1], 1, self.stride, name="downsample_0")(x)
            x = BatchNorm(name="downsample_1")(x, train)
        return compute_once(nn.relu(y + x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions to four times the width beside a shortcut (ResNet-50 and
    deeper).
    """

    width: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        convolution = partial(Convolution, kernel_init=he_normal_fan_out, dtype=self.dtype)
        y = convolution(self.width, 1, name="conv1")(x)
        y = nn.relu(BatchNorm(name="bn1")(y, train))
        y = convolution(self.width, 3, self.stride, name="conv2")(y)
        y = nn.relu(BatchNorm(name="bn2")(y, train))
        y = convolution(4 * self.width, 1, name="conv3")(y)
        y = BatchNorm(name="bn3")(y, train)
        if y.shape != x.shape:
            x = convolution(y.shape[-1], 1, self.stride, name="downsample_0")(x)
            x = BatchNorm(name="downsample_1")(x, train)
        return compute_once(nn.relu(y + x))


class ResNet(nn.Module):
    """A ResNet without its average pool and classifier: normalised images (B, H, W, 3) to four
    feature maps.

    depth: 18, 34, 50, 101 or 152. The maps have strides 4, 8, 16 and 32 and 64, 128, 256 and 512
        channels, four times as many from depth 50 on. Weights start as torchvision's: He's normal
        by fan-out, BatchNorm at identity.
    rematerialise: each block keeps its input only and is computed again in the backward pass.
    """

    depth: int
    dtype: jnp.dtype = jnp.float32
    rematerialise: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = Convolution(64, 7, 2, kernel_init=he_normal_fan_out, dtype=self.dtype, name="conv1")(
            images
        )
        x = nn.relu(BatchNorm(name="bn1")(x, train))
        x = max_pool(x)
        block = rematerialised(BasicBlock if self.depth < 50 else Bottleneck, self.rematerialise)
        features = []
        for stage, (count, width) in enumerate(
            zip(BLOCKS[self.depth], STAGE_WIDTHS, strict=True), start=1
        ):
            for number in range(count):
                stride = 2 if stage > 1 and number == 0 else 1
                x = block(width, stride, self.dtype, name=f"layer{stage}_{number}")(x, train)
            features.append(x)
        return tuple(features)


class Deconvolutions(nn.Module):
    """`count` times [transposed convolution of stride 2, BatchNorm, ReLU] on the deepest of the
    given feature maps.

    (B, h, w, C) to (B, h * 2 ** count, w * 2 ** count, width). Weights start at N(0, 0.001²).
    Parameters: `transposed_conv1`, `bn1`, `transposed_conv2`, ...
    """

    count: int = 3
    width: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        x = features[-1]
        for number in range(1, self.count + 1):
            x = TransposedConvolution(
                self.width,
                kernel_init=small_normal,
                dtype=self.dtype,
                name=f"transposed_conv{number}",
            )(x)
            x = nn.relu(BatchNorm(name=f"bn{number}")(x, train))
        return x


def pose_resnet(
    depth: int,
    keypoints: int,
    head_layers: int = 1,
    dtype: jnp.dtype = jnp.float32,
    *,
    rematerialise: bool = False,
) -> KeypointNetwork:
    """Builds PoseResNet: images (B, H, W, 3) to heatmaps (B, H / 4, W / 4, keypoints) float32.

    H and W are multiples of 32. depth: 18, 34, 50, 101 or 152. head_layers: 1 (SimpleBaseline) or 2
    (RegDA). dtype: of the computation; parameters and statistics are float32. rematerialise: each
    block of the ResNet is computed again in the backward pass.
    """
    return KeypointNetwork(
        backbone=ResNet(depth, dtype, rematerialise),
        upsampling=Deconvolutions(dtype=dtype),
        head=HeatmapHead(keypoints, head_layers, dtype=dtype),
    )


@dataclass(frozen=True)
class PoseResNet(StrideFourOptions):
    """The options of `pose_resnet`."""

    name: ClassVar[str] = "pose_resnet"

    depth: Literal[18, 34, 50, 101, 152] = 50  # depth of the ResNet
    head_layers: int = 1  # convolutions of the head: 1 in SimpleBaseline, 2 in RegDA
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        if self.depth not in BLOCKS:
            raise InputError(
                "depth", f"{self.depth}; pose_resnet has depth {', '.join(map(str, BLOCKS))}"
            )
        check_options(self, "head_layers")

    def _network(self, keypoints: int) -> KeypointNetwork:
        return pose_resnet(
            self.depth,
            keypoints,
            head_layers=self.head_layers,
            dtype=jnp.dtype(self.dtype),
            rematerialise=self.rematerialise,
        )


def max_pool(x: jax.Array) -> jax.Array:
    """Computes maxima of 3x3 windows, stride 2, padding 1: (B, H, W, C) -> (B, H / 2, W / 2, C), H
    and W even.

    Equal maxima share the gradient; on TPUs the first takes it.
    """
    return by_platform(
        x, tpu=lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), default=_maxima_of_slices
    )


def _maxima_of_slices(x: jax.Array) -> jax.Array:
    """Computes `max_pool` along one axis after the other: the gradient of XLA's windowed maximum is
    slow on CPUs.
    """
    for axis in (1, 2):
        even = jax.lax.slice_in_dim(x, 0, None, 2, axis)
        odd = jax.lax.slice_in_dim(x, 1, None, 2, axis)
        before = jnp.concatenate(
            [
                jnp.full_like(jax.lax.slice_in_dim(odd, 0, 1, 1, axis), -jnp.inf),
                jax.lax.slice_in_dim(odd, 0, -1, 1, axis),
            ],
            axis,
        )
        x = jnp.maximum(jnp.maximum(before, even), odd)
    return x
