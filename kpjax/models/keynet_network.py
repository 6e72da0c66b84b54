"""KeyNet as a whole: keypoints without labels, as the bottleneck of an image generator (Jakab et al. 2018, IMM)."""
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import Normalization
from kpjax.models.keynet import (
    IMM_WIDTHS,
    ImageEncoder,
    ImageGenerator,
    image_generator,
    normalised_points_by_axis,
)
from kpjax.models.keypoint_levels import KeypointEncoder, KeypointLevels
from kpjax.models.keypoint_pyramid import FLAT_SIZE, KeypointPyramid
from kpjax.models.normalization import BatchNorm


class KeyNet(nn.Module):
    """Keypoints of one level, and the generator that paints from another picture's features and these keypoints."""

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

    Four widths make maps of 16 x 16 of a picture of 128 x 128.
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
