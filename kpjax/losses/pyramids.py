"""Losses of Keypoint Pyramids (Qian et al. 2022): springs between levels of keypoints, and feature
transport.

Transport keeps the features of a reference frame, except around keypoints, where it takes those of
the frame to render.
"""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kpjax.errors import InputError

Features = Float[Array, "batch height width channels"]
Maps = Float[Array, "batch height width keypoints"]


# Springs


def parent_of_child(parents: int, children: int) -> Int[np.ndarray, "children"]:
    """Returns each child's parent: with m children per parent, parent n has the children m n ... m
    n + m - 1.

    The indices printed in Keypoint Pyramids leave out children; these are the disjoint sets of its
    text and figures. Raises InputError if the children cannot be divided evenly among the parents.
    """
    if parents < 1 or children < parents or children % parents:
        below = max(children // max(parents, 1), 1) * parents
        raise InputError(
            f"level sizes: {children} keypoints cannot be shared out evenly among the {parents} of the "
            f"level above; take a multiple of {parents}, for example {below}"
        )
    return np.arange(children) // (children // parents)


def spring(
    parents: Float[Array, "batch parents 2"],
    children: Float[Array, "batch children 2"],
    *,
    reduction: Literal["mean", "sum", "coordinate_mean"] = "mean",
    unit: Literal["normalised", "pixels"] = "normalised",
    size: tuple[int, int] | None = None,
) -> Float[Array, ""]:
    """Computes the squared distances between children and their parents (`parent_of_child`). Both
    get a gradient.

    Source: Keypoint Pyramids, equation 4, which is a sum and names no unit.

    Args:
        parents, children: normalised (x, y), with an image's edges at -1 and 1.
        reduction: over an image, the "mean" over children, the "sum" over them, or
            "coordinate_mean", half the first. The mean over the batch follows.
        unit: of the distances; "pixels" are those of an image of `size`.
        size: (height, width), needed for pixels.
    """
    chex.assert_shape(parents, (None, None, 2))
    batch, parent_count, _ = parents.shape
    chex.assert_shape(children, (batch, None, 2))
    each = parent_of_child(parent_count, children.shape[1]).size // parent_count
    away = (
        children.astype(jnp.float32).reshape(batch, parent_count, each, 2)
        - parents.astype(jnp.float32)[:, :, None]
    )
    if unit == "pixels":
        height, width = size
        half = jnp.array([width / 2, height / 2], jnp.float32)
        away = away * half.reshape(1, 1, 1, 2)
    squared = jnp.square(away)
    if reduction == "coordinate_mean":
        return squared.mean()
    distances = squared.sum(-1)
    if reduction == "mean":
        return distances.mean()
    return distances.sum((1, 2)).mean()


# Motion


def still_mass(
    probabilities: Float[Array, "batch _h _w keypoints"],
    moving: Float[Array, "batch height width 1"],
) -> Float[Array, ""]:
    """Computes the mean over images and keypoints of the probability in each cell times 1 - motion
    there.

    Motion in a cell is the mean of its pixels, over the largest such mean of the image. It is 0
    where keypoints are certain to lie where most moves, and 1 where nothing does.

    Args:
        probabilities: of each keypoint's map, in sum 1.
        moving: 0 or more for each pixel, whose sides are multiples of the map's.
    """
    chex.assert_rank(probabilities, 4)
    batch, height, width, _ = probabilities.shape
    chex.assert_shape(moving, (batch, None, None, 1))
    for axis in (1, 2):
        chex.assert_is_divisible(
            moving.shape[axis],
            probabilities.shape[axis],
            custom_message=f"motion {moving.shape}, maps {probabilities.shape}",
        )
    cells = moving.reshape(
        batch, height, moving.shape[1] // height, width, moving.shape[2] // width
    ).mean((2, 4))
    cells = cells / jnp.maximum(cells.max((1, 2), keepdims=True), 1e-6)
    elsewhere = (1 - cells)[..., None] * probabilities
    return elsewhere.sum((1, 2)).mean()


# Feature transport


def _check_frames(features_reference, features, maps_reference, maps) -> None:
    """Raises AssertionError unless both features are (B, h, w, C) and both maps (B, h, w, K)."""
    chex.assert_rank([features_reference, maps_reference], 4)
    chex.assert_equal_shape([features_reference, features])
    chex.assert_equal_shape([maps_reference, maps])
    chex.assert_shape(maps, (*features.shape[:3], None))


def transport_features(
    features_reference: Features,
    features: Features,
    maps_reference: Maps,
    maps: Maps,
    *,
    stop_reference: bool = True,
) -> Features:
    """Replaces the reference's features with those of the frame wherever a keypoint of either lies.

    The result is m * features_reference + (1 - m) * features in float32, where m is the product of
    1 - p over the maps p of all keypoints in both frames. The place that a keypoint has left and
    the one where it has arrived both come from the frame. Source: Keypoint Pyramids, equation 2;
    the paper leaves open how maps combine, and `stop_reference`.

    Args:
        features_reference, maps_reference: features and keypoint maps of the reference frame.
        features, maps: those of the frame to render.
        stop_reference: whether the reference's features and maps are constants to the gradient, as
            in Transporter.
    """
    _check_frames(features_reference, features, maps_reference, maps)
    if stop_reference:
        features_reference, maps_reference = jax.lax.stop_gradient(
            (features_reference, maps_reference)
        )
    not_left = jnp.prod(1 - maps_reference.astype(jnp.float32), -1, keepdims=True)
    not_entered = jnp.prod(1 - maps.astype(jnp.float32), -1, keepdims=True)
    keep = not_left * not_entered
    kept = keep * features_reference.astype(jnp.float32)
    return kept + (1 - keep) * features.astype(jnp.float32)


def transporter_transported(
    features_reference: Features,
    features: Features,
    maps_reference: Maps,
    maps: Maps,
    *,
    stop_reference: bool = True,
) -> Features:
    """Applies Transporter's own rule (Kulkarni et al. 2019): places that a keypoint has left stay
    empty.

    Starting from y = features_reference, each keypoint in turn gives y <- (1 - s_k) (1 - t_k) y +
    t_k * features. Here s are the reference's maps and t the frame's. In closed form the weight of
    the frame is sum_k t_k prod_{j>k} (1 - s_j) (1 - t_j). The order of the keypoints matters, a
    little. The arguments are those of `transport_features`.
    """
    _check_frames(features_reference, features, maps_reference, maps)
    if stop_reference:
        features_reference, maps_reference = jax.lax.stop_gradient(
            (features_reference, maps_reference)
        )
    reference = maps_reference.astype(jnp.float32)
    frame = maps.astype(jnp.float32)
    keep, take = _all_steps((1 - reference) * (1 - frame), frame)
    kept = keep * features_reference.astype(jnp.float32)
    return kept + take * features.astype(jnp.float32)


def _all_steps(factors: jax.Array, gains: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Composes y -> factor * y + gain over all keypoints in turn into (a, b) of y -> a y + b, one
    channel each.

    Two neighbouring steps are again one step, so pairs are merged until one is left.
    """
    while (count := factors.shape[-1]) > 1:
        odd = count % 2
        first = factors[..., 0 : count - odd : 2]
        then = factors[..., 1::2]
        merged_gains = then * gains[..., 0 : count - odd : 2] + gains[..., 1::2]
        merged_factors = first * then
        factors = jnp.concatenate([merged_factors, factors[..., count - odd :]], axis=-1)
        gains = jnp.concatenate([merged_gains, gains[..., count - odd :]], axis=-1)
    return factors, gains
