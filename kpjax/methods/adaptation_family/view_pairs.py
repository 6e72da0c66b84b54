"""Pairs of views of each image: the target, which is reconstructed from its keypoints, and the
appearance.

Moved against each other, they force the carrier of the geometry to follow it: a point that does not
move with the object cannot help the reconstruction. They are made on the device, inside the
training step; each image has a key of its own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.augment.random_maps import DrawMap
from kpjax.errors import InputError


class Views(NamedTuple):
    """Two views of a batch of images."""

    target: jax.Array  # (B, h, w, C)
    appearance: jax.Array  # (B, h, w, C)


ViewPair = Callable[[jax.Array, jax.Array], Views]  # (key, images (B, H, W, C)) -> views

WIDEST = 40.0  # degrees, limit of a rotation
MARGIN = 70.0  # percent of a box: the margin of published crops on each side
MARGIN_DEVIATION = 4.0  # standard deviation of the margin
# growth of the box of points of a turned face, by |sin(angle)|: eyes, nose and mouth in the middle of an
# image
GROWTH = 0.45
DEVIATIONS = 30.0, 15.0  # degrees, of the target's turn and of the appearance's


def draw_view(
    deviation: float, *, size: tuple[int, int] | None = None, shown: float = 1.0
) -> DrawMap:
    """Builds a random rotation about the centre of the image and a zoom, in place of the published
    crop.

    The published view shows the box of the rotated annotated points and, on each side, a margin of
    int(70 + 4 * N(0, 1)) percent of that box, which grows as it turns. Raises InputError for a
    fraction that is out of range.

    Args:
        deviation: of the angle, in degrees: clip(deviation * N(0, 1), -40, 40), x towards y.
        size: (height, width) of the view, by default the image's.
        shown: the fraction of the image's side that a view shows without rotation and with the mean
            margin. Below 1, rotated corners show the image and not its repeated border.
    """
    if not 0 < shown <= 1:
        raise InputError(
            "view", f"shown is {shown}; give a fraction of the image's side, above 0 and at most 1"
        )

    def draw(key: jax.Array, image_size: tuple[int, int]) -> jax.Array:
        height, width = image_size
        new_height, new_width = size or image_size
        angle_key, margin_key = jax.random.split(key)
        drawn = deviation * jax.random.normal(angle_key)
        degrees = jnp.clip(drawn, -WIDEST, WIDEST)
        angle = degrees * (math.pi / 180)
        margin = jnp.maximum(
            jnp.trunc(MARGIN + MARGIN_DEVIATION * jax.random.normal(margin_key)), 0
        )
        side = (
            shown
            * (1 + GROWTH * jnp.abs(jnp.sin(angle)))
            * (1 + 2 * margin / 100)
            / (1 + 2 * MARGIN / 100)
        )
        middle = (width - 1) / 2, (height - 1) / 2
        shift = (new_width - 1) / 2 - middle[0], (new_height - 1) / 2 - middle[1]
        return geometry.similarity(
            angle=angle,
            scale=min(new_height / height, new_width / width) / side,
            centre=middle,
            shift=shift,
        )

    return draw


def similarity_views(*, size: tuple[int, int] | None = None, shown: float = 1.0) -> ViewPair:
    """Builds two views, each by its own rotation and zoom, with the border repeated.

    size, shown: those of `draw_view`, which describes the replacement of the published crop.
    Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019) and its code.
    """
    draws = [draw_view(deviation, size=size, shown=shown) for deviation in DEVIATIONS]

    def views(key: jax.Array, images: jax.Array) -> Views:
        pair = []
        for number, draw in enumerate(draws):
            view_key = jax.random.fold_in(key, number)
            keys = jax.random.split(view_key, images.shape[0])

            def drawn(key, draw=draw):
                return draw(key, images.shape[1:3])

            maps = jax.vmap(drawn)(keys)
            pair.append(geometry.warp(images, maps, size=size, fill=None))
        return Views(*pair)

    return views
