"""Features of an untrained network, to compare pictures by where weights of VGG are not at hand.

Random convolutions see edges and colours, not objects: a stand-in for a demonstration, and never a reproduction of a
perceptual loss. Whoever reports a run says which of the two it had.
"""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution
from kpjax.models.vgg import max_pool_pairs

he_normal = nn.initializers.he_normal()
DESCRIPTION = "random features, a stand-in: no weights of VGG were given"


def edge_filters(key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """He's normal weights (h, w, in, out) less the mean of each filter: it answers to edges, and not to brightness.

    Without this, how much features count beside pixels would differ threefold from one draw to the next.
    """
    kernel = he_normal(key, shape, dtype)
    return kernel - kernel.mean((0, 1, 2), keepdims=True)


class RandomFeatures(nn.Module):
    """Images (B, H, W, 3) to one feature map for each width, of strides 1, 2, 4, ..., in `dtype`.

    Two 3x3 convolutions with ReLU before each tap and a 2x2 maximum between them, as VGG has them. `init` draws
    `edge_filters`; they are never trained.
    """

    widths: Sequence[int] = (16, 32, 64)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
        x, taken = images, []
        for scale, width in enumerate(self.widths, start=1):
            if scale > 1:
                x = max_pool_pairs(x)
            for number in (1, 2):
                x = nn.relu(Convolution(
                    width, kernel_init=edge_filters, dtype=self.dtype, name=f"conv{scale}_{number}")(x))
            taken.append(x)
        return tuple(taken)


def random_features(key: jax.Array, widths: Sequence[int] = (16, 32, 64)) -> tuple[RandomFeatures, dict]:
    """(network, variables) of random features, drawn from `key`. Call what reports them `DESCRIPTION`."""
    network = RandomFeatures(tuple(widths))
    return network, network.init(key, jnp.zeros((1, 2 ** len(widths), 2 ** len(widths), 3), jnp.float32))
