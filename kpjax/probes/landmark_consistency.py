"""Whether landmarks follow the picture when it is turned: no annotation needed, and fooled by landmarks that rest in
the middle.

Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), section 4, and its code. The paper
speaks of a random similarity; it is a turn about the middle, with the shrinking that makes the turned picture fit.
"""
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpjax.landmark_crop import turned_canvas

DEVIATION = 15.0  # degrees
WIDEST = 40.0  # degrees at which the first turn is cut; the second is not


class Turns(NamedTuple):
    """Two angles for each image in degrees, x towards y. The first makes the picture that is turned by the second."""

    first: np.ndarray  # (N,) float64
    second: np.ndarray  # (N,) float64


class Consistency(NamedTuple):
    """Mean distances in pixels between a landmark that is moved and the landmark that is found in the moved picture."""

    mean: float  # of all landmarks
    per_landmark: np.ndarray  # (K,) float64
    ascending: np.ndarray  # (K,) float64, `per_landmark` sorted, as the paper's tables show it


def draw_turns(count: int, seed: int = 1000) -> Turns:
    """The turns of `count` images. Those of number n depend on seed and n only, so that all methods see the same."""
    normal = np.array([np.random.default_rng([seed, number]).standard_normal(2) for number in range(count)])
    first, second = DEVIATION * normal.reshape(-1, 2).T
    return Turns(np.clip(first, -WIDEST, WIDEST), second)


def turn_map(degrees: float, side: int) -> np.ndarray:
    """The map (3, 3) float64 from a square picture to itself turned: about its middle, on the canvas that holds it
    whole, which is brought back to `side`.
    """
    turned = turned_canvas(side, side, degrees)
    return np.diag([side / turned.width, side / turned.height, 1.0]) @ turned.map_


def consistency(landmarks: ArrayLike, in_turned: ArrayLike, maps: ArrayLike) -> Consistency:
    """How far landmarks are from where the turn of the picture says they should be.

    landmarks: (N, K, 2) px of each picture. in_turned: (N, K, 2) px, found in the turned one. maps: (N, 3, 3), pixels
    of a picture to those of the turned one.
    """
    points, maps = np.asarray(landmarks, np.float64), np.asarray(maps, np.float64)
    moved = np.einsum("nij,nkj->nki", maps[:, :2, :2], points) + maps[:, None, :2, 2]
    distances = np.linalg.norm(moved - np.asarray(in_turned, np.float64), axis=-1).mean(0)
    return Consistency(float(distances.mean()), distances, np.sort(distances))
