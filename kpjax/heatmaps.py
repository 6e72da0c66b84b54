"""Keypoints to heatmaps, and heatmaps to keypoints.

Points are (x, y). Heatmap pixels have the centre of the top-left cell at (0, 0). A grid of
`kpjax.geometry` relates them to the image: "index" (heatmap = image / stride, as in the official
HRNet and RegDA) or "half_pixel" (both cover the same area). Heatmaps are (batch, height, width,
keypoints). Every function refuses arrays of other shapes than it states, by an AssertionError while
it is traced.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kpjax import geometry
from kpjax.errors import InputError
from kpjax.structures import Example

Grid = Literal["index", "half_pixel"]
Decoder = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


# Rendering


def gaussian_profile(
    centres: Float[Array, "*batch keypoints"],
    cells: int,
    sigma: float,
    *,
    window: float | None = 3.0,
) -> Float[Array, "*batch {cells} keypoints"]:
    """Computes Gaussians along one axis, peak 1: exp(-(i - centre)^2 / (2 sigma^2)) for i = 0 ...
    cells - 1, float32.

    Args:
        centres: in cells.
        sigma: in cells.
        window: zero further than window * sigma from the cell nearest to the centre, so that every
            centre has a support of the same number of cells; None keeps the tails.
    """
    chex.assert_shape(centres, (..., None))
    centres = centres.astype(jnp.float32)[..., None, :]
    shape = (*centres.shape[:-2], cells, centres.shape[-1])
    positions = jax.lax.broadcasted_iota(jnp.float32, shape, len(shape) - 2)
    values = jnp.exp(-jnp.square(positions - centres) / (2.0 * sigma**2))
    if window is None:
        return values
    return jnp.where(jnp.abs(positions - jnp.floor(centres + 0.5)) <= window * sigma, values, 0.0)


def gaussian_bumps(
    centres: Float[Array, "*batch keypoints 2"],
    size: tuple[int, int],
    sigma: float,
    *,
    window: float | None = 3.0,
    cutoff: float = 0.0,
) -> Float[Array, "*batch height width keypoints"]:
    """Renders a Gaussian of peak 1 at each centre, not normalised, as the outer product of two
    profiles. Float32.

    Args:
        centres: (x, y) in heatmap pixels, anywhere; parts outside the map are cut off without
            compensation.
        sigma: in heatmap pixels.
        window: half the side of the square support in sigmas (official HRNet: 3); None for no
            window.
        cutoff: values <= cutoff become 0 (0.01 in the fast generator of the official RegDA).
    """
    chex.assert_shape(centres, (..., None, 2))
    height, width = size
    columns = gaussian_profile(centres[..., 0], width, sigma, window=window)
    rows = gaussian_profile(centres[..., 1], height, sigma, window=window)
    bumps = rows[..., :, None, :] * columns[..., None, :, :]
    return jnp.where(bumps > cutoff, bumps, 0.0) if cutoff > 0 else bumps


def image_to_heatmap(
    image_size: tuple[int, int], heatmap_size: tuple[int, int], grid: Grid = "index"
) -> Float[Array, "3 3"]:
    """Builds the map from image to heatmap pixels, sizes (height, width).

    Raises InputError where there is none.
    """
    strides = tuple(
        image / heatmap for image, heatmap in zip(image_size, heatmap_size, strict=True)
    )
    if strides[0] != strides[1]:
        raise InputError(
            "heatmap_size",
            f"{heatmap_size} has strides {strides[0]:g} and {strides[1]:g} in an image of "
            f"{image_size}; divide height and width by the same number",
        )
    assert grid in get_args(Grid), grid
    return (
        geometry.index_grid(strides[0]) if grid == "index" else geometry.half_pixel_grid(strides[0])
    )


def keypoint_cells(
    keypoints: Float[Array, "*batch keypoints 2"],
    *,
    image_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    grid: Grid = "index",
) -> Float[Array, "*batch keypoints 2"]:
    """Returns the heatmap cell of each keypoint, float32 whole numbers, also for keypoints outside
    the map.

    On the index grid the half-way rule is the official one, truncation of u / stride + 0.5 toward
    zero (so u in (-1.5,
    -0.5) strides still falls into cell 0); on the half-pixel grid it is the nearest cell.
    """
    chex.assert_shape(keypoints, (..., None, 2))
    moved = geometry.move_points(
        image_to_heatmap(image_size, heatmap_size, grid), keypoints.astype(jnp.float32)
    )
    return jnp.trunc(moved + 0.5) if grid == "index" else jnp.floor(moved + 0.5)


def gaussian_targets(
    keypoints: Float[Array, "*batch keypoints 2"],
    visible: Float[Array, "*batch keypoints"],
    *,
    image_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float,
    grid: Grid = "index",
    rounded: bool = True,
    window: float | None = 3.0,
    keep: Literal["centre", "window"] = "centre",
) -> tuple[Float[Array, "*batch height width keypoints"], Float[Array, "*batch keypoints"]]:
    """Renders target heatmaps of labelled keypoints, and returns the weight of each keypoint.

    Sizes are (height, width), keypoints in image pixels, sigma in heatmap pixels.

    Args:
        visible: weights in {0, 1}; -1 of a keypoint that is known to be absent, whose map is empty
            and has the weight 1.
        rounded: the Gaussian stands on the keypoint's cell (`keypoint_cells`); otherwise on its
            sub-pixel position.
        window: see `gaussian_bumps`.
        keep: the weight is 0 if the cell lies outside the map ("centre", the official RegDA) or
            only if the whole window does ("window", the official HRNet). The latter is asymmetric
            by one cell: a window that ends right before cell 0 keeps its weight with an empty map.
            With `window=None` it drops no keypoint.

    Returns:
        (targets, weights), float32. A keypoint of weight 0, or that is absent, has an empty map
        whatever its coordinates are, NaN included.
    """
    assert keep in ("centre", "window"), keep
    chex.assert_shape(keypoints, (..., None, 2))
    chex.assert_shape(visible, keypoints.shape[:-1])
    keypoints = jnp.where(visible[..., None] > 0.5, keypoints.astype(jnp.float32), 0.0)
    cells = keypoint_cells(keypoints, image_size=image_size, heatmap_size=heatmap_size, grid=grid)
    sides = jnp.broadcast_to(jnp.array(heatmap_size[::-1], jnp.float32), cells.shape)
    if keep == "centre":
        inside = (cells >= 0) & (cells < sides)
    else:
        reach = np.inf if window is None else window * sigma
        inside = (cells + reach + 1 >= 0) & (cells - reach < sides)
    there = (visible > 0.5) & inside.all(-1)
    weights = jnp.where(there | (visible < -0.5), jnp.abs(visible.astype(jnp.float32)), 0.0)
    centres = (
        cells
        if rounded
        else geometry.move_points(image_to_heatmap(image_size, heatmap_size, grid), keypoints)
    )
    bumps = gaussian_bumps(centres, heatmap_size, sigma, window=window)
    return jnp.where(there[..., None, None, :], bumps, 0.0), weights


# Decoding


def spatial_softmax(
    logits: Float[Array, "batch height width keypoints"],
) -> Float[Array, "batch height width keypoints"]:
    """Computes the softmax of each keypoint's map over all of its cells, in float32."""
    chex.assert_rank(logits, 4)
    return jax.nn.softmax(logits.astype(jnp.float32), axis=(1, 2))


