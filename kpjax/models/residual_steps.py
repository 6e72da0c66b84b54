"""Residual steps blocks, and the way down of an hourglass that is made of them.

"Learning Delicate Local Representations for Multi-Person Pose Estimation" (Cai et al. 2020). `kpjax.models.rsn` is the
network.
"""
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution, he_normal_fan_out, resize_bilinear
from kpjax.models.normalization import BatchNorm

MeasuredBy = Literal["input", "level"]
GROUPS = 4  # of channels in a block; the first takes one step, the last four
GROUP_SHARE = (26, 64)  # channels of a group over those that it is measured by


class NormalisedConvolution(nn.Module):
    """A convolution with bias, BatchNorm and, if `relu`, ReLU: (B, H, W, C) -> (B, H', W', width).

    size: what the convolution's result is resized to before it is normalised.
    """

    width: int
    kernel_size: int = 1
    stride: int = 1
    relu: bool = True
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, size: tuple[int, int] | None = None) -> jax.Array:
        x = Convolution(self.width, self.kernel_size, self.stride, use_bias=True, kernel_init=self.kernel_init,
                        dtype=self.dtype, name="conv")(x)
        x = x if size is None else resize_bilinear(x, size)
        x = BatchNorm(scale_init=self.scale_init, name="bn")(x, train)
        return nn.relu(x) if self.relu else x


class ResidualStepsBlock(nn.Module):
    """Four groups of `group_width` channels take one, two, three and four steps, beside a shortcut.

    A step is a 3x3 convolution. What it reads is the group's step before, or the group itself in its first, and to that
    is added the same step of the group before, if there is one. The last steps of all groups are joined.
    The stride is that of the 1x1 convolution in front.
    """

    width: int
    group_width: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(NormalisedConvolution, dtype=self.dtype)
        y = layer(GROUPS * self.group_width, 1, self.stride, name="conv_bn_relu1")(x, train)
        last, above = [], []
        for number, group in enumerate(jnp.split(y, GROUPS, axis=-1), start=1):
            taken = []
            for step in range(1, number + 1):
                y = group if step == 1 else taken[-1]
                y = y + above[step - 1] if step < number else y
                taken.append(layer(self.group_width, 3, name=f"conv_bn_relu2_{number}_{step}")(y, train))
            above = taken
            last.append(taken[-1])
        y = layer(self.width, relu=False, name="conv_bn_relu3")(jnp.concatenate(last, axis=-1), train)
        if y.shape != x.shape:
            x = layer(self.width, 1, self.stride, relu=False, name="downsample")(x, train)
        return nn.relu(y + x)


class DownPath(nn.Module):
    """Residual steps blocks at strides 4, 8, 16 and 32. Returns the maps of the four levels, from fine to coarse.

    skips: for each level what the stage before adds to it; () in the first stage.
    """

    blocks: Sequence[int]
    expansion: int
    width: int
    measured_by: MeasuredBy
    rematerialise: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, skips: Sequence[jax.Array], train: bool) -> list[jax.Array]:
        block = nn.remat(ResidualStepsBlock, static_argnums=(2,)) if self.rematerialise else ResidualStepsBlock
        maps = []
        for level, count in enumerate(self.blocks):
            width = self.width * 2 ** level
            for number in range(count):
                measure = x.shape[-1] if self.measured_by == "input" else width
                group_width = measure * GROUP_SHARE[0] // GROUP_SHARE[1]
                stride = 2 if level > 0 and number == 0 else 1
                x = block(self.expansion * width, group_width, stride, self.dtype,
                          name=f"layer{level + 1}_{number}")(x, train)
            x = x + skips[level] if skips else x
            maps.append(x)
        return maps
