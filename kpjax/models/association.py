"""KA-Net: an old keypoint from new ones, by the features around the new ones (KAMP, stage I)."""

import math
import warnings
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.heatmaps import gaussian_bumps
from kpjax.models.layers import BatchNorm, Convolution, he_normal
from kpjax.models.network import small_normal

Variant = Literal["paper", "wide", "with_features"]
REFERENCE_SIDE = 64  # side of the maps for which the dilations below are stated, in heatmap pixels
WIDE_DILATIONS = (2, 4, 8)


class AssociationInputs(NamedTuple):
    """Inputs of KA-Net: one triple in a batch."""

    features: jax.Array  # (B, h, w, C), of the frozen extractor
    #: (B, h, w, 2) float32, a Gaussian of peak 1 at each of the two new keypoints, or an empty map
    maps: jax.Array
    points: jax.Array  # (B, 2, 2) float32, the same keypoints as (x, y) in heatmap pixels


def products(features: jax.Array, maps: jax.Array) -> jax.Array:
    """Computes F ⊙ h, concatenated: (B, h, w, C), (B, h, w, n) to (B, h, w, n C), zero outside the
    Gaussians.
    """
    maps = maps.astype(features.dtype)
    masked = maps[..., :, None] * features[..., None, :]
    return masked.reshape(*features.shape[:-1], -1)


def input_windows(inputs: AssociationInputs, sigma: float | None) -> jax.Array:
    """Returns the maps (B, h, w, 2) through which KA-Net sees the features; those of empty maps
    stay empty.

    sigma: of Gaussians of its own, in heatmap pixels, cut off at 3 sigma; None takes the maps as
        they are. On small maps a target's Gaussian covers the old keypoint beside it: KA-Net then
        sees the features from which its teacher has read the target, and copies it.
    """
    if sigma is None:
        return inputs.maps
    present = inputs.maps.max((1, 2), keepdims=True) > 0
    bumps = gaussian_bumps(inputs.points, inputs.features.shape[1:3], sigma)
    return jnp.where(present, bumps, 0.0)


class AssociationNetwork(nn.Module):
    """The heatmap of an old keypoint (B, h, w, 1) float32 from `AssociationInputs`, by a few 3x3
    convolutions.

    variant: "paper", two convolutions with BatchNorm and ReLU and one to the map. "wide", three
        dilated ones, so that a more distant old keypoint is within `reach`, and a 1x1 convolution
        to the map. "with_features", "paper" with the features themselves beside the products. The
        paper states neither the number of layers nor their widths.
    inputs: 2, or 1 where steps introduce a single new keypoint: only the first map is read then.
    input_sigma: of the Gaussians that let features through, see `input_windows`.

    All layers have as many channels as the features. Parameters: `conv1`, `bn1`, ..., `output`.
    """

    variant: Variant = "paper"
    inputs: int = 2
    dtype: jnp.dtype = jnp.float32
    input_sigma: float | None = None

    @nn.compact
    def __call__(self, inputs: AssociationInputs, train: bool) -> jax.Array:
        features = inputs.features.astype(self.dtype)
        width = features.shape[-1]
        side = min(features.shape[1:3])
        windows = input_windows(inputs, self.input_sigma)
        x = products(features, windows[..., : self.inputs])
        if self.variant == "with_features":
            x = jnp.concatenate([x, features], axis=-1)
        for number, dilation in enumerate(_dilations(self.variant, side), start=1):
            x = DilatedConvolution(width, dilation, self.dtype, name=f"conv{number}")(x)
            x = nn.relu(BatchNorm(name=f"bn{number}")(x, train))
        kernel_size = 1 if self.variant == "wide" else 3
        return Convolution(1, kernel_size, use_bias=True, kernel_init=small_normal, name="output")(
            x.astype(jnp.float32)
        )


class DilatedConvolution(nn.Module):
    """A 3x3 convolution whose taps are `dilation` pixels apart; the size stays.

    Parameter `kernel` (3, 3, in, out).
    """

    width: int
    dilation: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        kernel = self.param("kernel", he_normal, (3, 3, channels, self.width), jnp.float32)
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (1, 1),
            [(self.dilation, self.dilation)] * 2,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


def association_network(
    variant: Variant = "paper",
    *,
    inputs: int = 2,
    dtype: jnp.dtype = jnp.float32,
    input_sigma: float | None = None,
) -> nn.Module:
    """Builds the KA-Net of a variant.

    "with_features" warns: the old model's map is a 1x1 convolution of its features, so that a
    network which sees them learns to copy it and associates nothing.
    """
    if variant == "with_features":
        warnings.warn(
            "association network: with_features sees the features of its teacher's map and will copy it; "
            "use it for comparison only",
            stacklevel=2,
        )
    return AssociationNetwork(variant, inputs, dtype, input_sigma)


def reach(variant: Variant, map_side: int, support: float = 6.0) -> float:
    """Returns how far from a new keypoint KA-Net can distinguish cells, along each axis, in heatmap
    pixels.

    Further away the products are zero under the whole receptive field, and the answer is one
    constant. It is infinite for the variant that sees the whole image. map_side: the shorter side
    of the maps. support: half the side of the square of KA-Net's Gaussians, 3 sigma of 2 px.
    """
    if variant == "with_features":
        return math.inf
    last = 0 if variant == "wide" else 1
    return support + sum(_dilations(variant, map_side)) + last


def _dilations(variant: Variant, side: int) -> tuple[int, ...]:
    """Returns the dilations of the 3x3 convolutions before BatchNorm.

    "wide" reaches the same share of any map.
    """
    if variant != "wide":
        return (1, 1)
    return tuple(
        max(1, math.floor(dilation * side / REFERENCE_SIDE + 0.5)) for dilation in WIDE_DILATIONS
    )