def _peaks(
    heatmaps: Float[Array, "batch height width keypoints"],
) -> tuple[
    Int[Array, "batch keypoints"], Int[Array, "batch keypoints"], Float[Array, "batch keypoints"]
]:
    """Returns column, row and value of each map's maximum; of equal maxima the first in reading
    order.
    """
    batch, height, width, keypoints = heatmaps.shape
    flat = heatmaps.reshape(batch, height * width, keypoints)
    index = jnp.argmax(flat, axis=1)
    # not `%`, which the converter to ONNX does not know of batches of any size
    rows = jax.lax.div(index, jnp.full_like(index, width))
    return index - rows * width, rows, flat.max(1)


MARGIN = 2  # cells beyond the border that finite differences reach


def extend_maps(
    maps: Float[Array, "batch height width keypoints"],
) -> Float[Array, "batch height+4 width+4 keypoints"]:
    """Adds two cells on every side: those of the parabola through the three outermost, along each
    axis.

    The logarithm of a Gaussian goes on as it is, so that finite differences at the border are those
    within.
    """
    chex.assert_rank(maps, 4)

    def rows(cells: int):
        matrix = np.eye(cells + 2 * MARGIN, cells, -MARGIN, dtype=np.float32)
        if cells >= 3:
            matrix[:MARGIN, :3] = (6, -8, 3), (3, -3, 1)
            matrix[-MARGIN:, -3:] = (1, -3, 3), (3, -8, 6)
        return matrix

    return _along_both(rows(maps.shape[1]), rows(maps.shape[2]), maps)


