"""Feature pyramids (Lin et al.

2017): maps of several resolutions, each with the features of the coarser ones.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import BatchNorm, Convolution, upsample_nearest

Normalization = Callable[..., nn.Module]  # (name=...) -> a layer that is called with (x, train)


class ConvolutionStack(nn.Module):
    """Convolutions, each with normalisation and ReLU: (B, H, W, C) -> (B, H / s, W / s,
    widths[-1]).

    widths: channels of each; without any, the input is returned.
    kernel_sizes, strides: one for each convolution; s is the product of the strides. The default
        stride is 1, the default kernel 3, or 4 under stride 2: a cell is then centred on the four
        that it replaces (see `Centred`).

    Parameters: `conv1`, `norm1`, `conv2`, ... Raises ValueError if the sequences differ in length.
    """

    widths: Sequence[int] = (128, 128)
    kernel_sizes: Sequence[int] | None = None
    strides: Sequence[int] | None = None
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        strides = self.strides or (1,) * len(self.widths)
        kernel_sizes = self.kernel_sizes or tuple(3 if stride == 1 else 4 for stride in strides)
        for number, (width, kernel_size, stride) in enumerate(
            zip(self.widths, kernel_sizes, strides, strict=True), 1
        ):
            x = Convolution(
                width,
                kernel_size,
                stride,
                (kernel_size - 1) // 2,
                dtype=self.dtype,
                name=f"conv{number}",
            )(x)
            x = nn.relu(self.normalization(name=f"norm{number}")(x, train))
        return x


class SmallTrunk(nn.Module):
    """A trunk for small images: (B, H, W, 3) to one feature map for each of `widths`, fine to
    coarse.

    stem_widths: channels of 4x4 convolutions, each of which halves the side before the first map.
    widths: channels of the maps; each map after the first is half as large as the one before.
    depth: number of convolutions for each map, 3x3, or 4x4 where they halve the side.

    All convolutions have normalisation and ReLU. Cells lie at the centres of their pixels, as in
    `Centred`. Parameters: `stem`, `map1`, `map2`, ...
    """

    stem_widths: Sequence[int] = (16, 32)
    widths: Sequence[int] = (32, 64, 64)
    depth: int = 1
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        def stack(widths, strides, name):
            return ConvolutionStack(
                widths, None, strides, self.normalization, self.dtype, name=name
            )

        strides = (2,) * len(self.stem_widths)
        x = stack(tuple(self.stem_widths), strides, "stem")(images, train)
        maps = []
        for number, width in enumerate(self.widths, start=1):
            first_stride = 1 if number == 1 else 2
            strides = (first_stride, *(1,) * (self.depth - 1))
            x = stack((width,) * self.depth, strides, f"map{number}")(x, train)
            maps.append(x)
        return tuple(maps)


class Centred(nn.Module):
    """An encoder of odd kernels, whose maps (B, H / s, W / s, C) are moved to the centres of their
    pixels.

    Odd kernels under stride 2 with equal padding centre cell i of a map of stride s on pixel s i.
    Its four neighbours are mixed so that it is centred on s i + (s - 1) / 2, the middle of the
    pixels that it stands for. The last row and column are repeated. `encoder`: `(images, train)` ->
    one map or a tuple of them.
    """

    encoder: nn.Module

    def __call__(self, images: jax.Array, train: bool) -> jax.Array | tuple[jax.Array, ...]:
        def moved(x: jax.Array) -> jax.Array:
            for axis in (1, 2):
                seen = x.shape[axis] / images.shape[axis]
                share = (1 - seen) / 2
                after = jnp.concatenate(
                    [
                        jax.lax.slice_in_dim(x, 1, None, axis=axis),
                        jax.lax.slice_in_dim(x, -1, None, axis=axis),
                    ],
                    axis,
                )
                x = (1 - share) * x + share * after
            return x

        return jax.tree.map(moved, self.encoder(images, train))


class FeaturePyramid(nn.Module):
    """Normalised images (B, H, W, 3) to the `levels` finest maps of a pyramid, coarse to fine,
    `width` channels each.

    From the coarsest map on, a 1x1 convolution of each is added to the sum so far, doubled
    (nearest). A 3x3 convolution smooths each output.

    backbone: `(images, train)` -> feature maps from fine to coarse, each half as large as the one
        before, such as `kpjax.models.resnet.ResNet` (strides 4 to 32) or `SmallTrunk`. All are
        used.
    skipped: leaves out that many of the finest maps, so that the finest output is coarser.
    normalization: follows every convolution of the pyramid; None leaves it out and gives them a
    bias, as published.

    Parameters: `backbone`, `lateral1`, `smooth1`, ... from fine to coarse, with `lateral_norm1`,
    `smooth_norm1`, ... Raises InputError for images whose sides the strides do not divide.
    """

    backbone: nn.Module
    levels: int = 2
    width: int = 256
    normalization: Normalization | None = None
    dtype: jnp.dtype = jnp.float32
    skipped: int = 0

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        maps = self.backbone(images, train)
        for finer, coarser in pairwise(maps):
            if finer.shape[1:3] != tuple(2 * side for side in coarser.shape[1:3]):
                raise InputError(
                    "image_size",
                    f"images of {images.shape[1]} x {images.shape[2]} (height x width) do not fit the "
                    f"feature pyramid: a map of {finer.shape[1]} x {finer.shape[2]} is not twice the next coarser; "
                    f"choose sides that the coarsest stride of its {len(maps)} maps divides",
                )
        return _top_down(
            maps[self.skipped :], train, self.levels, self.width, self.normalization, self.dtype
        )


class PyramidDecoder(nn.Module):
    """Feature maps from fine to coarse, each half as large as the one before, to the finest map of
    their pyramid.

    It is the pyramid of `FeaturePyramid` with BatchNorm, and ReLU at its end: the `upsampling` of
    any backbone. `skipped` leaves out that many of the finest maps. The result is (B, h, w, width)
    with the size of the finest left.
    Parameters: `lateral1`, `lateral_norm1`, ..., from fine to coarse, `smooth1` and `smooth_norm1`.
    """

    width: int = 64
    skipped: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        return nn.relu(
            _top_down(features[self.skipped :], train, 1, self.width, BatchNorm, self.dtype)[-1]
        )


def _top_down(
    maps: Sequence[jax.Array],
    train: bool,
    levels: int,
    width: int,
    normalization: Normalization | None,
    dtype: jnp.dtype,
) -> tuple[jax.Array, ...]:
    """Returns the `levels` finest maps of the pyramid, coarse to fine; its layers are those of the
    calling module.
    """

    def layer(kind: str, number: int, kernel_size: int, x: jax.Array) -> jax.Array:
        y = Convolution(
            width, kernel_size, use_bias=normalization is None, dtype=dtype, name=f"{kind}{number}"
        )(x)
        if normalization is None:
            return y
        return normalization(name=f"{kind}_norm{number}")(y, train)

    above = None
    pyramid = []
    for number, x in reversed(list(enumerate(maps, start=1))):
        x = layer("lateral", number, 1, x)
        above = x if above is None else x + upsample_nearest(above)
        if number <= levels:
            pyramid.append(layer("smooth", number, 3, above))
    return tuple(pyramid)
