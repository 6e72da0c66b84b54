"""A generator of images from the appearance of one view and heatmaps of points in another.

"Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), after Johnson et al.
2016: two halvings, residual blocks, two doublings.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.layers import (
    BatchNorm,
    Convolution,
    TransposedConvolution,
    compute_once,
    uniform_fan_in,
    uniform_fan_out,
)

STRIDE = 4  # stride of the input maps


class ResidualGenerator(nn.Module):
    """images (B, H, W, 3) and maps (B, H / 4, W / 4, K) to images (B, H, W, 3) float32 between 0
    and 1.

    `images` give the appearance; geometry enters through `maps` only. H and W are multiples of 4.

    width: channels at full resolution, 32 in the released code (2,424,424 parameters for 10 maps)
        and 64 by the paper's text (9,030,824); four times as many and K are concatenated at stride
        4.
    blocks: number of residual blocks.
    dtype: of the computation.

    No convolution has a bias, and BatchNorm follows each but the last. Parameters: `conv1` to
    `conv3`, `joined_bn`, `block1_conv1` and on, `transposed_conv1` and 2, `output`.
    """

    width: int = 32
    blocks: int = 6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, maps: jax.Array, train: bool) -> jax.Array:
        def normalised(x: jax.Array, name: str) -> jax.Array:
            return BatchNorm(name=name)(x, train)

        def convolved(x: jax.Array, width: int, size: int, stride: int, name: str) -> jax.Array:
            padding = (size - 1) // 2
            return Convolution(
                width,
                size,
                stride,
                padding,
                kernel_init=uniform_fan_in,
                dtype=self.dtype,
                name=name,
            )(x)

        x = images
        for number, (factor, size, stride) in enumerate(((1, 7, 1), (2, 4, 2), (4, 4, 2)), start=1):
            x = convolved(x, factor * self.width, size, stride, f"conv{number}")
            x = nn.relu(normalised(x, f"bn{number}"))
        joined = jnp.concatenate([x, maps.astype(x.dtype)], axis=-1)
        x = normalised(joined, "joined_bn")
        width = x.shape[-1]
        for number in range(1, self.blocks + 1):
            y = nn.relu(
                normalised(convolved(x, width, 3, 1, f"block{number}_conv1"), f"block{number}_bn1")
            )
            y = convolved(y, width, 3, 1, f"block{number}_conv2")
            y = normalised(y, f"block{number}_bn2")
            x = compute_once(x + y)
        for number in (1, 2):
            width //= 2
            x = TransposedConvolution(
                width, 4, uniform_fan_out, self.dtype, name=f"transposed_conv{number}"
            )(x)
            x = nn.relu(normalised(x, f"up_bn{number}"))
        x = convolved(x, images.shape[-1], 7, 1, "output").astype(jnp.float32)
        return (jnp.tanh(x) + 1) / 2


def residual_generator_for(side: int, dtype: jnp.dtype = jnp.float32) -> ResidualGenerator:
    """Builds the released generator for sides of 128 or more; narrower and shallower below, for
    CPUs and tests.
    """
    width = min(max(side // 4, 4), 32)
    return ResidualGenerator(width, blocks=6 if side >= 128 else 2, dtype=dtype)
