"""Predictions on turned and scaled copies of an image, moved back to the original."""
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.images import boxes

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# images (B, S, S, 3) uint8 -> keypoints (B, K, 2) float32 in their pixels, scores (B, K) float32

TURNS = ((-30.0, 0.8), (30.0, 0.8), (-30.0, 1.25), (30.0, 1.25))  # degrees and scale of each map about the middle


def turns(side: int, maps: Sequence[tuple[float, float]] = TURNS) -> np.ndarray:
    """Returns (M, 3, 3) float32: the similarities of an image of `side` px about its middle."""
    middle = (side - 1) / 2
    return np.stack([geometry.similarity(angle=np.deg2rad(degrees), scale=scale, centre=(middle, middle))
                     for degrees, scale in maps])


def predicted_under(
    predict: Predict, images: np.ndarray, keypoints: np.ndarray, maps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts images (B, S, S, 3) uint8 under maps (M, 3, 3) and moves the keypoints back.

    keypoints: (B, K, 2), as predicted on the images, in their pixels. Returns (keypoints (M, B, K, 2) in pixels of the
    images, (M, B, K) bool: whether the map keeps `keypoints` inside).
    """
    side = images.shape[1]
    back, counted = [], []
    for map_ in maps:
        found, _ = predict(np.asarray(_moved(images, map_)))
        back.append(_under(boxes.invert(map_), found))
        there = _under(map_, keypoints)
        counted.append(((there >= -0.5) & (there <= side - 0.5)).all(-1))
    return np.stack(back), np.stack(counted)


def _under(map_: np.ndarray, points: np.ndarray) -> np.ndarray:
    return boxes.move_points(map_, points.reshape(-1, 2)).reshape(points.shape)


@jax.jit
def _moved(images: jax.Array, map_: jax.Array) -> jax.Array:
    maps = jnp.broadcast_to(map_, (len(images), 3, 3))
    moved = geometry.warp(images.astype(jnp.float32), maps)
    return jnp.clip(jnp.round(moved), 0, 255).astype(jnp.uint8)
