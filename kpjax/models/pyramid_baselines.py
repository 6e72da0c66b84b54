"""The networks of the baselines of Keypoint Pyramids, KeyNet and Transporter, as the paper ran
them.

KeyNet (IMM, Jakab et al. 2018) uses keypoints as the bottleneck of an image generator. Transporter
(Kulkarni et al.
2019) transports features between the keypoints of two frames and decodes them. Coordinates are
those of `kpjax.models.pyramid`, and maps are `Centred`; the official code has the centres of outer
cells at -1 and 1.
"""

from flax import linen as nn

from kpjax.models.image_generation import ImageGenerator
from kpjax.models.pyramid import KeypointLevels, KeypointPyramid

# KeyNet


class KeyNet(nn.Module):
    """Keypoints of one level, and the generator that reads another image's features and these
    keypoints.
    """

    keypoints: KeypointLevels
    generator: ImageGenerator


def as_keynet(network: KeypointPyramid, *, blob_width: float = 0.1) -> KeyNet:
    """Builds KeyNet from the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids ran
    it.

    The keypoint encoder reads the pyramid's finest map. blob_width: of the blobs that the generator
    reads, normalised.
    """
    return KeyNet(
        network.keypoints,
        ImageGenerator(network.appearance, network.decoder, blob_width, align_corners=False),
    )


# Transporter


class Transporter(nn.Module):
    """Keypoints of one level, the features (B, h, w, C) that are transported, and their decoder."""

    keypoints: KeypointLevels
    features: nn.Module
    decoder: nn.Module


def as_transporter(network: KeypointPyramid) -> Transporter:
    """Builds Transporter from the parts of a `keypoint_pyramid` of one level, as Keypoint Pyramids
    ran it.

    The keypoint encoder reads the pyramid's finest map. The transported features are those of
    `appearance`, of either frame, a quarter as large as the image. The paper does not state them.
    """
    return Transporter(network.keypoints, network.appearance, network.decoder)