def _along_both(rows, columns, maps):
    """Multiplies maps by a matrix along the height, and by one along the width."""
    highest = jax.lax.Precision.HIGHEST
    maps = jnp.einsum("ij,bjwk->biwk", rows, maps, precision=highest)
    return jnp.einsum("ij,bhjk->bhik", columns, maps, precision=highest)


def _reader(
    margined: Float[Array, "batch height width keypoints"],
    columns: Int[Array, "batch keypoints"],
    rows: Int[Array, "batch keypoints"],
) -> Callable[[int, int], jax.Array]:
    """Returns a function (dx, dy) -> values (batch, keypoints) at that offset; maps have MARGIN
    more cells around.
    """
    batch, height, width, keypoints = margined.shape
    flat = margined.reshape(batch, height * width, keypoints)

    def read(dx: int, dy: int):
        index = (rows + dy + MARGIN) * width + columns + dx + MARGIN
        return jnp.take_along_axis(flat, index[:, None], axis=1)[:, 0]

    return read


def _middle_reader(
    windows: Float[Array, "batch 5 5 keypoints"],
) -> Callable[[int, int], jax.Array]:
    """Returns a function (dx, dy) -> values (batch, keypoints) at that offset from the middle."""
    return lambda dx, dy: windows[:, MARGIN + dy, MARGIN + dx]


def _points(columns, rows) -> Float[Array, "batch keypoints 2"]:
    return jnp.stack([columns, rows], axis=-1).astype(jnp.float32)


