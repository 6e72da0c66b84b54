"""The small networks beside a heatmap network that tell which keypoint a feature belongs to (Moskvyak et al. 2021)."""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn


class KeypointFeatures(nn.Module):
    """Feature maps of several sizes to one map of `width` channels: resized, concatenated, a 1x1 convolution with bias.

    Maps (B, h_i, w_i, C_i) and a size (h, w) to (B, h, w, width) float32. Resizing is bilinear with half-pixel centres.
    Parameters `kernel` (sum of C_i, width) and `bias` (width,): 22,592 for the 352 channels of HRNet-W32.

    A convolution of one pixel and a resizing may change places: here every map is convolved at its own size, with its
    own rows of the kernel, and `width` channels are resized, so that the wide concatenation is never made.
    """

    width: int = 64

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], size: tuple[int, int]) -> jax.Array:
        channels = sum(each.shape[-1] for each in maps)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (channels, self.width), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), jnp.float32)
        of_size: dict[tuple[int, int], jax.Array] = {}
        first_row = 0
        for each in maps:
            rows = kernel[first_row:first_row + each.shape[-1]].astype(each.dtype)
            first_row += each.shape[-1]
            part = jnp.dot(each, rows, preferred_element_type=jnp.float32)
            of_size[each.shape[1:3]] = of_size.get(each.shape[1:3], jnp.float32(0)) + part
        resized = [
            jax.image.resize(part, (part.shape[0], *size, self.width), "bilinear", antialias=False)
            for part in of_size.values()]
        return sum(resized) + bias.reshape(1, 1, 1, -1)


class KeypointClassifier(nn.Module):
    """Representations (B, K, C) to logits (B, K, keypoints): one dense layer, shared by all keypoints."""

    keypoints: int

    @nn.compact
    def __call__(self, representations: jax.Array) -> jax.Array:
        return nn.Dense(self.keypoints, name="dense")(representations.astype(jnp.float32))
