"""The network of BKinD (Sun et al. 2022): keypoints of one level, and the difference of two frames rendered from them.

Coordinates are those of `kpjax.models.pyramid`. The official code has the centres of outer cells at -1 and 1.
"""
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import ConvolutionStack, Normalization
from kpjax.models.image_generation import draw_normalised_points, small_normal, upsample_bilinear
from kpjax.models.layers import BatchNorm, Convolution
from kpjax.models.pyramid import KeypointLevels, KeypointPyramid

VARIANCES = (0.1, 0.1, 0.01, 0.01, 0.001)  # of keypoints on maps of strides 32 to 2, an image's side being 2


class BKinD(nn.Module):
    """Keypoints of one level, whose features begin with the deepest map of their trunk, and the decoder of these."""

    keypoints: KeypointLevels
    decoder: nn.Module


def gaussian_densities(
    points: jax.Array, size: tuple[int, int], variance: float, *, align_corners: bool = False
) -> jax.Array:
    """Renders normalised points (..., K, 2) as exp(-d² / (2 variance)) / √(2π variance): (..., h, w, K) float32.

    It is the density along a line: the narrower, the higher. align_corners: see `normalised_points`. Source: BKinD's
    official code.
    """
    blobs = draw_normalised_points(points, size, math.sqrt(2 * variance), align_corners=align_corners)
    return blobs / math.sqrt(2 * math.pi * variance)


class DifferenceDecoder(nn.Module):
    """Features (B, h, w, C) of an image, and sets of points (B, K, 2), to images (B, H, W, channels) float32.

    At every scale the points' `gaussian_densities` are concatenated to the features, the resolution is doubled,
    bilinear, and `depth` 3x3 convolutions follow, each with normalisation and ReLU. A 1x1 convolution to the channels
    ends it, with a bias, no activation, in float32.

    widths: channels after each doubling, up to the last; doublings before these have the first.

    Parameters: `scale1`, `scale2`, ..., `output`.
    """

    widths: Sequence[int] = (1024, 512, 256, 128, 64)
    depth: int = 2
    channels: int = 3
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, features: jax.Array, points: Sequence[jax.Array], size: tuple[int, int], train: bool
    ) -> jax.Array:
        x, doublings = features, (size[0] // features.shape[1]).bit_length() - 1
        for number, width, variance in zip(range(1, doublings + 1), _last(self.widths, doublings),
                                           _last(VARIANCES, doublings), strict=True):
            maps = [gaussian_densities(each, x.shape[1:3], variance).astype(x.dtype) for each in points]
            x = upsample_bilinear(jnp.concatenate([x, *maps], axis=-1))
            x = ConvolutionStack((width,) * self.depth, normalization=self.normalization, dtype=self.dtype,
                                 name=f"scale{number}")(x, train)
        return Convolution(self.channels, 1, use_bias=True, kernel_init=small_normal, name="output")(x)


def _last(values: Sequence, count: int) -> Sequence:
    """Returns the last `count` values; the first is repeated where there are fewer."""
    return [values[0]] * (count - len(values)) + list(values[max(len(values) - count, 0):])


def as_bkind(network: KeypointPyramid) -> BKinD:
    """Builds BKinD from the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran its baselines.

    The keypoint encoder reads the pyramid's finest map. The decoder starts from the trunk's deepest map and has the
    widths, depth, normalisation and dtype of the pyramid's.
    """
    found, decoder = network.keypoints, network.decoder
    return BKinD(
        found.clone(features=found.features.clone(deepest=True)),
        DifferenceDecoder(decoder.widths, depth=decoder.depth, normalization=decoder.normalization,
                          dtype=decoder.dtype))
