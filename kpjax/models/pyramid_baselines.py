"""KeyNet as a whole: keypoints without labels, as the bottleneck of an image generator (Jakab et al. 2018, IMM)."""
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import ConvolutionStack, Normalization
from kpjax.models.image_generation import (
    IMM_WIDTHS,
    ImageEncoder,
    ImageGenerator,
    Renderer,
    image_generator,
    normalised_points_by_axis,
)
from kpjax.models.normalization import BatchNorm
from kpjax.models.pyramid import FLAT_SIZE, KeypointEncoder, KeypointLevels, KeypointPyramid


class KeyNet(nn.Module):
    """Keypoints of one level, and the generator that paints from another image's features and these keypoints."""

    keypoints: KeypointLevels
    generator: ImageGenerator


def published_keynet(
    keypoints: int = FLAT_SIZE,
    widths: Sequence[int] = IMM_WIDTHS,
    *,
    blob_width: float = 0.1,
    normalization: Normalization = BatchNorm,
    dtype: jnp.dtype = jnp.float32,
) -> KeyNet:
    """IMM's networks: two encoders of the same sizes with weights of their own, points by axis, and the renderer.

    Four widths make maps of 16 x 16 of an image of 128 x 128.
    """
    widths = tuple(widths)
    found = KeypointLevels(
        ImageEncoder(widths, normalization=normalization, dtype=dtype), (KeypointEncoder(keypoints, ()),),
        read_points=normalised_points_by_axis)
    return KeyNet(found, image_generator(widths, blob_width=blob_width, normalization=normalization, dtype=dtype))


def as_keynet(network: KeypointPyramid, *, blob_width: float = 0.1) -> KeyNet:
    """KeyNet with the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran it: the keypoint encoder
    reads the pyramid's finest map. blob_width: of what the generator reads, normalised.
    """
    return KeyNet(network.keypoints, ImageGenerator(network.appearance, network.decoder, blob_width))


# The networks of Transporter (Kulkarni et al. 2019): features, keypoints, and a decoder of transported features


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

    By default features have half the image's side, with widths (16, 16, 32, 32, 64, 64), kernel sizes (7, 3, 3, 3, 3,
    3), strides (1, 1, 2, 1, 2, 1) and decoder_widths (128, 64, 32) a quarter. The decoder doubles the side once for
    every width but the first. normalization: BatchNorm in the paper; its authors call normalising whole images more
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
    frame. The paper says no more of them than their size, a quarter of the image's.
    """
    return Transporter(network.keypoints, network.appearance, network.decoder)
