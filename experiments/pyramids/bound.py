"""The supervised bound: the pyramid's finest keypoint encoder, trained on the joints themselves."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax import geometry
from kpjax.heatmaps import Codec, spatial_softmax
from kpjax.models.image_generation import normalised_points
from kpjax.models.pyramid import KeypointLevels
from kpjax.structures import Example


class FinestHeatmaps(nn.Module):
    """Normalised images (B, H, W, 3) to the logits (B, h, w, K) float32 of the finest level."""

    keypoints: KeypointLevels

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.keypoints(images, train).heatmaps[-1]


def point_codec(side: int, cells: int) -> Codec:
    """Joints as normalised points (B, K, 2), the centres of the first and the last pixel at -1 and 1, and back from
    the heatmaps whose mean positions they are; scores are the highest probabilities. cells: of a heatmap's side."""
    last = side - 1

    def encode(example: Example) -> tuple[jax.Array, jax.Array]:
        return example.keypoints * (2 / last) - 1, example.visible

    def decode(heatmaps: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (normalised_points(heatmaps) + 1) * (last / 2), spatial_softmax(heatmaps).max((1, 2))

    return Codec(encode, decode, geometry.scaling((cells - 1) / last))


def point_mse(heatmaps: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
    """The mean squared error of the visible normalised coordinates."""
    squares = jnp.square(normalised_points(heatmaps) - points).sum(-1)
    return (squares * visible).sum() / (2 * jnp.maximum(visible.sum(), 1))
