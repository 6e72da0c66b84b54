"""ViT: a plain Vision Transformer, two transposed convolutions and a 1x1 convolution, as ViTPose.

"An Image is Worth 16x16 Words" (Dosovitskiy et al. 2021) and "ViTPose: Simple Vision Transformer
Baselines for Human Pose Estimation" (Xu et al. 2022). Layer names are timm's, with `blocks_0` for
`blocks.0`, so that published weights fit (`kpjax.models.weights`), also those of DINOv2 with layer
scale and registers.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import uniform_fan_in
from kpjax.models.network import (
    HeatmapHead,
    KeypointNetwork,
    StrideFourOptions,
    check_options,
    check_sizes,
)
from kpjax.models.resnet import Deconvolutions

SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
PATCH = 16  # px, of heatmaps with stride 4
EPSILON = 1e-6
INITIAL_SCALE = 1e-5  # of a layer scale
wide_normal = nn.initializers.normal(0.02)
narrow_normal = nn.initializers.normal(1e-6)


# Layers


class PatchEmbedding(nn.Module):
    """A convolution of patches side by side, as one dot: images (B, H, W, 3) to (B, H / p, W / p,
    width) in `dtype`.
    """

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        batch, height, width, channels = images.shape
        rows, columns = height // PATCH, width // PATCH
        patches = images.reshape(batch, rows, PATCH, columns, PATCH, channels).transpose(
            0, 1, 3, 2, 4, 5
        )
        return nn.DenseGeneral(
            self.width, axis=(-3, -2, -1), kernel_init=uniform_fan_in, dtype=self.dtype, name="proj"
        )(patches)


class SelfAttention(nn.Module):
    """Attention of tokens (B, N, C) to each other in `heads` subspaces, its softmax in float32: (B,
    N, C).
    """

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, tokens, width = x.shape
        qkv = _dense(3 * width, self.dtype, "qkv")(x).reshape(
            batch, tokens, 3, self.heads, width // self.heads
        )
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        # Not `jax.nn.dot_product_attention`, which raises for bfloat16 under strict dtype
        # promotion.
        logits = jnp.einsum("bnhd,bmhd->bhnm", query, key, preferred_element_type=jnp.float32)
        shares = nn.softmax(logits * (width // self.heads) ** -0.5).astype(self.dtype)
        y = jnp.einsum("bhnm,bmhd->bnhd", shares, value)
        return _dense(width, self.dtype, "proj")(y.reshape(x.shape))


class Perceptron(nn.Module):
    """Two dense layers with four times the width and an exact GELU between them: (B, N, C) to the
    same.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x = nn.gelu(_dense(4 * width, self.dtype, "fc1")(x), approximate=False)
        return _dense(width, self.dtype, "fc2")(x)


