"""KA-Net: from new keypoints to an old one, by what an extractor sees around the new ones (KAMP, stage I)."""
import math
import warnings
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution, he_normal
from kpjax.models.heads import small_normal
from kpjax.models.normalization import BatchNorm

Variant = Literal["paper", "wide", "with_features", "distant"]
REFERENCE_SIDE = 64  # heatmap pixels, of the maps that the dilations below are stated for
WIDE_DILATIONS = (2, 4, 8)


class AssociationInputs(NamedTuple):
    """What KA-Net reads of a batch for one triple."""

    features: jax.Array  # (B, h, w, C), of the frozen extractor
    maps: jax.Array  # (B, h, w, 2) float32, a Gaussian of peak 1 at each of the two new keypoints
    points: jax.Array  # (B, 2, 2) float32, the same keypoints as (x, y) in heatmap pixels


def products(features: jax.Array, maps: jax.Array) -> jax.Array:
    """F ⊙ h of every map, side by side: (B, h, w, C) and (B, h, w, n) to (B, h, w, n C). Zero outside the Gaussians."""
    maps = maps.astype(features.dtype)
    return (maps[..., :, None] * features[..., None, :]).reshape(*features.shape[:-1], -1)


class AssociationNetwork(nn.Module):
    """The heatmap of an old keypoint (B, h, w, 1) float32 from `AssociationInputs`, by a few 3x3 convolutions.

    variant: "paper", two convolutions with BatchNorm and ReLU and one to the map. "wide", three dilated ones, so that
        an old keypoint further away is within `reach`, and a 1x1 convolution to the map. "with_features", "paper" with
        the features themselves beside the products.
    inputs: 2, or 1 where steps introduce a single new keypoint: only the first map is read then.
    All layers have as many channels as the features. Parameters: `conv1`, `bn1`, ..., `output`.
    """

    variant: Literal["paper", "wide", "with_features"] = "paper"
    inputs: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs: AssociationInputs, train: bool) -> jax.Array:
        features = inputs.features.astype(self.dtype)
        width, side = features.shape[-1], min(features.shape[1:3])
        x = products(features, inputs.maps[..., :self.inputs])
        if self.variant == "with_features":
            x = jnp.concatenate([x, features], axis=-1)
        for number, dilation in enumerate(_dilations(self.variant, side), start=1):
            x = DilatedConvolution(width, dilation, self.dtype, name=f"conv{number}")(x)
            x = nn.relu(BatchNorm(name=f"bn{number}")(x, train))
        kernel_size = 1 if self.variant == "wide" else 3
        return Convolution(1, kernel_size, use_bias=True, kernel_init=small_normal, name="output")(
            x.astype(jnp.float32))


class DilatedConvolution(nn.Module):
    """A 3x3 convolution whose taps are `dilation` pixels apart; the size stays. Parameter `kernel` (3, 3, in, out)."""

    width: int
    dilation: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", he_normal, (3, 3, x.shape[-1], self.width), jnp.float32)
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype), kernel.astype(self.dtype), (1, 1), [(self.dilation, self.dilation)] * 2,
            rhs_dilation=(self.dilation, self.dilation), dimension_numbers=("NHWC", "HWIO", "NHWC"))


def association_network(
    variant: Variant = "paper", *, inputs: int = 2, dtype: jnp.dtype = jnp.float32
) -> nn.Module:
    """The KA-Net of a variant, see `AssociationNetwork`.

    "with_features" warns: the old model's map is a 1x1 convolution of its features, so that a network which sees them
    learns to copy it and associates nothing. Raises ValueError for an unknown variant or a number of inputs not 1 or 2.
    """
    if variant not in ("paper", "wide", "with_features"):
        raise ValueError(f"association network: variant is paper, wide, with_features or distant, got {variant!r}")
    if inputs not in (1, 2):
        raise ValueError(f"association network: one or two new keypoints can be read, got {inputs}")
    if variant == "with_features":
        warnings.warn("association network: with_features sees what its teacher's map is made of and will copy it; "
                      "use it for comparison only", stacklevel=2)
    return AssociationNetwork(variant, inputs, dtype)


def reach(variant: Variant, map_side: int, support: float = 6.0) -> float:
    """How far from a new keypoint, along each axis, KA-Net can tell one cell from another; in heatmap pixels.

    map_side: the shorter side of the maps. support: half the side of the Gaussians' square, 3 sigma of 2 px. Further
    away the products are zero under the whole receptive field, and the answer is one constant. Infinite for variants
    that see the whole picture.
    """
    if variant in ("with_features", "distant"):
        return math.inf
    last = 0 if variant == "wide" else 1
    return support + sum(_dilations(variant, map_side)) + last


def _dilations(variant: Variant, side: int) -> tuple[int, ...]:
    """Of the 3x3 convolutions that BatchNorm and ReLU follow: a "wide" network reaches the same share of any map."""
    if variant != "wide":
        return (1, 1)
    return tuple(max(1, math.floor(dilation * side / REFERENCE_SIDE + 0.5)) for dilation in WIDE_DILATIONS)
