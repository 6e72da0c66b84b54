"""What tells whether keypoints are being discovered: how they spread and move, and what a painter without them reaches.

Points are normalised (x, y), the centres of an image's first and last pixel at -1 and 1. Errors are mean squared
differences of images in [0, 1].
"""
import jax
import jax.numpy as jnp

from kpjax.losses.reconstruction import pixel_mse

BORDER = 0.95  # a point is on the border if its larger coordinate is beyond, on average over the images
MOVEMENT = 0.02  # a point stands still if its root mean squared distance from its mean place is below
BASELINES = ("constant_colour", "mean_image", "copied_reference")


def live(points: jax.Array, *, border: float = BORDER, movement: float = MOVEMENT) -> jax.Array:
    """Which keypoints are alive, (K,) bool: neither on the border nor in one place. points: (N, K, 2) of N images.

    The default movement is 0.6 pixels of a picture of 64.
    """
    away = jnp.abs(points).max(-1).mean(0)
    moved = jnp.sqrt(jnp.square(points - points.mean(0, keepdims=True)).sum(-1).mean(0))
    return (away <= border) & (moved >= movement)


def spread_of(points: jax.Array) -> dict[str, jax.Array]:
    """Of points (N, K, 2) of N images, in normalised units, float32 scalars.

    coordinates: the standard deviation of a coordinate over the images, on average over all coordinates.
    points: the mean distance between two points of one image.
    """
    apart = points[:, :, None, :] - points[:, None, :, :]
    count = points.shape[1]
    distances = jnp.sqrt(jnp.square(apart).sum(-1)).sum((1, 2)) / max(count * (count - 1), 1)
    return {"coordinates": points.std(0).mean(), "points": distances.mean()}


def baseline_errors(images: jax.Array, references: jax.Array) -> dict[str, jax.Array]:
    """The error of painting `images` (B, H, W, 3) with no knowledge of keypoints, for each name of BASELINES.

    constant_colour: all pixels of the batch in its mean colour. mean_image: every picture as the mean of the batch.
    copied_reference: every picture as its reference frame, `references` (B, H, W, 3).
    """
    painted = {
        "constant_colour": images.mean((0, 1, 2), keepdims=True),
        "mean_image": images.mean(0, keepdims=True),
        "copied_reference": references,
    }
    return {name: pixel_mse(jnp.broadcast_to(picture, images.shape), images) for name, picture in painted.items()}
