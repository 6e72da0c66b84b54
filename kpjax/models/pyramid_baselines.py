"""The networks of the baselines of Keypoint Pyramids: KeyNet and Transporter, as published and as the paper ran them.

KeyNet (IMM, Jakab et al. 2018) uses keypoints as the bottleneck of an image generator. Transporter (Kulkarni et al.
2019) transports features between the keypoints of two frames and decodes them. Coordinates are those of
`kpjax.models.pyramid`, and maps are `Centred`; the official code has the centres of outer cells at -1 and 1.
"""
from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import Centred, ConvolutionStack, Normalization
from kpjax.models.image_generation import (
    IMM_WIDTHS,
    ImageEncoder,
    ImageGenerator,
    Renderer,
    normalised_points_by_axis,
)
from kpjax.models.layers import BatchNorm
from kpjax.models.pyramid import FLAT_SIZE, KeypointEncoder, KeypointLevels, KeypointPyramid

points_by_axis = partial(normalised_points_by_axis, align_corners=False)


# KeyNet

class KeyNet(nn.Module):
    """Keypoints of one level, and the generator that reads another image's features and these keypoints."""

    keypoints: KeypointLevels
    generator: ImageGenerator


def published_keynet(
    keypoints: int = FLAT_SIZE, widths: Sequence[int] = IMM_WIDTHS, *, blob_width: float = 0.1,
    normalization: Normalization = BatchNorm, dtype: jnp.dtype = jnp.float32,
) -> KeyNet:
    """Builds IMM's networks: two encoders of equal size with separate weights, points by axis, and the renderer.

    Four widths make maps of 16 x 16 of an image of 128 x 128. blob_width: normalised, of the blobs the generator reads.
    """
    widths = tuple(widths)
    shared = {"normalization": normalization, "dtype": dtype}
    found = KeypointLevels(Centred(ImageEncoder(widths, **shared)), (KeypointEncoder(keypoints, ()),),
                           read_points=points_by_axis)
    generator = ImageGenerator(Centred(ImageEncoder(widths, **shared)), Renderer(widths[::-1], **shared), blob_width,
                               align_corners=False)
    return KeyNet(found, generator)


def as_keynet(network: KeypointPyramid, *, blob_width: float = 0.1) -> KeyNet:
    """Builds KeyNet from the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran it.

    The keypoint encoder reads the pyramid's finest map. blob_width: of the blobs that the generator reads, normalised.
    """
    return KeyNet(network.keypoints, ImageGenerator(network.appearance, network.decoder, blob_width,
                                                   align_corners=False))


# Transporter

class Transporter(nn.Module):
    """Keypoints of one level, the features (B, h, w, C) that are transported, and their decoder."""

    keypoints: KeypointLevels
    features: nn.Module
    decoder: nn.Module


def published_transporter(
    keypoints: int = 5, *, widths: Sequence[int] = (16, 16, 32, 32), kernel_sizes: Sequence[int] = (7, 3, 3, 3),
    strides: Sequence[int] = (1, 1, 2, 1), decoder_widths: Sequence[int] = (128, 64),
    normalization: Normalization = BatchNorm, dtype: jnp.dtype = jnp.float32,
) -> Transporter:
    """Builds Transporter's networks: two encoders of equal size with separate weights, points by axis.

    By default features have half the image's side. They have a quarter with widths (16, 16, 32, 32, 64, 64), kernel
    sizes (7, 3, 3, 3, 3, 3), strides (1, 1, 2, 1, 2, 1) and decoder_widths (128, 64, 32). The decoder doubles the side
    once for every width but the first. normalization: BatchNorm in the paper; its authors call normalising whole images
    more stable, here `functools.partial(GroupNorm, groups=1)`.
    """
    shared = {"normalization": normalization, "dtype": dtype}
    sizes = tuple(widths), tuple(kernel_sizes), tuple(strides)
    found = KeypointLevels(Centred(ConvolutionStack(*sizes, **shared)), (KeypointEncoder(keypoints, ()),),
                           read_points=points_by_axis)
    return Transporter(found, Centred(ConvolutionStack(*sizes, **shared)), Renderer(tuple(decoder_widths), **shared))


def as_transporter(network: KeypointPyramid) -> Transporter:
    """Builds Transporter from the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran it.

    The keypoint encoder reads the pyramid's finest map. The transported features are those of `appearance`, of either
    frame. The paper states only their size, a quarter of the image's.
    """
    return Transporter(network.keypoints, network.appearance, network.decoder)
