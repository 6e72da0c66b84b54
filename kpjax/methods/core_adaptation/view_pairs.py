"""Two views of each image: the one whose points are found and that is painted, and the one that lends its appearance.

Moved against each other, they force whatever carries the geometry to follow it: a point that does not move with the
object cannot say how to paint it. On the device, inside the training step; each image has a key of its own.
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
    weight: jax.Array | None = None  # (B, h, w, 1) in [0, 1], how much a pixel of the target counts; None: all alike


ViewPair = Callable[[jax.Array, jax.Array], Views]  # (key, images (B, H, W, C)) -> views

WIDEST = 40.0  # degrees at which a turn is cut
MARGIN = 70.0  # percent of a box that the published crops leave on each side of it
CONTROLS = 10  # control points along each side of a spline
STEEPNESS = 0.4  # of the ramp of a soft margin: 0.5 + 0.5 * tanh(x / 0.4), x from -1 to 1


def draw_view(
    deviation: float, *, size: tuple[int, int] | None = None, shown: float = 1.0, margin_deviation: float = 4.0,
    growth: float = 0.45,
) -> DrawMap:
    """A turn about the middle of the image and a zoom, in place of the published crop, which goes by annotated points.

    deviation: of the angle, in degrees: clip(deviation * N(0, 1), -40, 40), x towards y.
    The published view shows the box of the turned points and on each side of it int(70 + 4 * N(0, 1)) percent of that
    box. margin_deviation is the 4. A turn makes the box of points larger: here by 1 + growth * |sin(angle)|, 0.45 as
    the eyes, nose and mouth of a face in the middle give it; 1 would be a full square, 0 nothing.
    shown: the share of the image's side that a view shows with no turn and the mean margin; below 1, turned corners
    show the image and not its repeated border. size: (height, width) of the view, by default the image's.
    Raises InputError for values out of range.
    """
    deviation = at_least_zero("view", "deviation", deviation)
    margin_deviation = at_least_zero("view", "margin_deviation", margin_deviation)
    growth = at_least_zero("view", "growth", growth)
    if not 0 < shown <= 1:
        raise InputError(f"view: shown is {shown}; it is a share of the image's side, above 0 and at most 1")

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
    """Two views by turns and zooms of their own, the border repeated. deviations: degrees, of target and appearance.
    The other options are those of `draw_view`.

    Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019) and its code; see `draw_view` for
    what takes the place of the published crop.
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
    """Two views by random thin-plate splines, the border repeated: the target is the image bent a little and shifted by
    up to several percent, the appearance is the target turned, zoomed, shifted and bent again.

    A `soft_margin` of the image, which moves with it, weighs the target's pixels: what came in from beyond the border
    is not to be painted. margin, ramp: shares of the image's side. Source: IMM (Jakab et al. 2018) and its code.
    """
    def views(key: jax.Array, images: jax.Array) -> Views:
        batch, height, width, _ = images.shape
        to_pixels = jnp.array([(width - 1) / 2, (height - 1) / 2], jnp.float32)
        grid = geometry.pixel_grid(height, width) / to_pixels[None] - 1

        def origins(key: jax.Array) -> jax.Array:
            """(2, H * W, 2): where each pixel of either view comes from in the image."""
            target_key, appearance_key = jax.random.split(key)
            target = draw_spline(target_key, turn=0.0, zoom=0.0, shift=0.1, bend=(0.001, 0.005))
            again = draw_spline(appearance_key, turn=5.0, zoom=0.1, shift=0.1, bend=(0.001, 0.01))
            return jnp.stack([target(grid), target(again(grid))])

        places = jax.vmap(origins)(jax.random.split(key, batch))
        places = (places + 1) * to_pixels.reshape(1, 1, 1, 2)
        target, appearance = (geometry.sample(images, places[:, view], fill=None).reshape(images.shape)
                              for view in (0, 1))
        weight = jnp.broadcast_to(soft_margin(height, width, margin, ramp), (batch, height, width, 1))
        return Views(target, appearance, geometry.sample(weight, places[:, 0], fill=0.0).reshape(weight.shape))

    return views


def soft_margin(height: int, width: int, margin: float = 10 / 128, ramp: float = 20 / 128) -> np.ndarray:
    """(height, width, 1) float32: 0 along the border for `margin` of the side, from there on 0.5 + 0.5 * tanh(x / 0.4),
    x from -1 to 1 over `ramp` of the side, and 1 inside; the product over both axes.

    Source: IMM's code, 10 and 20 px of 128. Raises InputError for shares of which two do not fit the side.
    """
    if min(margin, ramp) < 0 or margin + ramp > 0.5:
        raise InputError(f"soft margin: margin {margin:g} and ramp {ramp:g} are shares of the side, and each border "
                         "has one of both, so together at most 0.5")

    def profile(side: int) -> np.ndarray:
        rise = 0.5 + 0.5 * np.tanh(np.linspace(-1, 1, int(ramp * side)) / STEEPNESS)
        half = np.concatenate([np.zeros(int(margin * side)), rise])
        return np.concatenate([half, np.ones(side - 2 * len(half)), half[::-1]])

    return np.outer(profile(height), profile(width))[..., None].astype(np.float32)


def draw_spline(
    key: jax.Array, *, turn: float, zoom: float, shift: float, bend: tuple[float, float]
) -> Callable[[jax.Array], jax.Array]:
    """A random thin-plate spline, points (N, 2) -> (N, 2), both normalised (x, y) with the image from -1 to 1.

    All are standard deviations: turn in degrees, zoom of a factor about 1, shift along each axis, and bend of the
    weights of 10 x 10 control points: the first of all of them, the second of one more draw that each gets with
    probability 1/2.
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
