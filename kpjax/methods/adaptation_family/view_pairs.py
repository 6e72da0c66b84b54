"""Pairs of views of each image: the target, which is reconstructed from its keypoints, and the appearance.

Moved against each other, they force the carrier of the geometry to follow it: a point that does not move with the
object cannot help the reconstruction. They are made on the device, inside the training step; each image has a key of
its own.
"""
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.augment.random_maps import DrawMap, at_least_zero
from kpjax.errors import InputError


class Views(NamedTuple):
    """Two views of a batch of images."""

    target: jax.Array  # (B, h, w, C)
    appearance: jax.Array  # (B, h, w, C)
    weight: jax.Array | None = None  # (B, h, w, 1) in [0, 1], of the target's pixels; None: all alike


ViewPair = Callable[[jax.Array, jax.Array], Views]  # (key, images (B, H, W, C)) -> views

WIDEST = 40.0  # degrees, limit of a rotation
MARGIN = 70.0  # percent of a box: the margin of published crops on each side
CONTROLS = 10  # a spline's control points along each side
STEEPNESS = 0.4  # of the ramp of a soft margin: 0.5 + 0.5 * tanh(x / 0.4), x from -1 to 1


def draw_view(
    deviation: float, *,
    size: tuple[int, int] | None = None, shown: float = 1.0, margin_deviation: float = 4.0, growth: float = 0.45
) -> DrawMap:
    """Builds a random rotation about the centre of the image and a zoom, in place of the published crop.

    The published view shows the box of the rotated annotated points and, on each side, a margin of int(70 + 4 *
    N(0, 1)) percent of that box. Raises InputError if a value is out of range.

    Args:
        deviation: of the angle, in degrees: clip(deviation * N(0, 1), -40, 40), x towards y.
        size: (height, width) of the view, by default the image's.
        shown: the fraction of the image's side that a view shows without rotation and with the mean margin. Below 1,
            rotated corners show the image and not its repeated border.
        margin_deviation: the 4 above.
        growth: a rotation makes the box of points larger, here by 1 + growth * |sin(angle)|. 0.45 fits the eyes, nose
            and mouth of a face in the middle, 1 a full square, 0 no growth.
    """
    deviation = at_least_zero("view", "deviation", deviation)
    margin_deviation = at_least_zero("view", "margin_deviation", margin_deviation)
    growth = at_least_zero("view", "growth", growth)
    if not 0 < shown <= 1:
        raise InputError("view", f"shown is {shown}; give a fraction of the image's side, above 0 and at most 1")

    def draw(key: jax.Array, image_size: tuple[int, int]) -> jax.Array:
        height, width = image_size
        new_height, new_width = size or image_size
        angle_key, margin_key = jax.random.split(key)
        degrees = jnp.clip(deviation * jax.random.normal(angle_key), -WIDEST, WIDEST)
        angle = degrees * (math.pi / 180)
        margin = jnp.maximum(jnp.trunc(MARGIN + margin_deviation * jax.random.normal(margin_key)), 0)
        side = shown * (1 + growth * jnp.abs(jnp.sin(angle))) * (1 + 2 * margin / 100) / (1 + 2 * MARGIN / 100)
        middle = (width - 1) / 2, (height - 1) / 2
        shift = (new_width - 1) / 2 - middle[0], (new_height - 1) / 2 - middle[1]
        return geometry.similarity(
            angle=angle, scale=min(new_height / height, new_width / width) / side, centre=middle, shift=shift)

    return draw


def similarity_views(
    *, deviations: tuple[float, float] = (30.0, 15.0), size: tuple[int, int] | None = None, **options: float
) -> ViewPair:
    """Builds two views, each by its own rotation and zoom, with the border repeated.

    deviations: degrees, of target and appearance. The other options are those of `draw_view`, which describes the
    replacement of the published crop. Source: "Object landmark discovery through unsupervised adaptation"
    (NeurIPS 2019) and its code.
    """
    draws = [draw_view(deviation, size=size, **options) for deviation in deviations]

    def views(key: jax.Array, images: jax.Array) -> Views:
        pair = []
        for number, draw in enumerate(draws):
            keys = jax.random.split(jax.random.fold_in(key, number), images.shape[0])
            maps = jax.vmap(lambda key, draw=draw: draw(key, images.shape[1:3]))(keys)
            pair.append(geometry.warp(images, maps, size=size, fill=None))
        return Views(*pair)

    return views


