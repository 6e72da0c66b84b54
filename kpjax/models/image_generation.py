"""Keypoints as the bottleneck of an image generator: IMM (Jakab et al. 2018), often called KeyNet.

One image gives the appearance, the keypoints of another give the geometry, and the generator
reconstructs the other from both. Coordinates are the paper's: normalised (x, y), with the centres
of the first and the last cell of either axis at -1 and 1, whatever the size of the map. Maps of two
sizes then disagree about a place by up to half a cell. With `align_corners=False` the outer edges
are at -1 and 1: all maps and the image cover the same area.

Two things differ from the official code (TensorFlow): strided convolutions pad both sides alike,
and a convolution before a normalisation has no bias, which the normalisation would cancel.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.heatmaps import decode_soft_argmax, gaussian_profile
from kpjax.models.layers import BatchNorm, Convolution

IMM_WIDTHS = (32, 64, 128, 256)
small_normal = nn.initializers.normal(0.01)
Normalization = Callable[..., nn.Module]  # (name=...) -> a layer that is called with (x, train)


# Keypoints


def normalised_points(
    heatmaps: jax.Array, *, sharpness: float = 1.0, align_corners: bool = True
) -> jax.Array:
    """Computes mean positions (B, K, 2), normalised (x, y), float32, of heatmaps (B, h, w, K).

    The mean is under softmax(sharpness * heatmap) over all cells of a map, as in Keypoint Pyramids
    (Qian et al. 2022).
    align_corners: whether the centres of the outer cells or their outer edges are at -1 and 1.
    """
    points, _ = decode_soft_argmax(heatmaps, temperature=1 / sharpness)
    x = points[..., 0]
    y = points[..., 1]
    return _normalise_points(x, y, heatmaps.shape[1:3], align_corners)


def draw_normalised_points(
    points: jax.Array, size: tuple[int, int], width: float = 0.1, *, align_corners: bool = True
) -> jax.Array:
    """Renders normalised points (..., K, 2) as blobs exp(-d² / width²): (..., h, w, K) float32.

    d is the normalised distance between cell and point. With 16 cells an axis a blob of width 0.1
    is narrower than a
    cell: a point in the middle between four cells peaks at 0.41. align_corners: as in
    `normalised_points`; they need at least two cells an axis.
    """
    profiles = []
    for axis, cells in enumerate((size[1], size[0])):
        half = (cells - align_corners) / 2  # cells from the middle to 1
        coordinates = points[..., axis].astype(jnp.float32)
        centres = coordinates * half + (cells - 1) / 2
        sigma = width * half / math.sqrt(2)
        profiles.append(gaussian_profile(centres, cells, sigma, window=None))
    columns, rows = profiles
    return rows[..., :, None, :] * columns[..., None, :, :]


def _normalise_points(
    x: jax.Array, y: jax.Array, size: tuple[int, int], align_corners: bool
) -> jax.Array:
    """Converts cell numbers of a map of `size` (h, w) to normalised points."""
    height, width = size
    return jnp.stack(
        [
            (x - (width - 1) / 2) * (2 / (width - align_corners)),
            (y - (height - 1) / 2) * (2 / (height - align_corners)),
        ],
        axis=-1,
    )


# Networks


class ImageEncoder(nn.Module):
    """Images (B, H, W, C) to features (B, H / s, W / s, widths[-1]) with s = 2 ** (len(widths) -
    1).

    Two convolutions for each width, each with normalisation and ReLU; the first of every width but
    the first is strided. The very first kernel has size 7, the others 3. IMM's image encoder has
    the default widths.
    Parameters: `conv1`, `norm1`, `conv2`, ...
    """

    widths: Sequence[int] = IMM_WIDTHS
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = images
        number = 0
        for width in self.widths:
            for first in (True, False):
                number += 1
                kernel_size = 7 if number == 1 else 3
                stride = 2 if first and number > 1 else 1
                x = Convolution(width, kernel_size, stride, dtype=self.dtype, name=f"conv{number}")(
                    x
                )
                x = nn.relu(self.normalization(name=f"norm{number}")(x, train))
        return x


class Renderer(nn.Module):
    """Features (B, h, w, C) to images (B, h s, w s, channels) float32 with s = 2 ** (len(widths) -
    1).

    For each width two 3x3 convolutions, each with normalisation and ReLU, then twice the
    resolution. At the last width there is one such convolution and one to the channels, which has a
    bias, no activation, and computes in float32. IMM's renderer has the default widths. Parameters:
    `conv1`, `norm1`, `conv2`, ..., `output`.
    """

    widths: Sequence[int] = IMM_WIDTHS[::-1]
    channels: int = 3
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        x = features
        number = 0
        for scale, width in enumerate(self.widths, start=1):
            if scale > 1:
                x = upsample_bilinear(x)
            for _ in range(2 if scale < len(self.widths) else 1):
                number += 1
                x = Convolution(width, dtype=self.dtype, name=f"conv{number}")(x)
                x = nn.relu(self.normalization(name=f"norm{number}")(x, train))
        return Convolution(self.channels, use_bias=True, kernel_init=small_normal, name="output")(x)


class ImageGenerator(nn.Module):
    """Images with the appearance of `images` and their keypoints at `points`.

    images (B, H, W, C) and normalised points (B, K, 2) to images (B, H, W, channels of the
    renderer) float32, not bounded. H and W are multiples of the encoder's stride. The points are
    rendered at the size of the encoder's features and concatenated to them as K more channels;
    geometry enters in no other way. blob_width, align_corners: see `draw_normalised_points`.
    """

    encoder: nn.Module
    renderer: nn.Module
    blob_width: float = 0.1
    align_corners: bool = True

    def __call__(self, images: jax.Array, points: jax.Array, train: bool) -> jax.Array:
        features = self.encoder(images, train)
        blobs = draw_normalised_points(
            points, features.shape[1:3], self.blob_width, align_corners=self.align_corners
        )
        return self.renderer(
            jnp.concatenate([features, blobs.astype(features.dtype)], axis=-1), train
        )


def image_generator(
    widths: Sequence[int] = IMM_WIDTHS,
    *,
    blob_width: float = 0.1,
    normalization: Normalization = BatchNorm,
    dtype: jnp.dtype = jnp.float32,
) -> ImageGenerator:
    """Builds the generator of IMM. With four widths an image of 128 x 128 becomes 16 x 16 features.

    widths: of the encoder, from fine to coarse, and of the renderer from coarse to fine.
    blob_width: of the rendered points, normalised. normalization: for example
    `functools.partial(GroupNorm, groups=8)`. The result is float32.
    """
    widths = tuple(widths)
    return ImageGenerator(
        ImageEncoder(widths, normalization=normalization, dtype=dtype),
        Renderer(widths[::-1], normalization=normalization, dtype=dtype),
        blob_width,
    )


def image_generator_for(side: int, dtype: jnp.dtype = jnp.float32) -> ImageGenerator:
    """Builds IMM's generator for images whose longer side is `side`: all four widths from 128
    pixels on, fewer below.

    Scales are left out so that the features keep 16 cells a side: blobs of IMM's width fall between
    coarser cells.
    """
    halvings = int(math.log2(max(side / 16, 1)))
    return image_generator(IMM_WIDTHS[: 1 + halvings], dtype=dtype)


def upsample_bilinear(x: jax.Array) -> jax.Array:
    """Doubles the resolution, with half-pixel centres and the border repeated: (B, H, W, C) -> (B,
    2H, 2W, C).

    A new pixel lies a quarter of a pixel beside an old one and takes 3/4 of it and 1/4 of the
    neighbour on that side.
    """
    for axis in (1, 2):
        first = _slice(x, 0, 1, axis)
        but_last = _slice(x, 0, -1, axis)
        before = jnp.concatenate([first, but_last], axis)
        but_first = _slice(x, 1, None, axis)
        last = _slice(x, -1, None, axis)
        after = jnp.concatenate([but_first, last], axis)
        even = 0.75 * x + 0.25 * before
        odd = 0.75 * x + 0.25 * after
        doubled = jnp.stack([even, odd], axis + 1)
        shape = list(x.shape)
        shape[axis] *= 2
        x = doubled.reshape(shape)
    return x


def _slice(x: jax.Array, start: int, stop: int | None, axis: int) -> jax.Array:
    return jax.lax.slice_in_dim(x, start, stop, axis=axis)
