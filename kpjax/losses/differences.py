"""Losses of BKinD (Sun et al. 2022): the difference of two frames, which is rendered, and two terms on keypoints.

Before a still camera two frames differ only where something moved, or where the noise of an even background does.
Formulas and constants are those of the official code; the paper names SSIM, rotations and a separation.
"""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]
Difference = Float[Array, "batch height width channels"]
Maps = Float[Array, "batch height width keypoints"]
Points = Float[Array, "batch keypoints 2"]

RADIUS = 5  # px, of both windows
WINDOW, SMOOTHING = 1.5, 1.0  # px, standard deviations of SSIM's window and of the blur of its result
STABILISER = 0.03**2  # c_2 of SSIM, for images in [0, 1]


# What is rendered

def structural_difference(images: Images, references: Images) -> Difference:
    """Computes where the structure of two batches of images differs, whatever their brightness.

    It is 1 - (2 cov + c) / (var + var' + c), the contrast and structure of SSIM, in Gaussian windows of 11 x 11 pixels:
    0 for equal images, 1 for unrelated ones, at most 2. The mean over the channels is blurred, and is the same in
    every channel of the result, float32. Constant to the gradient. The border is repeated outside the images.

    images, references: in [0, 1].
    """
    pair = [jax.lax.stop_gradient(batch.astype(jnp.float32)) for batch in (images, references)]
    size = images.shape[1:3]
    one, other = pair
    moments = jnp.stack([one, other, one * one, other * other, one * other])
    # Padded once for both windows, as in the official code.
    mean, other_mean, square, other_square, product = _filtered(
        moments, *(_window(side, WINDOW, inside=False) for side in size))
    covariance = product - mean * other_mean
    variances = square - mean * mean + other_square - other_mean * other_mean
    alike = (2 * covariance + STABILISER) / (variances + STABILISER)
    blurred = _filtered(1 - alike.mean(-1, keepdims=True), *(_window(side, SMOOTHING, inside=True) for side in size))
    return jnp.broadcast_to(blurred, images.shape)


def _window(side: int, deviation: float, *, inside: bool) -> np.ndarray:
    """Returns the Gaussian window along an axis of `side` pixels as a matrix (places, pixels).

    inside: the places are the pixels, and the pixels those and `RADIUS` more on either side. Otherwise these are the
    places, and what lies outside the pixels repeats the border.
    """
    weights = np.exp(-np.square(np.arange(-RADIUS, RADIUS + 1)) / (2 * deviation**2))
    places = side if inside else side + 2 * RADIUS
    matrix = np.zeros((places, places + 2 * RADIUS))
    for place in range(places):
        matrix[place, place:place + 2 * RADIUS + 1] = weights / weights.sum()
    if not inside:
        nearest = np.clip(np.arange(places + 2 * RADIUS) - 2 * RADIUS, 0, side - 1)
        matrix = matrix @ np.eye(side)[nearest]
    return matrix.astype(np.float32)


def _filtered(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Multiplies images (..., H, W, C) along rows and columns."""
    highest = jax.lax.Precision.HIGHEST  # a variance is a difference of means
    along = jnp.einsum("ij,...jwc->...iwc", rows, images, precision=highest)
    return jnp.einsum("ij,...hjc->...hic", columns, along, precision=highest)


# Terms on keypoints

def rotation_equivariance(maps: Maps, turned: Sequence[Maps]) -> Float[Array, ""]:
    """Computes the mean squared difference between turned maps of keypoints and the maps of turned images, float32.

    Args:
        maps: of the images; constant to the gradient.
        turned: of the images after 1, 2, ... quarter turns counter-clockwise; the mean is also over these.
    """
    maps = jax.lax.stop_gradient(maps.astype(jnp.float32))
    squares = [jnp.square(jnp.rot90(maps, quarters, axes=(1, 2)) - found.astype(jnp.float32)).mean()
               for quarters, found in enumerate(turned, start=1)]
    return sum(squares) / len(squares)


def separation(points: Points, *, width: float = 0.08) -> Float[Array, ""]:
    """Computes how much keypoints of one image coincide: the mean of exp(-d² / (2 width²)) over all pairs, float32.

    d is the distance of two points. Both orders of a pair count, and the K pairs of a point with itself as 0, so that
    (K - 1) / K is the largest value. Its gradient vanishes where points coincide exactly.

    points: normalised (x, y), an image's side being 2.
    """
    count = points.shape[1]
    away = points[:, :, None].astype(jnp.float32) - points[:, None].astype(jnp.float32)
    near = jnp.exp(-jnp.square(away).sum(-1) / (2 * width**2))
    return (near * (1 - jnp.eye(count, dtype=jnp.float32))[None]).mean()
