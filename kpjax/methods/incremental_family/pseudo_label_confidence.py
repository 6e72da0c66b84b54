"""Confidence in an old model's predictions as pseudo-labels, without a label to check them by.

An uncertainty is a number for each image and keypoint, larger for less certain ones. It is computed from the frozen
teacher alone: from the movement of its prediction when the image is rotated and scaled.
"""
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.heatmaps import decode_argmax

Answer = Callable[[jax.Array], jax.Array]  # images (B, H, W, 3) in [0, 1] -> the teacher's heatmaps (B, h, w, K)
Uncertainty = Callable[[Answer, jax.Array, jax.Array], jax.Array]  # (answer, images, heatmaps) -> (B, K) float32
Confidence = Callable[[Answer, jax.Array, jax.Array, jax.Array], jax.Array]
# (answer, images, heatmaps, threshold (K,)) -> weights (B, K) float32, 0 or more

TRANSFORMS = ((10.0, 1.0), (-10.0, 1.0), (0.0, 0.9), (0.0, 1.1))  # degrees, scale; about the centre of the image


def spread(to_heatmap: jax.Array) -> Uncertainty:
    """Builds an uncertainty: the root mean square distance of arg-max positions from their mean, in heatmap pixels.

    The positions are those of the image itself, rotated by ±10 degrees, and scaled by 0.9 and 1.1, mapped back into the
    image. to_heatmap: (3, 3), the codec's. It costs four more passes of the teacher.
    """

    def uncertainty(answer: Answer, images: jax.Array, heatmaps: jax.Array) -> jax.Array:
        _, height, width, _ = images.shape
        middle = ((width - 1) / 2, (height - 1) / 2)
        found = [decode_argmax(heatmaps)[0]]
        for degrees, scale in TRANSFORMS:
            there = geometry.similarity(angle=math.radians(degrees), scale=scale, centre=middle)
            cells, _ = decode_argmax(answer(geometry.warp(images, there)))
            found.append(geometry.move_points(geometry.conjugate(geometry.invert(there), to_heatmap), cells))
        places = jnp.stack(found)
        return jnp.sqrt(jnp.square(places - places.mean(0, keepdims=True)).sum(-1).mean(0))

    return uncertainty


def hard(uncertainty: Uncertainty) -> Confidence:
    """Builds a confidence: 1 where the uncertainty is at most its keypoint's threshold, 0 elsewhere."""

    def confidence(answer, images, heatmaps, threshold):
        return (uncertainty(answer, images, heatmaps) <= threshold[None]).astype(jnp.float32)

    return confidence


def kept_thresholds(uncertainties: np.ndarray, kept: float) -> np.ndarray:
    """Computes (K,) float32 for `Increment.threshold`: a fraction `kept` of a step's images lies below.

    uncertainties: (N, K). kept = 1 gives the largest of each keypoint. Raises ValueError for a fraction that is not in
    (0, 1].
    """
    if not 0 < kept <= 1:
        raise ValueError(f"kept is {kept}; give a fraction of the images in (0, 1]")
    return np.quantile(np.asarray(uncertainties, np.float64), kept, axis=0, method="higher").astype(np.float32)
