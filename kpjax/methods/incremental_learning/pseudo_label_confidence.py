"""Which answers of an old model to believe as pseudo-labels, without a label to check them by.

A doubt is a number for each image and keypoint, the larger the less sure. Each is read from the frozen teacher alone:
how low the peak of its map is, how widely the map is spread, or how far its answer wanders when the image is turned
and scaled.
"""
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.heatmaps import decode_argmax, spatial_softmax

Answer = Callable[[jax.Array], jax.Array]  # images (B, H, W, 3) in [0, 1] -> the teacher's heatmaps (B, h, w, K)
Doubt = Callable[[Answer, jax.Array, jax.Array], jax.Array]  # (answer, images, its heatmaps of them) -> (B, K) float32
Confidence = Callable[[Answer, jax.Array, jax.Array, jax.Array], jax.Array]
# (answer, images, heatmaps, threshold (K,)) -> weights (B, K) float32, 0 or more

TRANSFORMS = ((10.0, 1.0), (-10.0, 1.0), (0.0, 0.9), (0.0, 1.1))  # degrees, scale; about the middle of the image


def low_peak(answer: Answer, images: jax.Array, heatmaps: jax.Array) -> jax.Array:
    """The height of the map's maximum with its sign reversed."""
    del answer, images
    return -heatmaps.astype(jnp.float32).max((1, 2))


def spatial_entropy(answer: Answer, images: jax.Array, heatmaps: jax.Array, *, temperature: float = 0.05) -> jax.Array:
    """The entropy of softmax(map / temperature) over the logarithm of the number of cells, in [0, 1].

    At temperature 1, maps with values in [0, 1] are all nearly flat.
    """
    del answer, images
    share = spatial_softmax(heatmaps.astype(jnp.float32) / temperature)
    entropy = -(share * jnp.log(jnp.where(share > 0, share, 1.0))).sum((1, 2))
    return entropy / math.log(heatmaps.shape[1] * heatmaps.shape[2])


def spread(to_heatmap: jax.Array) -> Doubt:
    """How far arg-max positions lie from their mean, as a root mean square in heatmap pixels.

    The positions are those of the image itself, turned by ±10 degrees, and scaled by 0.9 and 1.1, brought back to where
    they are in the image. to_heatmap: (3, 3), the codec's. Four more passes of the teacher.
    """

    def doubt(answer: Answer, images: jax.Array, heatmaps: jax.Array) -> jax.Array:
        _, height, width, _ = images.shape
        middle = ((width - 1) / 2, (height - 1) / 2)
        found = [decode_argmax(heatmaps)[0]]
        for degrees, scale in TRANSFORMS:
            there = geometry.similarity(angle=math.radians(degrees), scale=scale, centre=middle)
            cells, _ = decode_argmax(answer(geometry.warp(images, there)))
            found.append(geometry.move_points(geometry.conjugate(geometry.invert(there), to_heatmap), cells))
        places = jnp.stack(found)
        return jnp.sqrt(jnp.square(places - places.mean(0, keepdims=True)).sum(-1).mean(0))

    return doubt


def hard(doubt: Doubt) -> Confidence:
    """1 where the doubt is at most its keypoint's threshold, 0 elsewhere."""

    def confidence(answer, images, heatmaps, threshold):
        return (doubt(answer, images, heatmaps) <= threshold[None]).astype(jnp.float32)

    return confidence


def soft(doubt: Doubt, width: float = 2.0) -> Confidence:
    """exp(-u² / (2 width²)) of the doubt u, over its mean over the batch, of each keypoint. No threshold is read."""

    def confidence(answer, images, heatmaps, threshold):
        del threshold
        weights = jnp.exp(-jnp.square(doubt(answer, images, heatmaps)) / (2 * width**2))
        return weights / jnp.maximum(weights.mean(0, keepdims=True), 1e-12)

    return confidence


def kept_thresholds(doubts: np.ndarray, kept: float) -> np.ndarray:
    """(K,) float32: the doubts (N, K) below which a share `kept` of a step's images lies, for `Increment.threshold`.

    kept = 1 gives the largest doubt of each keypoint. Raises ValueError for a share that is not in (0, 1].
    """
    if not 0 < kept <= 1:
        raise ValueError(f"kept is a share of the images in (0, 1], got {kept}")
    return np.quantile(np.asarray(doubts, np.float64), kept, axis=0, method="higher").astype(np.float32)