def decode_argmax(
    heatmaps: Float[Array, "batch height width keypoints"], *, strict_positive: bool = False
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Returns the cell of each map's maximum, of equal maxima the first in reading order, and the
    maximum.

    strict_positive: a map whose maximum is not positive gives (0, 0), as in the official HRNet and
        RegDA. Maps that are read through a softmax have no zero level, and the rule then misfires.

    Returns points (x, y) in heatmap pixels and scores, float32.
    """
    chex.assert_rank(heatmaps, 4)
    heatmaps = heatmaps.astype(jnp.float32)
    columns, rows, scores = _peaks(heatmaps)
    points = _points(columns, rows)
    return (jnp.where(scores[..., None] > 0, points, 0.0) if strict_positive else points), scores


def decode_quarter_offset(
    heatmaps: Float[Array, "batch height width keypoints"],
    *,
    strict_positive: bool = False,
    official: bool = False,
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Refines `decode_argmax` by a quarter of a pixel toward the larger neighbour in x and in y.

    Source: Newell et al. 2016 and the official HRNet. A neighbour beyond the border is `extend_maps`
    of the logarithm.

    Args:
        heatmaps: non-negative up to noise; values below 1e-10 are raised to it, but for `official`.
        strict_positive: see `decode_argmax`.
        official: no shift in x nor y if the cell is 0, 1 or the last of an axis, as in the official
            code.
    """
    chex.assert_rank(heatmaps, 4)
    heatmaps = heatmaps.astype(jnp.float32)
    columns, rows, scores = _peaks(heatmaps)
    maps = heatmaps
    # the shares of the maximum: a flat map is flat beyond its border, too, without rounding
    if not official:
        maps = jnp.log(jnp.maximum(heatmaps, 1e-10) / jnp.maximum(scores, 1e-10)[:, None, None])
    read = _reader(extend_maps(maps), columns, rows)
    shift = 0.25 * jnp.stack(
        [jnp.sign(read(1, 0) - read(-1, 0)), jnp.sign(read(0, 1) - read(0, -1))], -1
    )
    if official:
        _, height, width, _ = heatmaps.shape
        inside = (columns > 1) & (columns < width - 1) & (rows > 1) & (rows < height - 1)
        shift = jnp.where(inside[..., None], shift, 0.0)
    points = _points(columns, rows) + shift
    return (jnp.where(scores[..., None] > 0, points, 0.0) if strict_positive else points), scores


def _bend(
    profile: Float[Array, "batch cells keypoints"],
    peaks: Int[Array, "batch keypoints"],
    sigma: float,
):
    """Returns 1 / variance of a Gaussian along a line through its peak (batch, keypoints), at most
    that of sigma / 2.

    The logarithm is fitted by a parabola within three cells of the peak, weighted by the squares of
    values. Source: Guo 2011.
    """
    away = jax.lax.broadcasted_iota(jnp.float32, profile.shape, 1) - peaks[:, None].astype(
        jnp.float32
    )
    values = jnp.maximum(profile, 1e-10)
    weights = jnp.where(jnp.abs(away) <= 3, jnp.square(values), 0.0)

    def mean(of):
        return (weights * of).sum(1, keepdims=True) / weights.sum(1, keepdims=True)

    away -= mean(away)
    square = jnp.square(away) - mean(jnp.square(away))
    square -= away * (mean(away * square) / mean(jnp.square(away)))
    bend = -2 * mean(square * jnp.log(values)) / mean(jnp.square(square))
    return jnp.clip(bend, 0.0, 4 / sigma**2)[:, 0]


def _blurred_window(
    heatmaps: Float[Array, "batch height width keypoints"],
    columns: Int[Array, "batch keypoints"],
    rows: Int[Array, "batch keypoints"],
    sigma: float,
) -> Float[Array, "batch 5 5 keypoints"]:
    """Blurs maps with OpenCV's Gaussian kernel for sigma (11 cells for 2, 17 for 3), and returns the
    MARGIN cells on every side of their peaks at columns and rows: nothing else is read of them.

    Beyond the border a map goes on as a Gaussian through the two outermost cells that is as wide as
    at the peak, and whose centre lies at most a cell beyond. Zeros there, as in the official code,
    would draw points inward.
    """
    radius = max(1, round((sigma - 0.8) / 0.3 + 1))
    deviation = 0.3 * (radius - 1) + 0.8
    weights = np.exp(-np.square(np.arange(-radius, radius + 1)) / (2 * deviation**2))
    band = np.zeros((2 * MARGIN + 1, 2 * (MARGIN + radius) + 1), np.float32)
    for row in range(len(band)):
        band[row, row : row + len(weights)] = weights / weights.sum()
    batch, height, width, keypoints = heatmaps.shape
    flat = heatmaps.reshape(batch, height * width, keypoints)
    offsets = jax.lax.broadcasted_iota(jnp.int32, (1, band.shape[1], 1), 1) - (MARGIN + radius)

    def along(peaks, cells: int):
        """Returns the nearest cell on the map of each of the window, the next one towards the middle
        where it lies beyond, and by how many cells it does."""
        place = peaks[:, None] + offsets
        nearest = jnp.clip(place, 0, cells - 1)
        inner = jnp.clip(place, min(1, cells - 1), max(cells - 2, 0))
        return nearest, jnp.where(place == nearest, nearest, inner), jnp.abs(place - nearest)

    def continued(outer, inner, away, bend):
        away = away.astype(jnp.float32)
        slope = jnp.minimum(outer - inner, 1.5 * bend[:, None, None])
        return outer + away * slope - (away**2 + away) / 2 * bend[:, None, None]

    def logs(row, column):
        index = (row[:, :, None] * width + column[:, None]).reshape(batch, -1, keypoints)
        values = jnp.take_along_axis(flat, index, axis=1)
        return jnp.log(jnp.maximum(values, 1e-10)).reshape(batch, len(band[0]), -1, keypoints)

    (row, inner_row, below), (column, inner_column, beside) = (
        along(rows, height),
        along(columns, width),
    )
    down, across = (
        jnp.take_along_axis(
            flat, jnp.broadcast_to(place, (batch, place.shape[1], keypoints)), axis=1
        )
        for place in (
            jax.lax.broadcasted_iota(jnp.int32, (1, height, 1), 1) * width + columns[:, None],
            rows[:, None] * width + jax.lax.broadcasted_iota(jnp.int32, (1, width, 1), 1),
        )
    )
    bend = _bend(down, rows, sigma)
    at, next_to = (
        continued(logs(row, x), logs(inner_row, x), below[:, :, None], bend)
        for x in (column, inner_column)
    )
    values = jnp.exp(continued(at, next_to, beside[:, None], _bend(across, columns, sigma)))
    return _along_both(band, band, values)


def decode_dark(
    heatmaps: Float[Array, "batch height width keypoints"], *, sigma: float = 2.0, blur: bool = True
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Refines the arg-max by one Newton step on the logarithm of the blurred map, exact for a
    Gaussian.

    At the border and beyond the outermost cells, too, where the official code takes no step: there
    maps are continued (`extend_maps`). No step is taken where the logarithm is not strictly concave:
    it would lead away from the maximum. The step is at most a heatmap pixel along each axis; the
    official code allows any, which is far on a nearly flat map.
    Source: Zhang et al. 2020 (DARK), with the finite differences of its code.

    Args:
        heatmaps: non-negative up to noise; values below 1e-10 are raised to it. Logits need
            `spatial_softmax` first.
        sigma: of the targets in heatmap pixels; it sets the blur.
        blur: False for maps that are already smooth.

    Returns:
        Points (x, y) in heatmap pixels and the maxima of the maps as given, float32.
    """
    chex.assert_rank(heatmaps, 4)
    heatmaps = heatmaps.astype(jnp.float32)
    columns, rows, scores = _peaks(heatmaps)
    if blur:
        smooth = _blurred_window(heatmaps, columns, rows, sigma)
        highest = smooth.max((1, 2), keepdims=True)
        smooth = smooth * (scores[:, None, None] / jnp.where(highest > 0, highest, 1.0))
        logs = jnp.log(jnp.maximum(smooth, 1e-10))
        read = _middle_reader(logs)
    else:
        read = _reader(extend_maps(jnp.log(jnp.maximum(heatmaps, 1e-10))), columns, rows)
    dx, dy = 0.5 * (read(1, 0) - read(-1, 0)), 0.5 * (read(0, 1) - read(0, -1))
    dxx = 0.25 * (read(2, 0) - 2 * read(0, 0) + read(-2, 0))
    dyy = 0.25 * (read(0, 2) - 2 * read(0, 0) + read(0, -2))
    dxy = 0.25 * (read(1, 1) - read(1, -1) - read(-1, 1) + read(-1, -1))
    determinant = dxx * dyy - dxy * dxy
    steady = (dxx < 0) & (determinant > 0)
    divisor = jnp.where(steady, determinant, 1.0)
    step = jnp.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / divisor[..., None]
    return _points(columns, rows) + jnp.where(
        steady[..., None], jnp.clip(step, -1.0, 1.0), 0.0
    ), scores


def decode_soft_argmax(
    heatmaps: Float[Array, "batch height width keypoints"], *, temperature: float = 1.0
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Computes the mean position under softmax(heatmaps / temperature), differentiable.

    Returns points (x, y) in heatmap pixels and the largest probability of each map, float32.
    """
    chex.assert_rank(heatmaps, 4)
    probabilities = spatial_softmax(heatmaps.astype(jnp.float32) / temperature)
    along_x, along_y = probabilities.sum(1), probabilities.sum(2)

    def mean_position(marginal):
        return (marginal * jax.lax.broadcasted_iota(jnp.float32, marginal.shape, 1)).sum(1)

    points = jnp.stack([mean_position(along_x), mean_position(along_y)], -1)
    return points, probabilities.max((1, 2))


# Share of its maximum, from which the second peak of a map may be read in its place. On a clip of a mouse
# from the side it left both hind paws in one place on 9 % of the frames, of 67 %, at the same held-out
# error; 0.1 left 1 %, and moved points that were right. One run, its held-out part.
SECOND = 0.3


def separated(
    heatmaps: Float[Array, "batch height width keypoints"],
    pairs: Sequence[tuple[int, int]],
    *,
    sigma: float,
) -> Float[Array, "batch height width keypoints"]:
    """Returns maps of which the two of a pair have different maxima, where one of them has a second peak.

    A network that does not tell a left keypoint from its right one gives both maps the same two peaks,
    and each alone is read at the higher one. Where the maxima of a pair lie within 1.5 sigma, one
    keypoint keeps it and the other takes its own highest peak elsewhere, if that has `SECOND` of its
    maximum: of both ways the one with the larger product of peaks. The other's map is then zero but
    for three sigma around that peak. Maps of keypoints that truly lie on one another have one peak, and
    stay.

    heatmaps: heights or probabilities; float32. pairs: of keypoints, each in one at most. sigma: of a
    keypoint's Gaussian in heatmap pixels.
    """
    chex.assert_rank(heatmaps, 4)
    if not pairs:
        return heatmaps
    firsts, seconds = (np.array(side) for side in zip(*pairs, strict=True))
    order = np.concatenate([firsts, seconds])
    mine, partner = heatmaps[..., order], heatmaps[..., np.concatenate([seconds, firsts])]
    rows = jax.lax.broadcasted_iota(jnp.float32, mine.shape, 1)
    columns = jax.lax.broadcasted_iota(jnp.float32, mine.shape, 2)

    def around(maps, most: float):
        """Returns the cells within a distance of each map's maximum, and the maximum's cell."""
        column, row, _ = _peaks(maps)
        cell = _points(column, row)
        away = jnp.square(columns - cell[:, None, None, :, 0])
        away += jnp.square(rows - cell[:, None, None, :, 1])
        return away <= most**2, cell

    taken, theirs = around(partner, 1.5 * sigma)
    together = jnp.square(around(mine, 0.0)[1] - theirs).sum(-1) <= (1.5 * sigma) ** 2
    others = jnp.where((mine == _highest_beside(mine)) & ~taken, mine, 0.0)
    top, second = mine.max((1, 2)), others.max((1, 2))
    possible = together & (second > jnp.maximum(SECOND * top, 0.0))
    product = jnp.where(possible, second * partner.max((1, 2)), -1.0)
    count = len(pairs)
    rival = jnp.concatenate([product[:, count:], product[:, :count]], 1)
    first_of_pair = (np.arange(2 * count) < count)[None]
    moves = possible & ((product > rival) | (first_of_pair & (product == rival)))
    kept = around(others, 3 * sigma)[0] & (mine <= second[:, None, None])
    found = jnp.where(moves[:, None, None] & ~kept, 0.0, mine)
    place = {int(k): n for n, k in enumerate(order)}
    whole = jnp.concatenate([heatmaps, found], -1)
    keypoints = heatmaps.shape[-1]
    return whole[
        ..., np.array([keypoints + place[k] if k in place else k for k in range(keypoints)])
    ]


def _highest_beside(
    maps: Float[Array, "batch height width keypoints"],
) -> Float[Array, "batch height width keypoints"]:
    """Returns the maximum of each cell and its eight neighbours, by shifts: ONNX Runtime refuses the
    window that a converter makes of `jax.lax.reduce_window`.
    """
    for axis in (1, 2):
        size, beyond = maps.shape[axis], [(0, 0)] * 4
        beyond[axis] = (1, 1)
        wide = jnp.pad(maps, beyond, constant_values=-np.inf)
        before, here, after = (
            jax.lax.slice_in_dim(wide, first, first + size, axis=axis) for first in range(3)
        )
        maps = jnp.maximum(jnp.maximum(before, here), after)
    return maps


DecoderName = Literal["dark", "quarter", "argmax"]


def named_decoder(
    name: DecoderName,
    *,
    sigma: float,
    logits: bool = False,
    official: bool = False,
    apart: Sequence[tuple[int, int]] = (),
) -> Decoder:
    """Builds a decoder of heatmaps. Logits of a KL loss go through their softmax first, but for the
    arg-max.

    On validation data a mouse's mean error was 5.5 px by DARK, 6.4 by quarter offset and 6.8 by
    arg-max, with one network; on faces the order is the same. official: see
    `decode_quarter_offset`. apart: pairs of keypoints that are read at two peaks (`separated`).
    """
    if name == "argmax" and not apart:
        return decode_argmax

    def decode(maps):
        maps = spatial_softmax(maps) if logits else maps.astype(jnp.float32)
        maps = separated(maps, apart, sigma=sigma)
        if name == "argmax":
            return decode_argmax(maps)
        if name == "dark":
            return decode_dark(maps, sigma=sigma)
        return decode_quarter_offset(maps, official=official)

    return decode


def score_kind(name: DecoderName, *, logits: bool) -> str:
    """Returns the kind of the scores of `named_decoder(name, logits=logits)`; scores of two kinds
    do not compare.

    `mse_peak`: heights of maps whose Gaussians have height 1; `softmax_peak`: probabilities;
    `logit_peak`: neither.
    """
    if not logits:
        return "mse_peak"
    return "logit_peak" if name == "argmax" else "softmax_peak"


# Both directions


class Codec(NamedTuple):
    """The encoder of keypoints as heatmaps and their decoder, on one grid and with one sigma."""

    #: a batch -> targets (B, h, w, K), weights (B, K)
    encode: Callable[[Example], tuple[jax.Array, jax.Array]]
    decode: Decoder  # heatmaps -> keypoints (B, K, 2) in image pixels, scores (B, K)
    to_heatmap: jax.Array  # (3, 3) float32, image pixels -> heatmap pixels


def codec(
    *,
    image_size: int | tuple[int, int],
    heatmap_size: int | tuple[int, int],
    sigma: float,
    grid: Grid = "index",
    decoder: Decoder = decode_argmax,
    rounded: bool = True,
    window: float | None = 3.0,
    keep: Literal["centre", "window"] = "centre",
) -> Codec:
    """Builds the codec of `gaussian_targets`, see there, and a decoder of this module or of the
    same signature.

    Sizes are a side, or (height, width); sigma is in heatmap pixels. Raises InputError for more
    than one stride, one that is no whole number, and a sigma that is not positive.
    """
    image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
    heatmap_size = (heatmap_size, heatmap_size) if isinstance(heatmap_size, int) else heatmap_size
    if any(
        cells < 1 or pixels % cells for pixels, cells in zip(image_size, heatmap_size, strict=True)
    ):
        raise InputError(
            "heatmap_size",
            f"{heatmap_size} does not divide an image of {image_size}; give the image's "
            "height and width over one whole number",
        )
    if not sigma > 0:
        raise InputError("sigma", f"{sigma}; give a positive number of heatmap pixels")
    to_heatmap = image_to_heatmap(image_size, heatmap_size, grid)
    to_image = geometry.invert(to_heatmap)

    def encode(example: Example):
        return gaussian_targets(
            example.keypoints,
            example.visible,
            image_size=image_size,
            heatmap_size=heatmap_size,
            sigma=sigma,
            grid=grid,
            rounded=rounded,
            window=window,
            keep=keep,
        )

    def decode(heatmaps):
        chex.assert_rank(heatmaps, 4)
        points, scores = decoder(heatmaps)
        return geometry.move_points(to_image, points), scores

    return Codec(encode, decode, to_heatmap)
