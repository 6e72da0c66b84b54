"""Several animals in a frame as two maps: where their centres are, and how large they are.

An example has A animals of P points each as A P keypoints, one animal after the other; an animal of
which no point is visible is not there. Its centre is the middle of the box about its visible
points, and its extent the longer side, so that both move with every warp of the image. The first
map is the logit of how near a cell is to a centre, the second the binary logarithm of the extent
over the image's side (after Zhou et al. 2019, "Objects as points", whose maps of offsets and of two
sides are left out: centres lie between cells, and a crop is square).

A network with two heatmaps learns them by `kpjax.methods.supervised` with `centre_codec` and
`centre_loss`.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax import geometry
from kpjax.heatmaps import MARGIN, Codec, Grid, extend_maps, gaussian_bumps, image_to_heatmap
from kpjax.structures import Example

APART = 1  # cells within which there is one centre, as of Zhou et al. 2019


class Animals(NamedTuple):
    """Animals that were found, the most certain first."""

    #: (x, y) in image pixels, the middle of the top-left pixel at (0, 0)
    centres: Float[Array, "batch animals 2"]
    extents: Float[Array, "batch animals"]  # px, the longer side of their boxes
    scores: Float[Array, "batch animals"]  # from 0 to 1; 0 where there is no further one


def centre_codec(
    *,
    image_size: int,
    heatmap_size: int,
    points: int,
    most: int,
    sigma: float = 1.5,
    grid: Grid = "half_pixel",
) -> Codec:
    """Returns the codec of both maps.

    `encode` makes targets (B, h, w, 2) of examples, the first in [0, 1] with a Gaussian about each
    centre on the image, and weights (B, h, w) of the second. `decode` returns centres and scores as
    `find_centres` does.

    points: P, of each animal. most: animals that are decoded. sigma: of the Gaussians, in heatmap
    pixels.
    """
    to_heatmap = image_to_heatmap((image_size,) * 2, (heatmap_size,) * 2, grid)

    def encode(example: Example) -> tuple[jax.Array, jax.Array]:
        chex.assert_rank(example.visible, 2)
        chex.assert_shape(example.keypoints, (*example.visible.shape, 2))
        batch = example.visible.shape[0]
        places = example.keypoints.reshape(batch, -1, points, 2)
        visible = example.visible.reshape(batch, -1, points, 1)
        seen = visible > 0
        low = jnp.where(seen, places, jnp.inf).min(2)
        high = jnp.where(seen, places, -jnp.inf).max(2)
        there = seen.any((2, 3))
        nowhere = -1.0  # in no image
        middle = jnp.where(there[..., None], (low + high) / 2, nowhere)
        longer_side = (high - low).max(-1)
        extent = jnp.where(there, longer_side, 0.0)
        shown = there & geometry.in_frame(middle, (image_size, image_size))
        cells = geometry.move_points(to_heatmap, middle)
        bumps = gaussian_bumps(cells, (heatmap_size,) * 2, sigma, window=None)
        bumps = jnp.where(shown[:, None, None], bumps, 0.0)
        # One labelled point shows no extent.
        sized = jnp.where((extent > 0)[:, None, None], bumps, 0.0)
        known_extent = jnp.where(extent > 0, extent, image_size)
        sizes = jnp.log2(known_extent / image_size)[:, None, None]
        sizes = jnp.broadcast_to(sizes, sized.shape)
        nearest_animal = sized.argmax(-1)
        size_map = jnp.take_along_axis(sizes, nearest_animal[..., None], -1)
        centre_map = bumps.max(-1, keepdims=True)
        targets = jnp.concatenate([centre_map, size_map], -1)
        weights = sized.max(-1)
        return targets, weights

    def decode(maps: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = find_centres(maps, image_size=image_size, most=most, grid=grid)
        return found.centres, found.scores

    return Codec(encode, decode, to_heatmap, decode)


def centre_loss(
    maps: Float[Array, "batch height width 2"],
    targets: Float[Array, "batch height width 2"],
    weights: Float[Array, "batch height width"],
) -> Float[Array, ""]:
    """Computes the cross-entropy of the centres less its least value, plus the absolute error of
    the logarithms.

    The first is summed over cells and divided by the sum of all targets, the second is a mean by
    weights. Both are finite without any animal.
    """
    chex.assert_shape(maps, (None, None, None, 2))
    chex.assert_equal_shape([maps, targets])
    chex.assert_shape(weights, maps.shape[:3])
    logits = maps[..., 0].astype(jnp.float32)
    near = targets[..., 0]
    entropy = -jax.scipy.special.xlogy(near, near) - jax.scipy.special.xlogy(1 - near, 1 - near)
    divergence = jax.nn.softplus(logits) - near * logits - entropy
    sizes = jnp.abs(maps[..., 1].astype(jnp.float32) - targets[..., 1])
    of_centres = divergence.sum() / jnp.maximum(near.sum(), 1.0)
    of_sizes = (weights * sizes).sum() / jnp.maximum(weights.sum(), 1.0)
    return of_centres + of_sizes


def find_centres(
    maps: Float[Array, "batch height width 2"],
    *,
    image_size: int,
    most: int,
    grid: Grid = "half_pixel",
) -> Animals:
    """Returns the `most` highest peaks of the map of centres, each refined by a parabola along both
    axes.

    A peak is a cell that none of its neighbours exceeds. Of equal neighbours, the first in reading
    order is one.
    """
    chex.assert_shape(maps, (None, None, None, 2))
    batch, height, width, _ = maps.shape
    logits = maps[..., 0].astype(jnp.float32)
    side = 2 * APART + 1

    def highest_around(values):
        return jax.lax.reduce_window(
            values, -jnp.inf, jax.lax.max, (1, side, side), (1, 1, 1), "SAME"
        )

    highest = highest_around(logits)
    # Equal cells: the place in reading order decides.
    order = jnp.arange(height * width, 0, -1, dtype=jnp.float32)
    order = order.reshape(1, height, width)
    order = jnp.broadcast_to(order, logits.shape)
    tied = jnp.where(logits == highest, order, 0.0)
    first = highest_around(tied)
    peak = (logits == highest) & (tied == first)
    peak_scores = jnp.where(peak, jax.nn.sigmoid(logits), 0.0)
    scores, cells = jax.lax.top_k(peak_scores.reshape(batch, -1), most)
    rows = cells // width
    columns = cells % width

    around = extend_maps(jax.nn.log_sigmoid(maps[..., :1].astype(jnp.float32)))

    def at(row, column):
        row_start = (row + MARGIN) * (width + 2 * MARGIN)
        place = row_start + column + MARGIN
        return jnp.take_along_axis(around.reshape(batch, -1), place, 1)

    # the top of a parabola, at most half a cell from the middle one
    def refined(before, here, after):
        bend = before - 2 * here + after
        return jnp.where(
            bend < 0,
            jnp.clip((before - after) / jnp.where(bend < 0, 2 * bend, 1.0), -0.5, 0.5),
            0.0,
        )

    here = at(rows, columns)
    x = columns.astype(jnp.float32)
    x = x + refined(at(rows, columns - 1), here, at(rows, columns + 1))
    y = rows.astype(jnp.float32)
    y = y + refined(at(rows - 1, columns), here, at(rows + 1, columns))
    to_image = geometry.invert(image_to_heatmap((image_size,) * 2, (height, width), grid))
    size_map = maps[..., 1].astype(jnp.float32)
    sizes = jnp.take_along_axis(size_map.reshape(batch, -1), cells, 1)
    centres = geometry.move_points(to_image, jnp.stack([x, y], -1))
    extents = image_size * jnp.exp2(sizes)
    return Animals(centres, extents, scores)
