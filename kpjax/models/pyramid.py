"""The network of Keypoint Pyramids (Qian et al. 2022): keypoints of several levels, coarse to fine.

`KeypointLevels` finds each level on a feature map of its own and is all that a trained model keeps;
with a single level it serves KeyNet and Transporter too. `KeypointPyramid` adds the parts that
reconstruct images in training.

Coordinates are normalised (x, y), with the outer edges of an image, and of every map of it, at -1
and 1. So cell i of a map of stride s is pixel s i + (s - 1) / 2, in keypoints and rendered blobs
alike, and decoders double the resolution accordingly. The ancestors' published code has the centres
of the outer cells at -1 and 1 instead, and each level then is beside the other and beside the
image.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.feature_pyramid import (
    Centred,
    ConvolutionStack,
    FeaturePyramid,
    Normalization,
    SmallTrunk,
)
from kpjax.models.image_generation import (
    ImageEncoder,
    draw_normalised_points,
    normalised_points,
    small_normal,
    upsample_bilinear,
)
from kpjax.models.layers import BatchNorm, Convolution, GroupNorm
from kpjax.models.resnet import ResNet

LEVEL_SIZES = (10, 20)
FLAT_SIZE = 30  # keypoints of a network with a single level, for comparison with both
TRANSPORT_WIDTHS = ((128, 128), (64, 64))  # coarse to fine; a single level has the last
TRANSPORT_DECODERS = ((128, 128, 64, 32), (128, 64, 32))
SMALL_NORM = partial(GroupNorm, groups=8)

points_of_maps = partial(normalised_points, align_corners=False)
blobs_of_points = partial(draw_normalised_points, align_corners=False)


class Levels(NamedTuple):
    """Outputs of `KeypointLevels` for a batch: one entry for each level, coarse to fine.

    Features that no level reads come before the others.
    """

    heatmaps: tuple[jax.Array, ...]  # (B, h, w, K) float32, logits
    points: tuple[jax.Array, ...]  # (B, K, 2) float32, normalised
    #: (B, h, w, C) in the compute dtype, without the keypoints of other levels
    features: tuple[jax.Array, ...]


class KeypointEncoder(nn.Module):
    """Features (B, h, w, C) to heatmaps (B, h, w, keypoints) float32, the logits of a spatial
    softmax.

    A `ConvolutionStack` of `widths` under `trunk`, then a 1x1 convolution under `output` that
    computes in float32. It has no bias, which no softmax would see.
    """

    keypoints: int
    widths: Sequence[int] = (128, 128)
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        x = ConvolutionStack(
            self.widths, normalization=self.normalization, dtype=self.dtype, name="trunk"
        )(features, train)
        return Convolution(self.keypoints, kernel_size=1, name="output")(x)


class KeypointLevels(nn.Module):
    """Normalised images (B, H, W, 3) to the keypoints of every level.

    features: `(images, train)` -> one feature map for each level, coarse to fine, or a single array
        if there is one. Maps before these are only handed on.
    encoders: `(features, train)` -> heatmaps, one for each level, with a field `keypoints`.
    conditioned: an encoder also reads the points of the previous level, rendered as blobs at the
        size of its own features and concatenated before them; their gradient is kept.
    blob_width: of those blobs, normalised.
    sharpness: multiplies the heatmaps. Above 1, fewer cells share in a keypoint from the start.
    """

    features: nn.Module
    encoders: Sequence[nn.Module]
    conditioned: bool = True
    blob_width: float = 0.1
    sharpness: float = 1.0

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of keypoints of each level."""
        return tuple(encoder.keypoints for encoder in self.encoders)

    def __call__(self, images: jax.Array, train: bool) -> Levels:
        maps = self.features(images, train)
        maps = maps if isinstance(maps, tuple) else (maps,)
        heatmaps = []
        points = []
        for encoder, features in zip(self.encoders, maps[-len(self.encoders) :], strict=True):
            if points and self.conditioned:
                above = blobs_of_points(points[-1], features.shape[1:3], self.blob_width)
                above = above.astype(features.dtype)
                features = jnp.concatenate([above, features], axis=-1)
            heatmaps.append(self.sharpness * encoder(features, train))
            points.append(points_of_maps(heatmaps[-1]))
        return Levels(tuple(heatmaps), tuple(points), maps)


