"""Heads: from a feature map to one heatmap for each keypoint."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution
from kpjax.models.normalization import BatchNorm

small_normal = nn.initializers.normal(0.001)


class HeatmapHead(nn.Module):
    """`layers` - 1 times [3x3 convolution, BatchNorm, ReLU], then a 1x1 convolution to `keypoints` channels.

    Features (B, h, w, C) to heatmaps (B, h, w, keypoints) float32 without an activation: the logits of a spatial
    softmax, or the heatmaps themselves. `width` is the number of channels between the layers. All convolutions have a
    bias that starts at zero. With the default weights, N(0, 0.001²) in all layers (RegDA's and SimpleBaseline's), an
    untrained head gives heatmaps that are nearly zero. The last convolution computes in float32 whatever `dtype` is:
    rounded to bfloat16, the cells around a peak would tie.
    Parameters: `conv1`, `bn1`, ... for the hidden layers, `output` for the last.
    """

    keypoints: int
    layers: int = 1
    width: int = 256
    hidden_init: nn.initializers.Initializer = small_normal
    output_init: nn.initializers.Initializer = small_normal
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        x = features
        for layer in range(1, self.layers):
            x = Convolution(
                self.width, use_bias=True, kernel_init=self.hidden_init, dtype=self.dtype, name=f"conv{layer}")(x)
            x = nn.relu(BatchNorm(name=f"bn{layer}")(x, train))
        output = Convolution(
            self.keypoints, kernel_size=1, use_bias=True, kernel_init=self.output_init, name="output")
        return output(x)
