"""A heatmap network in three parts, which methods use one by one."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models.convolution import Convolution
from kpjax.models.normalization import BatchNorm


class KeypointNetwork(nn.Module):
    """backbone -> upsampling -> head: normalised images (B, H, W, 3) to heatmaps (B, h, w, K) in float32.

    The parts are modules whose `__call__` takes `train` last; parameters and statistics are stored under the three
    names. The backbone returns a tuple of feature maps from fine to coarse; the last is the deepest. `upsampling` turns
    that tuple into one feature map of the heatmaps' size, which the head reads. A method that needs another head beside
    the network's own applies `network.head` to parameters that it keeps itself.
    A head that predicts coarser heatmaps too has a method `coarse(backbone_features, train)` that returns them.

    Every method below is reached through `apply(variables, ..., train, method="features")`.
    """

    backbone: nn.Module
    upsampling: nn.Module
    head: nn.Module

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        if self.is_initializing():  # all parameters are drawn, also those of heatmaps that only a loss reads
            return self.all_heatmaps(images, train)[-1]
        return self.regress(self.features(images, train), train)

    def all_heatmaps(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        """Every heatmap that the network predicts, all (B, h, w, K) float32, for losses that supervise them too.

        In the order in which they are predicted; the last are those of `__call__`, and most networks have no others.
        """
        maps = self.backbone_features(images, train)
        coarse = self.head.coarse(maps, train) if hasattr(self.head, "coarse") else ()
        return (*coarse, self.regress(self.upsample(maps, train), train))

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """What the head reads, (B, h, w, C) in the compute dtype."""
        return self.upsample(self.backbone_features(images, train), train)

    def backbone_features(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        """The backbone's feature maps, from fine to coarse."""
        return self.backbone(images, train)

    def upsample(self, backbone_features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        """The backbone's features brought to the heatmaps' size."""
        return self.upsampling(backbone_features, train)

    def regress(self, features: jax.Array, train: bool) -> jax.Array:
        """Heatmaps (B, h, w, K) float32, not normalised."""
        return self.head(features, train)


# Heads: from a feature map to one heatmap for each keypoint


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
