"""Features for perceptual losses: VGG without its classifier, and an untrained network where its
weights are missing.

VGG (Simonyan and Zisserman 2015) has no normalisation layers here. Layers are called `features_0`,
`features_2`, ... after torchvision's `features.0`, `features.2`, so that published weights fit
(`kpjax.models.weights.pretrained`).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.layers import Convolution

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # by depth, in each of five stages
WIDTHS = (64, 128, 256, 512, 512)

RELU_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # Johnson et al. 2016
# Jakab et al. 2018, called conv1_2 there
IMM_TAPS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
DESCRIPTION = "random features, a stand-in: no weights of VGG were given"
truncated_he_normal = nn.initializers.he_normal()


class VGG(nn.Module):
    """Images (B, H, W, 3) to one feature map for each tap, from fine to coarse, in `dtype`.

    depth: 16 or 19.
    taps: `relu<stage>_<convolution>`, in order of depth. A tap of stage s has stride 2 ** (s - 1);
        layers behind the last tap are not built.

    Published weights were trained on images less the mean and divided by the standard deviation of
    ImageNet; the caller prepares them.
    """

    depth: int = 16
    taps: Sequence[str] = RELU_TAPS
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
        layers = _layers(self.depth)
        known = [name for name, _, _ in layers]
        x = images
        place = 0
        taken = []
        for name, width, pooled in layers[: known.index(self.taps[-1]) + 1]:
            if pooled:
                x = max_pool_pairs(x)
                place += 1
            # In torchvision's list every convolution is followed by a ReLU, and a pool stands
            # between two stages.
            x = nn.relu(
                Convolution(width, use_bias=True, dtype=self.dtype, name=f"features_{place}")(x)
            )
            place += 2
            if name in self.taps:
                taken.append(x)
        return tuple(taken)


def _layers(depth: int) -> list[tuple[str, int, bool]]:
    """Returns the activation's name, the width, and whether a pool comes before, of every
    convolution.
    """
    return [
        (f"relu{stage}_{number}", width, stage > 1 and number == 1)
        for stage, (count, width) in enumerate(
            zip(CONVOLUTIONS[depth], WIDTHS, strict=True), start=1
        )
        for number in range(1, count + 1)
    ]


def max_pool_pairs(x: jax.Array) -> jax.Array:
    """Computes maxima of 2x2 windows: (B, H, W, C) -> (B, H // 2, W // 2, C); a last odd row or
    column is left out.

    It reshapes, since the gradient of XLA's windowed maximum is slow on CPUs. Equal values share
    the gradient.
    """
    batch, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    pairs = even.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return pairs.max((2, 4))


# A stand-in without weights


def edge_filters(key: jax.Array, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Draws He's normal weights less the mean of each filter: they respond to edges, not to
    brightness.

    Otherwise the weight of features relative to pixels would differ threefold between draws.
    """
    kernel = truncated_he_normal(key, shape, dtype)
    return kernel - kernel.mean((0, 1, 2), keepdims=True)


class RandomFeatures(nn.Module):
    """Images (B, H, W, 3) to one feature map for each width, of strides 1, 2, 4, ..., in `dtype`.

    Like VGG, it has two 3x3 convolutions with ReLU before each tap and a 2x2 maximum between taps.
    `init` draws `edge_filters`; they are never trained.
    """

    widths: Sequence[int] = (16, 32, 64)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
        x = images
        taken = []
        for scale, width in enumerate(self.widths, start=1):
            if scale > 1:
                x = max_pool_pairs(x)
            for number in (1, 2):
                x = nn.relu(
                    Convolution(
                        width,
                        kernel_init=edge_filters,
                        dtype=self.dtype,
                        name=f"conv{scale}_{number}",
                    )(x)
                )
            taken.append(x)
        return tuple(taken)


def random_features(
    key: jax.Array, widths: Sequence[int] = (16, 32, 64)
) -> tuple[RandomFeatures, dict]:
    """Returns (network, variables) of features drawn from `key`.

    Results on them should say so with `DESCRIPTION`.
    """
    network = RandomFeatures(tuple(widths))
    return network, network.init(
        key, jnp.zeros((1, 2 ** len(widths), 2 ** len(widths), 3), jnp.float32)
    )
