"""Keypoints of several levels, coarse to fine, each found on a feature map of its own.

What is left of Keypoint Pyramids (Qian et al. 2022) once it is trained; with one level, of KeyNet and Transporter.
Coordinates are normalised (x, y), the centres of a map's first and last cell of either axis at -1 and 1.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution
from kpjax.models.feature_pyramid import ConvolutionStack, Normalization
from kpjax.models.keynet import draw_normalised_points, normalised_points
from kpjax.models.normalization import BatchNorm

ReadPoints = Callable[[jax.Array], jax.Array]  # heatmaps (B, h, w, K) -> normalised points (B, K, 2)


class Levels(NamedTuple):
    """What `KeypointLevels` makes of a batch: one entry for each level, coarse to fine."""

    heatmaps: tuple[jax.Array, ...]  # (B, h, w, K) float32, logits
    points: tuple[jax.Array, ...]  # (B, K, 2) float32, normalised
    features: tuple[jax.Array, ...]  # (B, h, w, C) in the compute dtype, without the keypoints of other levels


class KeypointEncoder(nn.Module):
    """Features (B, h, w, C) to heatmaps (B, h, w, keypoints) float32, the logits of a spatial softmax.

    A `ConvolutionStack` of `widths` under `trunk`, then a 1x1 convolution under `output` that computes in float32. It
    has no bias, which no softmax would see.
    """

    keypoints: int
    widths: Sequence[int] = (128, 128)
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        x = ConvolutionStack(
            self.widths, normalization=self.normalization, dtype=self.dtype, name="trunk")(features, train)
        return Convolution(self.keypoints, kernel_size=1, name="output")(x)


class KeypointLevels(nn.Module):
    """Normalised images (B, H, W, 3) to the keypoints of every level.

    features: `(images, train)` -> one feature map for each level, coarse to fine, or a single array if there is one.
    encoders: `(features, train)` -> heatmaps, one for each level, with a field `keypoints`.
    conditioned: an encoder reads the points of the level above too, drawn as blobs at the size of its own features and
        put before them; their gradient is kept. blob_width: of those blobs, normalised.
    read_points: where a heatmap says its keypoint is.
    """

    features: nn.Module
    encoders: Sequence[nn.Module]
    conditioned: bool = True
    blob_width: float = 0.1
    read_points: ReadPoints = normalised_points

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of keypoints of each level."""
        return tuple(encoder.keypoints for encoder in self.encoders)

    def __call__(self, images: jax.Array, train: bool) -> Levels:
        maps = self.features(images, train)
        maps = maps if isinstance(maps, tuple) else (maps,)
        heatmaps, points = [], []
        for encoder, features in zip(self.encoders, maps, strict=True):
            if points and self.conditioned:
                above = draw_normalised_points(points[-1], features.shape[1:3], self.blob_width)
                features = jnp.concatenate([above.astype(features.dtype), features], axis=-1)
            heatmaps.append(encoder(features, train))
            points.append(self.read_points(heatmaps[-1]))
        return Levels(tuple(heatmaps), tuple(points), maps)