# All parts that training needs


class KeypointPyramid(nn.Module):
    """All parts that are trained together; `kpjax.methods.pyramids_family.pyramids` combines them.

    Parts that no term of an objective needs are never called and so have no parameters. Entries of
    a sequence belong to the levels, coarse to fine. Decoders turn features into images (B, H, W, 3)
    float32 that are not bounded.
    """

    keypoints: KeypointLevels  # the only part that a trained model uses
    appearance: nn.Module  # Phi, of the reference frame's image
    decoder: nn.Module  # decoder of Phi and the blobs of all keypoints
    transports: Sequence[nn.Module]  # Phi_l, of the feature map of each level
    #: decoders of the result of `kpjax.losses.pyramids.transport_features` on Phi_l
    transport_decoders: Sequence[nn.Module]
    #: decoders of Phi and the blobs of one level (All-Reconstruction)
    level_decoders: Sequence[nn.Module]
    flat_transport: nn.Module  # transport of the finest level's feature map (All-Transport)
    #: decoder of the features that keypoints of all levels transport (All-Transport)
    flat_decoder: nn.Module


class Decoder(nn.Module):
    """Features (B, h, w, C) to images (B, h s, w s, channels) float32 with s = 2 ** (len(widths) -
    1).

    For each width `depth` 3x3 convolutions, each with normalisation and ReLU; twice the resolution,
    bilinear, between two widths; and a last 3x3 convolution to the channels, which has a bias, no
    activation, and computes in float32.
    Parameters: `scale1`, `scale2`, ..., `output`.
    """

    widths: Sequence[int] = (128, 64, 32)
    depth: int = 2
    channels: int = 3
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        x = features
        for number, width in enumerate(self.widths, start=1):
            x = upsample_bilinear(x) if number > 1 else x
            x = ConvolutionStack(
                (width,) * self.depth,
                normalization=self.normalization,
                dtype=self.dtype,
                name=f"scale{number}",
            )(x, train)
        return Convolution(self.channels, use_bias=True, kernel_init=small_normal, name="output")(x)


