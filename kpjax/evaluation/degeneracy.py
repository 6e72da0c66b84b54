"""Signs that discovered keypoints are degenerate, and the end of a run whose keypoints stay so.

Keypoints may rest, sit on the border or lie in a heap, and low errors of regressors do not show it.
A generator may reconstruct images no better than without keypoints. Errors of images are mean
squared differences in [0, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import RunError
from kpjax.losses.reconstruction import pixel_mse

# the mean of a keypoint's larger coordinate, normalised, beyond which it is on the border
BORDER = 0.95
# a keypoint's least root mean squared distance from its mean position: 0.6 pixels of an image of 64
MOVEMENT = 0.02
STILL = 1 / 64  # a point's standard deviation over images, of an image's longer side
BASELINES = ("constant_colour", "mean_image", "copied_reference")
NO_BETTER = 0.98  # share of a baseline's error: a larger error is no better than the baseline
NO_LIVE_POINTS = "live_points"
PAINTS_LIKE = {
    "constant_colour": "one constant colour",
    "mean_image": "the mean image of the batch",
    "copied_reference": "the copied reference frame",
}


# Keypoints


def live_keypoints(points: jax.Array) -> jax.Array:
    """Returns which keypoints are live, (K,) bool: neither on the border nor in one place.

    points: (N, K, 2) of N images, normalised (x, y): an image's edges at -1 and 1.
    """
    chex.assert_shape(points, (None, None, 2))
    away = jnp.abs(points).max(-1).mean(0)
    about_mean = points - points.mean(0, keepdims=True)
    squares = jnp.square(about_mean).sum(-1)
    moved = jnp.sqrt(squares.mean(0))
    return (away <= BORDER) & (moved >= MOVEMENT)


def varying_points(points: jax.Array, size: tuple[int, int], *, still: float = STILL) -> jax.Array:
    """Counts the K points that differ from image to image: () float32.

    These have a standard deviation over the images, both coordinates together, of at least `still`
    times the longer side. A point that jumps about without a reason counts too; only the
    consistency of points reveals it. points: (N, K, 2) of N images, in pixels.
    """
    chex.assert_shape(points, (None, None, 2))
    variance = jnp.var(points.astype(jnp.float32), axis=0).sum(-1)
    varying = jnp.sqrt(variance) >= still * max(size)
    return varying.sum().astype(jnp.float32)


def spread_of(points: jax.Array) -> dict[str, jax.Array]:
    """Computes two spreads of points (N, K, 2) of N images, in normalised units, float32 scalars.

    `coordinates` is the standard deviation of a coordinate over the images, averaged over all
    coordinates. `points` is the mean distance between two points of one image.
    """
    chex.assert_shape(points, (None, None, 2))
    apart = points[:, :, None, :] - points[:, None, :, :]
    count = points.shape[1]
    pairs = max(count * (count - 1), 1)
    distances = jnp.sqrt(jnp.square(apart).sum(-1))
    of_images = distances.sum((1, 2)) / pairs
    return {"coordinates": points.std(0).mean(), "points": of_images.mean()}


def point_spread(points: jax.Array) -> jax.Array:
    """Computes the mean distance between two different points of an image, over all pairs and
    images: () float32.

    points: (N, K, 2) in any unit, also the result's; 0 for K = 1. Its gradient is finite at equal
    points.
    """
    chex.assert_shape(points, (None, None, 2))
    count = points.shape[1]
    pairs = max(count * (count - 1), 1)
    one = points[:, :, None].astype(jnp.float32)
    other = points[:, None].astype(jnp.float32)
    squared = jnp.square(one - other).sum(-1)
    distances = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    return distances.sum((1, 2)).mean() / pairs


def median_spread(points: jax.Array) -> jax.Array:
    """Computes the median distance between two different points of an image, over all pairs and
    images.

    points: (N, K, 2) in any unit. Returns () float32 in that unit; 0 for K = 1. Unlike
    `point_spread`, it does not rise with a few points that wander far from a heap.
    """
    chex.assert_shape(points, (None, None, 2))
    first, second = np.triu_indices(points.shape[1], 1)
    if not len(first):
        return jnp.float32(0)
    firsts = points[:, first].astype(jnp.float32)
    apart = firsts - points[:, second]
    distances = jnp.linalg.norm(apart, axis=-1)
    return jnp.median(distances)


# Reconstructed images


def baseline_errors(images: jax.Array, references: jax.Array) -> dict[str, jax.Array]:
    """Computes the error of reconstructing images without knowledge of keypoints, for each name of
    BASELINES.

    `constant_colour` is the mean colour of the batch, `mean_image` the mean image of the batch, and
    `copied_reference` each image's reference frame.

    images, references: (B, H, W, 3).
    """
    chex.assert_rank(images, 4)
    chex.assert_equal_shape([images, references])
    painted = {
        "constant_colour": images.mean((0, 1, 2), keepdims=True),
        "mean_image": images.mean(0, keepdims=True),
        "copied_reference": references,
    }
    return {
        name: pixel_mse(jnp.broadcast_to(painting, images.shape), images)
        for name, painting in painted.items()
    }


# Stopping a run that discovers nothing


def first_counts(paintings: Sequence[str]) -> dict[str, jax.Array]:
    """Returns int32 zeros by sign: `live_points`, and `<image>/<baseline>` for every painted image
    and baseline.
    """
    signs = (
        NO_LIVE_POINTS,
        *(f"{painting}/{baseline}" for painting in paintings for baseline in BASELINES),
    )
    return dict.fromkeys(signs, jnp.int32(0))


def add_to_counts(
    counts: Mapping[str, jax.Array],
    errors: Mapping[str, jax.Array],
    baselines: Mapping[str, jax.Array],
    live: jax.Array,
) -> dict[str, jax.Array]:
    """Returns the counts after one more batch: one more where a sign is present, zero where it is
    absent.

    counts: see `first_counts`. errors: of each painted image. baselines: of each name of BASELINES,
    in the same unit.
    live: number of live keypoints.
    """
    signs = {NO_LIVE_POINTS: live == 0}
    for painting, error in errors.items():
        for baseline in BASELINES:
            signs[f"{painting}/{baseline}"] = error > NO_BETTER * baselines[baseline]
    return {sign: jnp.where(signs[sign], count + 1, 0) for sign, count in counts.items()}


def stop_if_collapsed(
    steps: int, *, baselines: Sequence[str] = BASELINES
) -> Callable[[Any, int], Any]:
    """Builds a check for `fit`'s `between=(every, check)`: it returns the state or raises RunError.

    Args:
        steps: for how many steps in a row a sign must have been present.
        baselines: those that a painted image has to beat. Leave out "copied_reference" for videos
            in which little moves before a detailed background: no decoder repeats the background as
            well as a copy does.
    """

    def check(state: Any, step: int) -> Any:
        for sign, count in sorted(jax.tree.map(int, dict(state.stuck)).items()):
            painting, _, baseline = sign.partition("/")
            if count < steps or (sign != NO_LIVE_POINTS and baseline not in baselines):
                continue
            what = (
                "no keypoint was alive: all were on the border or stood still"
                if sign == NO_LIVE_POINTS
                else f"{painting!r} was painted no better than by {PAINTS_LIKE[baseline]}"
            )
            raise RunError(
                f"nothing is being discovered: in the last {count} steps up to {step} {what}; look at the "
                "logged error/, baseline/, spread/ and live_points, then change the blob widths, the weight "
                "of the spring, the normalisation or the learning rate"
            )
        return state

    return check