class LayerScale(nn.Module):
    """A learned factor for each channel (Touvron et al. 2021)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gamma = self.param(
            "gamma", nn.initializers.constant(INITIAL_SCALE), x.shape[-1:], jnp.float32
        )
        return x * gamma.astype(x.dtype).reshape(1, 1, -1)


class TransformerBlock(nn.Module):
    """Attention, then a perceptron, each normalised before and beside a shortcut: tokens (B, N, C)
    to the same.
    """

    heads: int
    layer_scale: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def scaled(y: jax.Array, number: int) -> jax.Array:
            return LayerScale(name=f"ls{number}")(y) if self.layer_scale else y

        x = x + scaled(
            SelfAttention(self.heads, self.dtype, name="attn")(_normalised(x, "norm1")), 1
        )
        return x + scaled(Perceptron(self.dtype, name="mlp")(_normalised(x, "norm2")), 2)


def _dense(width: int, dtype: jnp.dtype, name: str) -> nn.Dense:
    return nn.Dense(width, kernel_init=wide_normal, dtype=dtype, name=name)


def _normalised(x: jax.Array, name: str) -> jax.Array:
    """Applies a LayerNorm of the module that calls this, in float32; the result has the dtype of
    the input.
    """
    return nn.LayerNorm(EPSILON, use_fast_variance=False, name=name)(x.astype(jnp.float32)).astype(
        x.dtype
    )


# The trunk


class VisionTransformer(nn.Module):
    """A ViT without its classifier: normalised images (B, H, W, 3) to feature maps (B, H / p, W /
    p, width).

    The maps are the patches' tokens after a quarter, a half and three quarters of the blocks, and
    those after the last block and the final normalisation; fewer maps below a depth of four. Such
    taps are usual for dense prediction (Ranftl et al. 2021). `train` changes nothing: there is
    neither dropout nor BatchNorm.

    Position embeddings belong to the square grid of the images at `init`. Images of other sides,
    multiples of p, 16 px, have them resized at every call.

    layer_scale: a learned factor for each channel after both parts of a block, as in DINOv2.
    registers: further tokens that belong to no patch (Darcet et al. 2024); 4 in DINOv2, else 0.
        With them, as in timm, the class token has no position embedding.
    rematerialise: each block keeps its input only and is computed again in the backward pass.

    Weights start as timm's. Raises ValueError for others than squares at `init`.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    layer_scale: bool = False
    registers: int = 0
    rematerialise: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        del train
        x = PatchEmbedding(self.width, self.dtype, name="patch_embed")(images)
        batch, *grid, _ = x.shape
        with_place = int(not self.registers)  # tokens before the patches that have a position
        positions = self._positions(tuple(grid), with_place)
        token = self.param("cls_token", narrow_normal, (1, 1, self.width), jnp.float32)
        before = [token + positions[:, :1] if with_place else token]
        if self.registers:
            before.append(
                self.param("reg_token", narrow_normal, (1, self.registers, self.width), jnp.float32)
            )
        before = [
            jnp.broadcast_to(token.astype(self.dtype), (batch, *token.shape[1:]))
            for token in before
        ]
        x = x.reshape(batch, -1, self.width) + positions[:, with_place:].astype(self.dtype)
        x = jnp.concatenate([*before, x], axis=1)

        def map_of(x: jax.Array) -> jax.Array:
            return x[:, -math.prod(grid) :].reshape(batch, *grid, self.width)

        block = nn.remat(TransformerBlock) if self.rematerialise else TransformerBlock
        tapped = {self.depth * quarter // 4 for quarter in (1, 2, 3)}
        features = []
        for number in range(self.depth):
            x = block(self.heads, self.layer_scale, self.dtype, name=f"blocks_{number}")(x)
            if number + 1 in tapped:
                features.append(map_of(x))
        return (*features, map_of(_normalised(x, "norm")))

    def _positions(self, grid: tuple[int, int], with_place: int) -> jax.Array:
        """Returns the position embeddings, (1, with_place + h * w, width) float32, resized if need
        be.
        """
        # not `param`, which would refuse those of another grid
        if self.has_variable("params", "pos_embed"):
            stored = self.get_variable("params", "pos_embed")
        elif grid[0] != grid[1]:
            raise ValueError(
                f"ViT: init with square images, whose grid of patches the position embeddings keep; got a "
                f"grid of {grid}"
            )
        else:
            stored = self.param(
                "pos_embed", wide_normal, (1, with_place + math.prod(grid), self.width), jnp.float32
            )
        return resize_positions(stored, grid, before=with_place)


def resize_positions(embeddings: jax.Array, grid: tuple[int, int], *, before: int) -> jax.Array:
    """Resizes position embeddings (1, before + n * n, C) to (1, before + h * w, C), as timm's
    `resample_abs_pos_embed`.

    Bicubic, with antialiasing where the grid shrinks. Those of the same grid are returned as they
    are. DINOv2's own code enlarges by a slightly other factor (`interpolate_offset`); here, as in
    timm, edges lie on edges.

    Args:
        embeddings: of a square grid.
        grid: (h, w).
        before: number of tokens before the patches, which keep their embeddings.
    """
    side, width = math.isqrt(embeddings.shape[1] - before), embeddings.shape[-1]
    if grid == (side, side):
        return embeddings
    old = embeddings[:, before:].reshape(1, side, side, width)
    new = jax.image.resize(old, (1, *grid, width), "bicubic").reshape(1, math.prod(grid), width)
    return jnp.concatenate([embeddings[:, :before], new], axis=1)


# The network


def vit(
    keypoints: int,
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    layer_scale: bool = False,
    registers: int = 0,
    rematerialise: bool = False,
    upsampling_width: int = 256,
    head_layers: int = 1,
    dtype: jnp.dtype = jnp.float32,
) -> KeypointNetwork:
    """Builds ViT with ViTPose's classic decoder: images (B, H, W, 3) to heatmaps (B, H / 4, W / 4,
    keypoints) float32.

    H and W are multiples of 16. A laptop trains `vit(16, width=64, depth=4, heads=2,
    upsampling_width=64)`. See `VisionTransformer` for the trunk.

    Args:
        width: with `depth` and `heads`, those of `SIZES` are published.
        upsampling_width: channels of the two transposed convolutions, and between layers of the
            head.
        head_layers: 1 (as published) or 2.
        dtype: of the computation; parameters and statistics are float32.
    """
    return KeypointNetwork(
        backbone=VisionTransformer(
            width, depth, heads, layer_scale, registers, rematerialise, dtype
        ),
        upsampling=Deconvolutions(2, upsampling_width, dtype=dtype),
        head=HeatmapHead(keypoints, head_layers, upsampling_width, dtype=dtype),
    )


@dataclass(frozen=True)
class ViT(StrideFourOptions):
    """The options of `vit`.

    DINOv2's weights need `layer_scale`, and `registers` 4 where their name has `reg4`.
    """

    name: ClassVar[str] = "vit"

    #: of the trunk: 6, 22, 86 or 303 million parameters
    vit_size: Literal["tiny", "small", "base", "large"] = "base"
    layer_scale: bool = False  # a learned factor for each channel in a block, as in DINOv2
    registers: Literal[0, 4] = 0  # further tokens that belong to no patch
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False
    head_layers: int = 1  # convolutions of the head
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        if self.vit_size not in SIZES:
            raise InputError(
                "vit_size", f"{self.vit_size!r} is unknown; there are {', '.join(SIZES)}"
            )
        if self.registers not in (0, 4):
            raise InputError("registers", f"{self.registers}; vit has 0 or 4")
        check_options(self, "head_layers")

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        check_sizes(self.name, image_size, heatmap_size, multiple=PATCH)

    def _network(self, keypoints: int) -> KeypointNetwork:
        width, depth, heads = SIZES[self.vit_size]
        return vit(
            keypoints,
            width=width,
            depth=depth,
            heads=heads,
            layer_scale=self.layer_scale,
            registers=self.registers,
            rematerialise=self.rematerialise,
            head_layers=self.head_layers,
            dtype=jnp.dtype(self.dtype),
        )
