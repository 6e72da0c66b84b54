"""The networks of Transporter (Kulkarni et al. 2019): features, keypoints, and a decoder of transported features.

After the official Sonnet code, but for strided convolutions, which pad alike on both sides here, and for the biases of
convolutions that a normalisation follows.
"""
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import ConvolutionStack, Normalization
from kpjax.models.keynet import Renderer, normalised_points_by_axis
from kpjax.models.keypoint_levels import KeypointEncoder, KeypointLevels
from kpjax.models.keypoint_pyramid import KeypointPyramid
from kpjax.models.normalization import BatchNorm


class Transporter(nn.Module):
    """Keypoints of one level, the features (B, h, w, C) that are transported, and the decoder that paints from them."""

    keypoints: KeypointLevels
    features: nn.Module
    decoder: nn.Module


def published_transporter(
    keypoints: int = 5,
    *,
    widths: Sequence[int] = (16, 16, 32, 32),
    kernel_sizes: Sequence[int] = (7, 3, 3, 3),
    strides: Sequence[int] = (1, 1, 2, 1),
    decoder_widths: Sequence[int] = (128, 64),
    normalization: Normalization = BatchNorm,
    dtype: jnp.dtype = jnp.float32,
) -> Transporter:
    """Transporter's networks: two encoders of the same sizes with weights of their own, points by axis.

    By default features have half the picture's side, with widths (16, 16, 32, 32, 64, 64), kernel sizes (7, 3, 3, 3, 3,
    3), strides (1, 1, 2, 1, 2, 1) and decoder_widths (128, 64, 32) a quarter. The decoder doubles the side once for
    every width but the first. normalization: BatchNorm in the paper; its authors call normalising whole pictures more
    stable, here `functools.partial(GroupNorm, groups=1)`.
    """
    shared = {"normalization": normalization, "dtype": dtype}
    sizes = tuple(widths), tuple(kernel_sizes), tuple(strides)
    found = KeypointLevels(ConvolutionStack(*sizes, **shared), (KeypointEncoder(keypoints, ()),),
                           read_points=normalised_points_by_axis)
    return Transporter(found, ConvolutionStack(*sizes, **shared), Renderer(tuple(decoder_widths), **shared))


def as_transporter(network: KeypointPyramid) -> Transporter:
    """Transporter with the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran it.

    The keypoint encoder reads the pyramid's finest map; what is transported are the features of `appearance`, of either
    frame. The paper says no more of them than their size, a quarter of the picture's.
    """
    return Transporter(network.keypoints, network.appearance, network.decoder)
