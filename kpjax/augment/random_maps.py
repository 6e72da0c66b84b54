"""Random maps of one image, for augmentations and for losses that compare two views.

Each function here checks its settings and returns `(key, (height, width)) -> map (3, 3)`, from old
pixels to new. `jax.vmap` over keys draws one for each image of a batch.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpjax import geometry

DrawMap = Callable[[jax.Array, tuple[int, int]], jax.Array]


def draw_rotation(degrees: float) -> DrawMap:
    """Builds a rotation about (width / 2, height / 2) by U(-degrees, degrees), positive
    counter-clockwise on a screen.

    The official RegDA code turns the keypoints about that centre, and the image about one half a
    pixel away.
    """
    degrees = at_least_zero(degrees)

    def draw(key, size):
        height, width = size
        drawn = jax.random.uniform(key, (), jnp.float32, -degrees, degrees)
        angle = drawn * (math.pi / 180)
        return geometry.rotation(-angle, (width / 2, height / 2))

    return draw


def draw_square_crop(area: tuple[float, float] = (0.6, 1.3)) -> DrawMap:
    """Builds a crop of a square of U(*area) times the image's area, stretched to the image's size.

    Its position is uniform over whole pixels. A square that does not fit is drawn again, and after
    ten tries the whole image is kept (torchvision's rule, as in RegDA). In closed form: the first
    fitting draw is uniform over the areas that fit, and none fits with probability (1 - p)^10.
    Points move as index, (p - corner) * size / side, and so does the image. Images must be square.
    """
    low, high = interval(area)
    assert low > 0, area

    def draw(key, size):
        assert size[0] == size[1], size
        length = size[0]
        # the side is rounded, so a little above 1 still fits
        most = min(high, (length + 0.5) ** 2 / length**2)
        fits = max((most - low) / (high - low), 0.0) if high > low else float(low <= most)
        none_fits = (1 - fits) ** 10
        share_key, fallback_key, corner_key = jax.random.split(key, 3)
        share = jax.random.uniform(share_key, (), jnp.float32, low, max(most, low))
        rounded_side = jnp.round(jnp.sqrt(share) * length)
        side = jnp.clip(rounded_side, 1, length)
        whole = jax.random.uniform(fallback_key) < none_fits
        side = jnp.where(whole, jnp.float32(length), side)
        places = length - side + 1
        corner = jnp.floor(jax.random.uniform(corner_key, (2,)) * places)
        corner = jnp.minimum(corner, places - 1)
        zoom = geometry.scaling(length / side)
        to_corner = geometry.translation(-corner[0], -corner[1])
        return geometry.compose(zoom, to_corner)

    return draw


def draw_affine(
    *,
    degrees: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shift: float = 0.0,
    shear_degrees: float = 0.0,
) -> DrawMap:
    """Builds a rotation, zoom and shear about the middle of the image, then a shift; each uniform
    and independent.

    Angles lie between minus and plus the given one, the zoom in `scale`. shift: at most this share
    of each side.
    """
    degrees = at_least_zero(degrees)
    shift = at_least_zero(shift)
    shear_degrees = at_least_zero(shear_degrees)
    low, high = interval(scale)
    assert low > 0, scale
    assert shear_degrees < 90, shear_degrees

    def draw(key, size):
        height, width = size
        turn, lean, across, down, zoom = jax.random.uniform(key, (5,), jnp.float32, -1, 1)
        zoom = low + (high - low) * (zoom + 1) / 2
        centre = ((width - 1) / 2, (height - 1) / 2)
        shear = jnp.tan(lean * math.radians(shear_degrees))
        sheared = geometry.affine(1, shear, 0, 1, centre=centre)
        angle = turn * math.radians(degrees)
        by = (across * (shift * width), down * (shift * height))
        turned = geometry.similarity(angle=angle, scale=zoom, centre=centre, shift=by)
        return geometry.compose(turned, sheared)

    return draw


def draw_scale_rotation(
    scale: float = 0.25, degrees: float = 30.0, *, rotated: float = 0.6, middle: bool = False
) -> DrawMap:
    """Builds a zoom and rotation about (width / 2, height / 2), as the official HRNet (Sun et al.
    2019).

    With n a standard normal of its own, the visible box grows by clip(1 + scale * n, 1 - scale, 1 +
    scale), so the image shrinks by as much. The rotation, of probability `rotated`, is by
    clip(degrees * n, -2 degrees, 2 degrees), counter-clockwise on a screen if positive. The centre
    is that of the official crop: the middle of a box, at half of the side. With `middle` it is the
    middle of the image, at half of the side less one.
    """
    scale = at_least_zero(scale)
    degrees = at_least_zero(degrees)
    assert scale < 1, scale  # else the box may vanish
    assert 0 <= rotated <= 1, rotated

    def draw(key, size):
        normal_key, rotated_key = jax.random.split(key)
        grow, turn = jax.random.normal(normal_key, (2,), jnp.float32)
        box = jnp.clip(1 + scale * grow, 1 - scale, 1 + scale)
        angle = degrees * jnp.clip(turn, -2, 2) * (math.pi / 180)
        is_rotated = jax.random.bernoulli(rotated_key, rotated)
        angle = jnp.where(is_rotated, angle, jnp.float32(0))
        height, width = (side - middle for side in size)
        centre = (width / 2, height / 2)
        return geometry.similarity(angle=-angle, scale=1 / box, centre=centre)

    return draw


class Reach(NamedTuple):
    """What random maps of a crop can show of the image around it: how large and how fine to load
    it.
    """

    #: side of a square about the crop that holds all that they show, over the side of the crop
    field: float
    detail: float  # how much the strongest zoom enlarges


def scale_rotation_reach(scale: float = 0.25, degrees: float = 30.0) -> Reach:
    """Computes the reach of `draw_scale_rotation`: 1.77 and 1.33 by default."""
    turn = math.radians(min(2 * degrees, 45.0))  # a square reaches furthest at 45 degrees
    turned_side = math.cos(turn) + math.sin(turn)
    return Reach((1 + scale) * turned_side, 1 / (1 - scale))


def square_crop_reach(area: tuple[float, float] = (0.6, 1.3)) -> Reach:
    """Computes the reach of `draw_square_crop`, after a rotation too: beyond the image both are
    black as published.
    """
    return Reach(1.0, 1 / math.sqrt(area[0]))


def draw_homography(variation: float = 0.15) -> DrawMap:
    """Builds a perspective map that moves each corner of the image inwards by (a, b), outwards
    where negative.

    Each is U(-d / 2, d) with d = variation * min(height, width). The warp of Moskvyak et al. 2021
    ("Semi-supervised keypoint localization"), as in the first author's public sampler.
    """
    assert 0 <= variation < 0.5, variation  # at 0.5 corners begin to meet

    def draw(key, size):
        height, width = size
        reach = variation * min(height, width)
        corners = jnp.array([[0, 0], [0, height], [width, height], [width, 0]], jnp.float32)
        inwards = jnp.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], jnp.float32)
        corner_key, _ = jax.random.split(key)
        drawn = jax.random.uniform(corner_key, (4, 2), jnp.float32, -reach / 2, reach)
        moved = corners + inwards * drawn
        return geometry.homography(corners, moved)

    return draw


def at_least_zero(value: float) -> float:
    """Returns a number, and holds that it is finite and not negative."""
    assert 0 <= value < math.inf, value
    return float(value)


def interval(bounds: tuple[float, float]) -> tuple[float, float]:
    """Returns two numbers, and holds that they are finite, not negative, and the smaller first."""
    low, high = bounds
    assert 0 <= low <= high < math.inf, bounds
    return float(low), float(high)


PERSPECTIVE = draw_homography(0.15)  # the perspective of Moskvyak et al. 2021
