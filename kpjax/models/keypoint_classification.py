"""Networks that classify the keypoint that a feature belongs to, beside a heatmap network (Moskvyak
et al. 2021).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn


class KeypointFeatures(nn.Module):
    """Feature maps of several sizes to one map of `width` channels: resized, concatenated, a 1x1
    convolution with bias.

    Maps (B, h_i, w_i, C_i) and a size (h, w) to (B, h, w, width) float32. Resizing is bilinear with
    half-pixel centres. Parameters `kernel` (sum of C_i, width) and `bias` (width,): 22,592 for the
    352 channels of HRNet-W32.

    A 1x1 convolution and a resizing commute. Every map therefore has its own rows of the kernel and
    is convolved at the smaller of the two sizes. The wide concatenation is never made.

    one_scale: divides each map by its root mean square over the batch, held constant in the
    gradient. The stages of a pretrained backbone differ a thousandfold, and the largest would be
    all that is read.
    """

    width: int = 64
    one_scale: bool = False

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], size: tuple[int, int]) -> jax.Array:
        channels = sum(each.shape[-1] for each in maps)
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (channels, self.width), jnp.float32
        )
        bias = self.param("bias", nn.initializers.zeros, (self.width,), jnp.float32)
        convolved: dict[tuple[int, int], jax.Array] = {}
        first_row = 0
        for each in maps:
            rows = kernel[first_row : first_row + each.shape[-1]]
            first_row += each.shape[-1]
            if each.shape[1] > size[0]:
                each = resize_bilinear(each, size)
            if self.one_scale:
                constant = jax.lax.stop_gradient(each).astype(jnp.float32)
                mean_square = jnp.square(constant).mean()
                rows = rows * jax.lax.rsqrt(mean_square + 1e-12)
            here = each.shape[1:3]
            before = convolved.get(here, jnp.float32(0))
            convolved[here] = before + pixelwise_dot(each, rows)
        features = sum(resize_bilinear(each, size) for each in convolved.values())
        return features + bias.reshape(1, 1, 1, -1)


def pixelwise_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes a 1x1 convolution (B, h, w, in) by (in, out), multiplied in the dtype of `x` and
    summed in float32.
    """
    channels_in, channels_out = kernel.shape
    pixels = x.reshape(-1, channels_in)
    kernel = kernel.astype(x.dtype)
    flat = jnp.dot(pixels, kernel, preferred_element_type=jnp.float32)
    return flat.reshape(*x.shape[:3], channels_out)


def resize_bilinear(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes (B, h, w, C): bilinear, half-pixel centres, no smoothing before shrinking."""
    shape = (x.shape[0], *size, x.shape[-1])
    return jax.image.resize(x, shape, "bilinear", antialias=False)


class KeypointClassifier(nn.Module):
    """Representations (B, K, C) to logits (B, K, keypoints): one dense layer, shared by all
    keypoints.
    """

    keypoints: int

    @nn.compact
    def __call__(self, representations: jax.Array) -> jax.Array:
        return nn.Dense(self.keypoints, name="dense")(representations.astype(jnp.float32))
