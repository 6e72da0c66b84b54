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

Variant = Literal["paper", "wide", "with_features", "distant"]
REFERENCE_SIDE = 64  # of the maps for which the dilations below are stated, in heatmap pixels
WIDE_DILATIONS = (2, 4, 8)
COARSE_CELLS = 8  # of the distant variant's grid of the image, along each axis
TOKEN, HEADS, LAYERS = 64, 4, 2  # channels of a token of the distant variant, and its attention
FREQUENCIES = 6  # octaves of sines and cosines that encode a position


class AssociationInputs(NamedTuple):
    """Inputs of KA-Net: one triple in a batch."""

    features: jax.Array  # (B, h, w, C), of the frozen extractor
    maps: jax.Array  # (B, h, w, 2) float32, a Gaussian of peak 1 at each of the two new keypoints, or an empty map
    points: jax.Array  # (B, 2, 2) float32, the same keypoints as (x, y) in heatmap pixels


def products(features: jax.Array, maps: jax.Array) -> jax.Array:
    """Computes F ⊙ h, concatenated: (B, h, w, C), (B, h, w, n) to (B, h, w, n C), zero outside the Gaussians."""
    maps = maps.astype(features.dtype)
    return (maps[..., :, None] * features[..., None, :]).reshape(*features.shape[:-1], -1)


def input_windows(inputs: AssociationInputs, sigma: float | None) -> jax.Array:
    """Returns the maps (B, h, w, 2) through which KA-Net sees the features; those of empty maps stay empty.

    sigma: of Gaussians of its own, in heatmap pixels, cut off at 3 sigma; None takes the maps as they are. On small
        maps a target's Gaussian covers the old keypoint beside it: KA-Net then sees the features from which its
        teacher has read the target, and copies it.
    """
    if sigma is None:
        return inputs.maps
    present = inputs.maps.max((1, 2), keepdims=True) > 0
    return jnp.where(present, gaussian_bumps(inputs.points, inputs.features.shape[1:3], sigma), 0.0)


class AssociationNetwork(nn.Module):
    """The heatmap of an old keypoint (B, h, w, 1) float32 from `AssociationInputs`, by a few 3x3 convolutions.

    variant: "paper", two convolutions with BatchNorm and ReLU and one to the map. "wide", three dilated ones, so that a
        more distant old keypoint is within `reach`, and a 1x1 convolution to the map. "with_features", "paper" with the
        features themselves beside the products.
    inputs: 2, or 1 where steps introduce a single new keypoint: only the first map is read then.
    input_sigma: of the Gaussians that let features through, see `input_windows`.

    All layers have as many channels as the features. Parameters: `conv1`, `bn1`, ..., `output`.
    """

    variant: Literal["paper", "wide", "with_features"] = "paper"
    inputs: int = 2
    dtype: jnp.dtype = jnp.float32
    input_sigma: float | None = None

    @nn.compact
    def __call__(self, inputs: AssociationInputs, train: bool) -> jax.Array:
        features = inputs.features.astype(self.dtype)
        width, side = features.shape[-1], min(features.shape[1:3])
        x = products(features, input_windows(inputs, self.input_sigma)[..., :self.inputs])
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