def spline_views(*, margin: float = 10 / 128, ramp: float = 20 / 128) -> ViewPair:
    """Builds two views by random thin-plate splines, with the border repeated.

    The target is the image bent a little and shifted by up to several percent. The appearance is the target rotated,
    zoomed, shifted and bent again. A `soft_margin` of the image, which moves with it, weights the target's pixels:
    pixels from beyond the border need no reconstruction. margin, ramp: fractions of the image's side. Source: IMM
    (Jakab et al. 2018) and its code.
    """
    def views(key: jax.Array, images: jax.Array) -> Views:
        batch, height, width, _ = images.shape
        to_pixels = jnp.array([(width - 1) / 2, (height - 1) / 2], jnp.float32)
        grid = geometry.pixel_grid(height, width) / to_pixels[None] - 1

        def origins(key: jax.Array) -> jax.Array:
            """Returns (2, H * W, 2), the origin in the image of each pixel of either view."""
            target_key, appearance_key = jax.random.split(key)
            target = draw_spline(target_key, turn=0.0, zoom=0.0, shift=0.1, bend=(0.001, 0.005))
            again = draw_spline(appearance_key, turn=5.0, zoom=0.1, shift=0.1, bend=(0.001, 0.01))
            return jnp.stack([target(grid), target(again(grid))])

        places = jax.vmap(origins)(jax.random.split(key, batch))
        places = ((places + 1) * to_pixels.reshape(1, 1, 1, 2)).reshape(batch, 2, height, width, 2)
        target, appearance = (geometry.sample(images, places[:, view], fill=None) for view in (0, 1))
        weight = jnp.broadcast_to(soft_margin(height, width, margin, ramp), (batch, height, width, 1))
        return Views(target, appearance, geometry.sample(weight, places[:, 0], fill=0.0))

    return views


def soft_margin(height: int, width: int, margin: float = 10 / 128, ramp: float = 20 / 128) -> np.ndarray:
    """Computes a weight of pixels, (height, width, 1) float32, 0 along the border and 1 inside; it is separable.

    Of each side, a fraction `margin` has 0, and a fraction `ramp` rises as 0.5 + 0.5 * tanh(x / 0.4), x from -1 to 1.
    Source: IMM's code, 10 and 20 px of 128. Raises InputError if twice the fractions do not fit the side.
    """
    if min(margin, ramp) < 0 or margin + ramp > 0.5:
        raise InputError(f"soft margin: margin is {margin:g} and ramp {ramp:g}; give fractions of the side, 0 or more, "
                         "whose sum is at most 0.5, since both borders have both")

    def profile(side: int) -> np.ndarray:
        rise = 0.5 + 0.5 * np.tanh(np.linspace(-1, 1, int(ramp * side)) / STEEPNESS)
        half = np.concatenate([np.zeros(int(margin * side)), rise])
        return np.concatenate([half, np.ones(side - 2 * len(half)), half[::-1]])

    return np.outer(profile(height), profile(width))[..., None].astype(np.float32)


def draw_spline(
    key: jax.Array, *, turn: float, zoom: float, shift: float, bend: tuple[float, float]
) -> Callable[[jax.Array], jax.Array]:
    """Draws a random thin-plate spline: points (N, 2) -> points (N, 2), normalised (x, y), the image from -1 to 1.

    Args:
        key: of the spline. All other arguments are standard deviations.
        turn: degrees.
        zoom: of a factor about 1.
        shift: along each axis.
        bend: of the weights of 10 x 10 control points: the first of all of them, the second of one more draw that each
            gets with probability 1/2.
    """
    keys = jax.random.split(key, 6)
    angle = turn * (math.pi / 180) * jax.random.normal(keys[0])
    factor = 1 + zoom * jax.random.normal(keys[1])
    moved = shift * jax.random.normal(keys[2], (2,))
    shape = (CONTROLS ** 2, 2)
    chosen = jax.random.bernoulli(keys[4], 0.5, shape).astype(jnp.float32)
    weights = bend[0] * jax.random.normal(keys[3], shape) + bend[1] * chosen * jax.random.normal(keys[5], shape)
    places = np.linspace(-1, 1, CONTROLS, dtype=np.float32)
    controls = jnp.asarray(np.stack(np.meshgrid(places, places), -1).reshape(shape))

    def spline(points: jax.Array) -> jax.Array:
        squared = sum(jnp.square(points[:, None, axis] - controls[None, :, axis]) for axis in (0, 1))
        squared = jnp.maximum(squared, 1e-8)
        bent = jnp.matmul(squared * jnp.log(squared), weights, precision=geometry.HIGHEST)
        rigid = geometry.move_points(geometry.similarity(angle=angle, scale=factor), points)
        return rigid + moved[None] + bent

    return spline
