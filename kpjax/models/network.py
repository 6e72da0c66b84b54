"""A heatmap network in three parts, which methods use one by one, its usual head, and checks of its
options.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import BatchNorm, Convolution

small_normal = nn.initializers.normal(0.001)
COARSEST_STRIDE = 32  # coarsest stride of the published networks


class KeypointNetwork(nn.Module):
    """backbone -> upsampling -> head: normalised images (B, H, W, 3) to heatmaps (B, h, w, K) in
    float32.

    The parts are modules whose `__call__` takes `train` last; parameters and statistics are stored
    under the three names. The backbone returns a tuple of feature maps from fine to coarse; the
    last is the deepest. `upsampling` turns that tuple into one feature map of the heatmaps' size,
    which the head reads. A method that needs a second head applies `network.head` to parameters
    that it keeps itself. A head that also predicts coarser heatmaps returns them from a method
    `coarse(backbone_features, train)`.

    frozen_statistics: whether the backbone's BatchNorm keeps its statistics and normalises by them
        in training too, as suits pretrained weights and small batches.

    Every method below is reached through `apply(variables, ..., train, method="features")`.
    """

    backbone: nn.Module
    upsampling: nn.Module
    head: nn.Module
    frozen_statistics: bool = False

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """Returns the heatmaps (B, h, w, K) float32."""
        # the parameters of heatmaps that only a loss reads are drawn too
        if self.is_initializing():
            return self.all_heatmaps(images, train)[-1]
        return self.regress(self.features(images, train), train)

    def all_heatmaps(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        """Returns every heatmap predicted, all (B, h, w, K) float32, for losses that supervise all.

        They are in order of prediction. The last are those of `__call__`; most networks have no
        others.
        """
        maps = self.backbone_features(images, train)
        coarse = self.head.coarse(maps, train) if hasattr(self.head, "coarse") else ()
        return (*coarse, self.regress(self.upsample(maps, train), train))

    def features(self, images: jax.Array, train: bool) -> jax.Array:
        """Returns the features that the head reads, (B, h, w, C) in the compute dtype."""
        return self.upsample(self.backbone_features(images, train), train)

    def backbone_features(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        """Returns the backbone's feature maps, from fine to coarse."""
        return self.backbone(images, train and not self.frozen_statistics)

    def upsample(self, backbone_features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        """Brings the backbone's features to the heatmaps' size."""
        return self.upsampling(backbone_features, train)

    def regress(self, features: jax.Array, train: bool) -> jax.Array:
        """Returns heatmaps (B, h, w, K) float32, not normalised."""
        return self.head(features, train)


class FeatureMaps(nn.Module):
    """A backbone as a fixed function of normalised images: its feature maps from fine to coarse,
    for perceptual losses.

    It is called as `kpjax.models.vgg.VGG` is. Variables are stored under `backbone`, as
    `load_backbone` fills them.
    """

    backbone: nn.Module

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, ...]:
        return self.backbone(images, False)


class HeatmapHead(nn.Module):
    """`layers` - 1 times [3x3 convolution, BatchNorm, ReLU], then a 1x1 convolution to `keypoints`
    channels.

    Features (B, h, w, C) to heatmaps (B, h, w, keypoints) float32 without an activation: the logits
    of a spatial softmax, or the heatmaps themselves. `width` is the number of channels between the
    layers. All convolutions have a bias that starts at zero. The default weights are N(0, 0.001²)
    in all layers, as in RegDA and SimpleBaseline: an untrained head predicts heatmaps near zero.
    The last convolution computes in float32 whatever `dtype` is: in bfloat16, the cells around a
    peak would tie. Parameters: `conv1`, `bn1`, ... for the hidden layers, `output` for the last.
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
                self.width,
                use_bias=True,
                kernel_init=self.hidden_init,
                dtype=self.dtype,
                name=f"conv{layer}",
            )(x)
            x = nn.relu(BatchNorm(name=f"bn{layer}")(x, train))
        output = Convolution(
            self.keypoints,
            kernel_size=1,
            use_bias=True,
            kernel_init=self.output_init,
            name="output",
        )
        return output(x)


# Checks of the options of a network


def check_options(options: Any, *at_least_one: str) -> None:
    """Raises InputError for an unknown dtype, or a field (or one of its numbers) of `at_least_one`
    below 1.
    """
    for name in at_least_one:
        value = getattr(options, name)
        if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
            raise InputError(name, f"{value}; must be at least 1")
    if options.dtype not in ("float32", "bfloat16"):
        raise InputError("dtype", f"{options.dtype!r} is unknown; give float32 or bfloat16")


def check_sizes(
    name: str,
    image_size: int,
    heatmap_size: int,
    *,
    strides: tuple[int, ...] = (4,),
    multiple: int = 1,
) -> None:
    """Raises InputError unless `multiple` divides images and heatmaps have one of the strides;
    sides in px.
    """
    if image_size % multiple:
        raise InputError(
            "image_size",
            f"{image_size}; {name} needs a multiple of {multiple}, such as "
            f"{max(round(image_size / multiple), 1) * multiple}",
        )
    if image_size not in [stride * heatmap_size for stride in strides]:
        raise InputError(
            "heatmap_size",
            f"{heatmap_size} for images of {image_size} px; the heatmaps of {name} are "
            f"{' or '.join(map(str, strides))} times smaller than its images",
        )


def check_stride(name: str, stride: int) -> None:
    """Raises InputError for a network of stride 4 that is asked for another."""
    if stride != 4:
        raise InputError(
            "stride", f"{stride}; the heatmaps of {name} are 4 times smaller than its images"
        )


class StrideFourOptions:
    """The shared part of options of networks with heatmaps of stride 4 whose coarsest maps have
    stride 32.
    """

    def check(self, image_size: int, heatmap_size: int) -> None:
        """Raises InputError for sides, in pixels, that the network cannot have."""
        check_sizes(self.name, image_size, heatmap_size, multiple=COARSEST_STRIDE)

    def build(self, keypoints: int, *, stride: int = 4) -> KeypointNetwork:
        """Builds the network. stride: of the heatmaps, always 4."""
        check_stride(self.name, stride)
        return self._network(keypoints)