class DistantAssociationNetwork(nn.Module):
    """The heatmap of an old keypoint (B, h, w, 1) float32 from `AssociationInputs`, at any distance from the new ones.

    Each new keypoint is a token, made of its position and the features bilinearly sampled there. Further tokens are the
    features pooled on a grid of 8 x 8 cells (or of the largest number up to 8 that divides a side). The cells of the
    map's own grid attend to all tokens in two layers of cross-attention, and each predicts its patch of the map.

    inputs: 2, or 1 where steps introduce a single new keypoint.
    Everything is in float32.
    """

    inputs: int = 2

    @nn.compact
    def __call__(self, inputs: AssociationInputs, train: bool) -> jax.Array:
        del train
        features, points = inputs.features.astype(jnp.float32), inputs.points[:, :self.inputs]
        batch, height, width, _ = features.shape
        rows, columns = _cells(height), _cells(width)
        patch = (height // rows, width // columns)
        pooled = features.reshape(batch, rows, patch[0], columns, patch[1], -1).mean((2, 4))
        pooled = pooled.reshape(batch, rows * columns, -1)
        sides = jnp.array([width, height], jnp.float32)
        places = _encoded((points + 0.5) / sides[None, None])
        cells = _encoded(_cell_centres(rows, columns))[None]
        of_cells = jnp.broadcast_to(cells, (batch, *cells.shape[1:]))
        context = jnp.concatenate([
            nn.Dense(TOKEN, name="points")(jnp.concatenate([places, _sampled(features, points)], -1)),
            nn.Dense(TOKEN, name="picture")(jnp.concatenate([of_cells, pooled], -1))], axis=1)
        x = nn.Dense(TOKEN, name="cells")(of_cells)
        for number in range(1, LAYERS + 1):
            normed = nn.LayerNorm(name=f"norm{number}")(x)
            x = x + CrossAttention(HEADS, name=f"attention{number}")(normed, context)
            normed = nn.LayerNorm(name=f"norm_hidden{number}")(x)
            hidden = nn.relu(nn.Dense(2 * TOKEN, name=f"hidden{number}")(normed))
            x = x + nn.Dense(TOKEN, name=f"out{number}")(hidden)
        x = nn.Dense(patch[0] * patch[1], kernel_init=small_normal, name="output")(x)
        x = x.reshape(batch, rows, columns, *patch).transpose(0, 1, 3, 2, 4)
        return x.reshape(batch, height, width, 1)


class CrossAttention(nn.Module):
    """Attention of queries (B, n, D) to a context (B, m, D) in `heads` subspaces (Vaswani et al. 2017): (B, n, D)."""

    heads: int

    @nn.compact
    def __call__(self, queries: jax.Array, context: jax.Array) -> jax.Array:
        width = queries.shape[-1]

        def projected(tokens, name):
            return nn.Dense(width, name=name)(tokens).reshape(*tokens.shape[:2], self.heads, width // self.heads)

        query, key, value = projected(queries, "query"), projected(context, "key"), projected(context, "value")
        scores = jnp.einsum("bnhd,bmhd->bhnm", query, key) / math.sqrt(width // self.heads)
        found = jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores, axis=-1), value)
        return nn.Dense(width, name="output")(found.reshape(queries.shape))


def _cells(side: int) -> int:
    """Returns the largest number up to COARSE_CELLS that divides a side."""
    return max(count for count in range(1, COARSE_CELLS + 1) if side % count == 0)


def _cell_centres(rows: int, columns: int) -> jax.Array:
    """Returns (rows * columns, 2) float32, (x, y) in [0, 1], in reading order."""
    y, x = jnp.meshgrid(*((jnp.arange(count, dtype=jnp.float32) + 0.5) / count for count in (rows, columns)),
                        indexing="ij")
    return jnp.stack([x, y], -1).reshape(-1, 2)


def _encoded(places: jax.Array) -> jax.Array:
    """Encodes positions in [0, 1] as sines and cosines of octaves: (..., 2) to (..., 4 FREQUENCIES)."""
    octaves = math.pi * 2.0 ** jnp.arange(FREQUENCIES, dtype=jnp.float32)
    angles = (places[..., None] * octaves.reshape((1,) * places.ndim + (-1,))).reshape(*places.shape[:-1], -1)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def _sampled(features: jax.Array, points: jax.Array) -> jax.Array:
    """Samples features (B, h, w, C) bilinearly at points (B, n, 2), (x, y), as (B, n, C), with the border repeated."""

    def tents(coordinate, cells):
        distance = jnp.clip(coordinate, 0, cells - 1)[..., None] - jnp.arange(cells, dtype=jnp.float32)[None, None]
        return jnp.maximum(1 - jnp.abs(distance), 0)

    rows, columns = tents(points[..., 1], features.shape[1]), tents(points[..., 0], features.shape[2])
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("bnw,bnwc->bnc", columns, jnp.einsum("bnh,bhwc->bnwc", rows, features, precision=highest),
                      precision=highest)


def association_network(
    variant: Variant = "paper", *, inputs: int = 2, dtype: jnp.dtype = jnp.float32, input_sigma: float | None = None
) -> nn.Module:
    """Builds the KA-Net of a variant: "distant" is `DistantAssociationNetwork`, which reads points and no maps, the
    others `AssociationNetwork`s.

    "with_features" warns: the old model's map is a 1x1 convolution of its features, so that a network which sees them
    learns to copy it and associates nothing.
    """
    if variant == "with_features":
        warnings.warn("association network: with_features sees the features of its teacher's map and will copy it; "
                      "use it for comparison only", stacklevel=2)
    if variant == "distant":
        return DistantAssociationNetwork(inputs)
    return AssociationNetwork(variant, inputs, dtype, input_sigma)


def reach(variant: Variant, map_side: int, support: float = 6.0) -> float:
    """Returns how far from a new keypoint KA-Net can distinguish cells, along each axis, in heatmap pixels.

    Further away the products are zero under the whole receptive field, and the answer is one constant. The reach is
    infinite for variants that see the whole image. map_side: the shorter side of the maps. support: half the side of
    the square of KA-Net's Gaussians, 3 sigma of 2 px.
    """
    if variant in ("with_features", "distant"):
        return math.inf
    last = 0 if variant == "wide" else 1
    return support + sum(_dilations(variant, map_side)) + last


def _dilations(variant: Variant, side: int) -> tuple[int, ...]:
    """Returns the dilations of the 3x3 convolutions before BatchNorm. "wide" reaches the same share of any map."""
    if variant != "wide":
        return (1, 1)
    return tuple(max(1, math.floor(dilation * side / REFERENCE_SIDE + 0.5)) for dilation in WIDE_DILATIONS)