def keypoint_pyramid(
    level_sizes: Sequence[int] = LEVEL_SIZES,
    *,
    backbone: nn.Module | None = None,
    pyramid_width: int = 256,
    pyramid_normalization: Normalization | None = None,
    encoder_widths: Sequence[int] = (128, 128),
    appearance: nn.Module | None = None,
    decoder_widths: Sequence[int] = (128, 64, 32),
    decoder_depth: int = 2,
    transport_widths: Sequence[Sequence[int]] | None = None,
    transport_decoder_widths: Sequence[Sequence[int]] | None = None,
    conditioned: bool = True,
    conditioning_width: float = 0.1,
    sharpness: float = 1.0,
    skipped: int = 0,
    normalization: Normalization = BatchNorm,
    dtype: jnp.dtype = jnp.float32,
) -> KeypointPyramid:
    """Builds Keypoint Pyramids for images of 128 x 128: 10 and 20 keypoints on maps of 16 x 16 and
    32 x 32.

    A single level reads the finest map; the paper's flat baselines start from it (`as_keynet`,
    `as_transporter`).

    Args:
        level_sizes: keypoints of each level, coarse to fine.
        backbone: feature maps from the finest level's on; ResNet-18 by default, `Centred` as the
            default appearance.
        pyramid_width: channels of f_l.
        pyramid_normalization: of f_l; None as published.
        appearance: Phi; by default IMM's image encoder with the widths (32, 64, 128).
        decoder_widths, decoder_depth: of the decoder of the joint reconstruction and of the levels'
            own (`Decoder`).
        transport_widths: of the convolutions of Phi_l, TRANSPORT_WIDTHS by default. In the paper
            C_1, the coarse level's last, is the larger. All-Transport uses those of the finest
            level again.
        transport_decoder_widths: of their decoders, TRANSPORT_DECODERS by default.
        conditioned: level 2 reads the points of level 1 (`KeypointLevels`).
        conditioning_width: of the blobs that it reads.
        sharpness: of the softmax of all levels (`KeypointLevels`).
        skipped: finest maps of the backbone that the keypoints do not read: with 1, a single level
            has the map of the coarse one of two.
        normalization: of all parts but the pyramid's own, a given backbone or appearance, and
            ResNet's.
        dtype: of the computation of all parts but those given.
    """
    levels = len(level_sizes)
    transport_widths = TRANSPORT_WIDTHS[-levels:] if transport_widths is None else transport_widths
    decoders = (
        TRANSPORT_DECODERS[-levels:]
        if transport_decoder_widths is None
        else transport_decoder_widths
    )
    shared = {"normalization": normalization, "dtype": dtype}
    features = FeaturePyramid(
        Centred(ResNet(18, dtype)) if backbone is None else backbone,
        levels,
        pyramid_width,
        pyramid_normalization,
        dtype,
        skipped,
    )
    encoders = tuple(KeypointEncoder(size, tuple(encoder_widths), **shared) for size in level_sizes)

    def decoder(widths):
        return Decoder(tuple(widths), decoder_depth, **shared)

    def transport(widths):
        return ConvolutionStack(tuple(widths), **shared)

    return KeypointPyramid(
        keypoints=KeypointLevels(
            features, encoders, conditioned, conditioning_width, sharpness=sharpness
        ),
        appearance=Centred(ImageEncoder((32, 64, 128), **shared))
        if appearance is None
        else appearance,
        decoder=decoder(decoder_widths),
        transports=tuple(transport(widths) for widths in transport_widths),
        transport_decoders=tuple(decoder(widths) for widths in decoders),
        level_decoders=tuple(decoder(decoder_widths) for _ in level_sizes),
        flat_transport=transport(transport_widths[-1]),
        flat_decoder=decoder(decoders[-1]),
    )


def small_keypoint_pyramid(
    level_sizes: Sequence[int] = LEVEL_SIZES,
    *,
    side: int = 64,
    depth: int = 1,
    conditioned: bool = True,
    conditioning_width: float = 0.2,
    sharpness: float = 1.0,
    skipped: int = 0,
    normalization: Normalization = SMALL_NORM,
    dtype: jnp.dtype = jnp.float32,
) -> KeypointPyramid:
    """Builds a small `keypoint_pyramid` for images whose longer side is `side`.

    With a side of 64, levels have maps of 8 x 8 and 16 x 16. Smaller images keep these maps, down
    to 16 pixels; larger ones have the strides 4 and 8. Sides are multiples of four times the finest
    stride. GroupNorm is everywhere: without normalisation a decoder of transported features ends at
    one colour.

    Args:
        level_sizes: of one level or two; a single one has the finer map.
        depth: convolutions at each resolution of trunk and decoders.
        skipped: as in `keypoint_pyramid`.
    """
    levels = len(level_sizes)
    halvings = min(max(int(math.log2(side / 16)), 0), 2)
    shared = {"normalization": normalization, "dtype": dtype}
    decoder = (64, 32, 16)[: halvings + 1]
    # its features have little detail to reconstruct
    coarse_decoder = (64, *(max(width // 2, 16) for width in decoder))
    return keypoint_pyramid(
        level_sizes,
        backbone=SmallTrunk((16, 32)[2 - halvings :], depth=depth, **shared),
        pyramid_width=32,
        pyramid_normalization=normalization,
        encoder_widths=(32,),
        appearance=ConvolutionStack(
            (16, 32, 64)[2 - halvings :],
            (6, 4, 3)[2 - halvings :],
            (2, 2, 1)[2 - halvings :],
            **shared,
        ),
        decoder_widths=decoder,
        decoder_depth=depth,
        transport_widths=((64,), (32,))[-levels:],
        transport_decoder_widths=(coarse_decoder, decoder)[-levels:],
        conditioned=conditioned,
        conditioning_width=conditioning_width,
        sharpness=sharpness,
        skipped=skipped,
        **shared,
    )
