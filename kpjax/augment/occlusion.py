"""Boxes of images that are hidden: blank, or covered by what lies elsewhere.

A `Hide` is `(key, images (B, H, W, 3), points (B, K, 2) px, weights (B, K)) -> images`. It may
cover keypoints of weight 1. Each image has a key of its own.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from kpjax.augment.augmentations import Augment, no_augmentation
from kpjax.augment.random_maps import at_least_zero, interval
from kpjax.platforms import by_platform

Hide = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def blank_boxes(
    images: jax.Array,
    centres: jax.Array,
    half_sides: jax.Array,
    source: jax.Array,
    origins: jax.Array | None = None,
) -> jax.Array:
    """Overwrites boxes of images, one after another, by what a source shows at the same place or
    around `origins`.

    A box covers the pixels p with floor(centre - half side) <= p < floor(centre + half side) along
    both axes. Where the source ends, its border is repeated.

    Args:
        images: (B, H, W, 3), floating point.
        centres: (B, N, 2), (x, y) in px.
        half_sides: (B, N, 2), px along x and y; a box of 0 covers nothing.
        source: (B, H, W, 3), or without `origins` a colour that broadcasts to it.
        origins: (B, N, 2), px of the source; moved by whole pixels.
    """
    height, width = images.shape[1:3]
    low = centres - half_sides
    high = centres + half_sides
    first = jnp.floor(low)[:, :, None]
    beyond = jnp.floor(high)[:, :, None]
    columns = jnp.arange(width, dtype=jnp.float32)
    rows = jnp.arange(height, dtype=jnp.float32)

    def covered(at, axis):
        begun = first[..., axis] <= at[None, None]
        return begun & (at[None, None] < beyond[..., axis])

    across = covered(columns, 0)
    down = covered(rows, 1)
    boxes = down[..., None] & across[:, :, None]  # (B, N, H, W)
    if origins is None:
        return jnp.where(boxes.any(1)[..., None], source, images)

    shifts = jnp.round(origins - centres)

    def moved(lines, number, axis):
        places = lines[None] + shifts[:, number, axis, None]
        return jnp.clip(places, 0, lines[-1]).astype(jnp.int32)

    for number in range(centres.shape[1]):
        seen_rows = moved(rows, number, 1)
        seen_columns = moved(columns, number, 0)
        shown = by_platform(source, seen_rows, seen_columns, tpu=_lines_by_products, default=_lines)
        images = jnp.where(boxes[:, number, ..., None], shown, images)
    return images


def _lines(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Takes rows (B, h) and columns (B, w) of images (B, H, W, C): (B, h, w, C)."""

    def of_image(image, row, column):
        return image[row][:, column]

    return jax.vmap(of_image)(images, rows, columns)


def _lines_by_products(images: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Computes `_lines` as products with ones at these lines: TPUs fetch columns slowly."""
    height, width = images.shape[1:3]
    by_row = jax.nn.one_hot(rows, height, dtype=images.dtype)
    by_column = jax.nn.one_hot(columns, width, dtype=images.dtype)
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    taken = product("nyh,nhwc->nywc", by_row, images)
    return product("nxw,nywc->nyxc", by_column, taken)


def hide_boxes(
    count: int = 5,
    *,
    at: Literal["keypoints", "anywhere"] = "keypoints",
    shows: Literal["colour", "elsewhere"] = "colour",
    noise: float = 10.0,
    half_sides: tuple[float, float] = (10.0, 20.0),
    probability: float = 1.0,
    unit: float = 1.0,
) -> Hide:
    """Builds the hiding of some boxes of every image.

    The defaults are the joint cutout of Xie et al. 2021 at 256 x 192 px, whose half sides are whole
    numbers.

    Args:
        count: boxes of an image.
        at: "keypoints" centres each box at a keypoint of weight 1, drawn with replacement; an image
            without one stays as it is. "anywhere" draws centres uniformly.
        shows: "colour" is the image's mean colour, "elsewhere" the image itself around a uniform
            point.
        noise: deviation of a centre from its keypoint along each axis.
        half_sides: bounds of each box's half sides, uniform and independent along both axes.
        probability: of an image to be changed at all.
        unit: multiplies `noise` and `half_sides`; the image's side over 256 makes them those of the
            papers.
    """
    low, high = interval(half_sides)
    unit = at_least_zero(unit)
    noise = unit * at_least_zero(noise)
    assert count >= 1, count
    assert 0 <= probability <= 1, probability

    def hide(key, images, points, weights):
        height, width = images.shape[1:3]
        size = jnp.array([width, height], jnp.float32)[None]
        points = points.astype(jnp.float32)

        def near(key, points, weights):
            choice_key, noise_key = jax.random.split(key)
            logits = jnp.where(weights > 0, 0.0, -1e9)
            chosen = jax.random.categorical(choice_key, logits, shape=(count,))
            chosen_points = points[chosen]
            shifts = noise * jax.random.normal(noise_key, (count, 2), jnp.float32)
            return chosen_points + shifts

        def anywhere(key):
            return jax.random.uniform(key, (count, 2), jnp.float32) * size

        def drawn(key, points, weights):
            centre_key, side_key, origin_key, whether_key = jax.random.split(key, 4)
            in_units = jax.random.uniform(side_key, (count, 2), jnp.float32, low, high)
            sides = unit * in_units
            changed = jax.random.bernoulli(whether_key, probability)
            changed &= (weights > 0).any() | (at == "anywhere")
            centres = (
                near(centre_key, points, weights) if at == "keypoints" else anywhere(centre_key)
            )
            sides = jnp.where(changed, sides, 0.0)
            origins = anywhere(origin_key)
            return centres, sides, origins

        keys = jax.random.split(key, images.shape[0])
        centres, sides, origins = jax.vmap(drawn)(keys, points, weights)
        if shows == "colour":
            return blank_boxes(images, centres, sides, images.mean((1, 2), keepdims=True))
        return blank_boxes(images, centres, sides, images, origins)

    return hide


def hide_by_labels(hide: Hide) -> Augment:
    """Builds the augmentation that hides boxes by the labels: those of visible keypoints."""
    plain = no_augmentation()

    def augment(key, example):
        image = hide(key, example.image, example.keypoints, example.visible)
        return plain(key, example._replace(image=image))

    return augment
