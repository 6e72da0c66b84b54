"""What tells whether keypoints are being discovered: how they spread and move, and what a painter without them reaches.

Points are normalised (x, y), the centres of an image's first and last pixel at -1 and 1. Errors are mean squared
differences of images in [0, 1].
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import RunError
from kpjax.losses.reconstruction import pixel_mse

BORDER = 0.95  # a point is on the border if its larger coordinate is beyond, on average over the images
MOVEMENT = 0.02  # a point stands still if its root mean squared distance from its mean place is below
BASELINES = ("constant_colour", "mean_image", "copied_reference")


def live(points: jax.Array, *, border: float = BORDER, movement: float = MOVEMENT) -> jax.Array:
    """Which keypoints are alive, (K,) bool: neither on the border nor in one place. points: (N, K, 2) of N images.

    The default movement is 0.6 pixels of an image of 64.
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

    constant_colour: all pixels of the batch in its mean colour. mean_image: every image as the mean of the batch.
    copied_reference: every image as its reference frame, `references` (B, H, W, 3).
    """
    painted = {
        "constant_colour": images.mean((0, 1, 2), keepdims=True),
        "mean_image": images.mean(0, keepdims=True),
        "copied_reference": references,
    }
    return {name: pixel_mse(jnp.broadcast_to(painting, images.shape), images) for name, painting in painted.items()}


# Stopping a run that discovers nothing


NO_BETTER = 0.98  # of a baseline's error: what counts as no better than it
NO_LIVE_POINTS = "live_points"
PAINTS_LIKE = {
    "constant_colour": "one constant colour",
    "mean_image": "the mean image of the batch",
    "copied_reference": "the copied reference frame",
}


def first_counts(paintings: Sequence[str]) -> dict[str, jax.Array]:
    """Zero for each sign: `live_points`, and `<image>/<baseline>` for every painted image and baseline; int32."""
    signs = (NO_LIVE_POINTS, *(f"{painting}/{baseline}" for painting in paintings for baseline in BASELINES))
    return dict.fromkeys(signs, jnp.int32(0))


def counted(
    counts: Mapping[str, jax.Array],
    errors: Mapping[str, jax.Array],
    baselines: Mapping[str, jax.Array],
    live_points: jax.Array,
) -> dict[str, jax.Array]:
    """The counts after one more batch: one more where the sign is there, zero where it is not.

    errors: of each painted image; baselines: of each name of BASELINES, in the same unit. live_points: how many.
    """
    signs = {NO_LIVE_POINTS: live_points == 0}
    signs |= {f"{painting}/{baseline}": error > NO_BETTER * baselines[baseline]
              for painting, error in errors.items() for baseline in BASELINES}
    return {sign: jnp.where(signs[sign], count + 1, 0) for sign, count in counts.items()}


def stop_if_collapsed(
    steps: int, *, baselines: Sequence[str] = BASELINES
) -> Callable[[Any, int], Any]:
    """For `fit`'s `between=(every, stop_if_collapsed(steps))`: looks at a state, and gives it back or raises RunError.

    steps: for how many steps in a row a sign has to have been there. baselines: those that a painted image has to be
    better than, from the first to the last of them. Leave "copied_reference" out for videos in which little moves
    before a detailed background: no decoder repeats the background as well as a copy does.
    Raises ValueError for a baseline that does not exist.
    """
    if unknown := sorted(set(baselines) - set(BASELINES)):
        raise ValueError(f"stop_if_collapsed: no baseline {unknown[0]!r}; there are {', '.join(BASELINES)}")

    def check(state: Any, step: int) -> Any:
        for sign, count in sorted(jax.tree.map(np.asarray, dict(state.stuck)).items()):
            painting, _, baseline = sign.partition("/")
            if count < steps or (sign != NO_LIVE_POINTS and baseline not in baselines):
                continue
            what = ("no keypoint was alive: all were on the border or stood still" if sign == NO_LIVE_POINTS else
                    f"{painting!r} was painted no better than by {PAINTS_LIKE[baseline]}")
            raise RunError(f"nothing is being discovered: in the last {count} steps up to {step} {what}; look at the "
                           "logged error/, baseline/, spread/ and live_points, then change the blob widths, the weight "
                           "of the spring, the normalisation or the learning rate")
        return state

    return check


# Whether discovered points say anything: errors of points that nobody named are fooled by points that stand still or


STILL = 1 / 64  # of an image's longer side: a point whose deviation over images is less does not look at them


def point_spread(points: jax.Array) -> jax.Array:
    """The mean distance between two different points of an image, over all pairs and images: () float32 in the unit of
    `points` (N, K, 2); 0 for K = 1.
    """
    count = points.shape[1]
    differences = points[:, :, None].astype(jnp.float32) - points[:, None].astype(jnp.float32)
    squared = jnp.square(differences).sum(-1)
    distances = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    return distances.sum((1, 2)).mean() / max(count * (count - 1), 1)


def median_spread(points: jax.Array) -> jax.Array:
    """The median distance between two different points of an image, over all pairs and images: () float32 in the unit
    of `points` (N, K, 2); 0 for K = 1.

    A few points that wander far from a heap raise the mean of `point_spread`, and not this.
    """
    first, second = np.triu_indices(points.shape[1], 1)
    if not len(first):
        return jnp.float32(0)
    return jnp.median(jnp.linalg.norm(points[:, first].astype(jnp.float32) - points[:, second], axis=-1))


def live_points(points: jax.Array, size: tuple[int, int], *, still: float = STILL) -> jax.Array:
    """How many of the K points (N, K, 2), in pixels of images of `size` (height, width), differ from image to image:
    () float32.

    Those whose standard deviation over the images, both coordinates together, is at least `still` times the longer
    side. A point that jumps about without a reason counts as live; the consistency of points tells those.
    """
    deviation = jnp.sqrt(jnp.var(points.astype(jnp.float32), axis=0).sum(-1))
    return (deviation >= still * max(size)).sum().astype(jnp.float32)
