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
    squares = jnp.square(positions - centres)
    values = jnp.exp(-squares / (2.0 * sigma**2))
    if window is None:
        return values
    nearest = jnp.floor(centres + 0.5)
    inside = jnp.abs(positions - nearest) <= window * sigma
    return jnp.where(inside, values, 0.0)


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
    if cutoff > 0:
        bumps = jnp.where(bumps > cutoff, bumps, 0.0)
    return bumps


def image_to_heatmap(
    image_size: tuple[int, int], heatmap_size: tuple[int, int], grid: Grid = "index"
) -> Float[Array, "3 3"]:
    """Builds the map from image to heatmap pixels, sizes (height, width).

    Raises InputError where there is none.
    """
    height, width = image_size
    rows, columns = heatmap_size
    stride = height / rows
    stride_along_x = width / columns
    if stride != stride_along_x:
        raise InputError(
            "heatmap_size",
            f"{heatmap_size} has strides {stride:g} and {stride_along_x:g} in an image of "
            f"{image_size}; divide height and width by the same number",
        )
    assert grid in get_args(Grid), grid
    if grid == "index":
        return geometry.index_grid(stride)
    return geometry.half_pixel_grid(stride)


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
    to_heatmap = image_to_heatmap(image_size, heatmap_size, grid)
    moved = geometry.move_points(to_heatmap, keypoints.astype(jnp.float32))
    if grid == "index":
        return jnp.trunc(moved + 0.5)
    return jnp.floor(moved + 0.5)


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
    labelled = visible[..., None] > 0.5
    keypoints = jnp.where(labelled, keypoints.astype(jnp.float32), 0.0)
    cells = keypoint_cells(keypoints, image_size=image_size, heatmap_size=heatmap_size, grid=grid)
    width_height = jnp.array(heatmap_size[::-1], jnp.float32)
    sides = jnp.broadcast_to(width_height, cells.shape)
    if keep == "centre":
        inside = (cells >= 0) & (cells < sides)
    else:
        reach = np.inf if window is None else window * sigma
        begun = cells + reach + 1 >= 0
        inside = begun & (cells - reach < sides)
    there = (visible > 0.5) & inside.all(-1)
    counted = there | (visible < -0.5)
    given = jnp.abs(visible.astype(jnp.float32))
    weights = jnp.where(counted, given, 0.0)
    if rounded:
        centres = cells
    else:
        to_heatmap = image_to_heatmap(image_size, heatmap_size, grid)
        centres = geometry.move_points(to_heatmap, keypoints)
    bumps = gaussian_bumps(centres, heatmap_size, sigma, window=window)
    targets = jnp.where(there[..., None, None, :], bumps, 0.0)
    return targets, weights


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
    columns = index - rows * width
    return columns, rows, flat.max(1)


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
        extended = cells + 2 * MARGIN
        matrix = np.eye(extended, cells, -MARGIN, dtype=np.float32)
        if cells >= 3:
            matrix[:MARGIN, :3] = (6, -8, 3), (3, -3, 1)
            matrix[-MARGIN:, -3:] = (1, -3, 3), (3, -8, 6)
        return matrix

    _, height, width, _ = maps.shape
    return _along_both(rows(height), rows(width), maps)


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
        row_start = (rows + dy + MARGIN) * width
        index = row_start + columns + dx + MARGIN
        values = jnp.take_along_axis(flat, index[:, None], axis=1)
        return values[:, 0]

    return read


def _middle_reader(
    windows: Float[Array, "batch 5 5 keypoints"],
) -> Callable[[int, int], jax.Array]:
    """Returns a function (dx, dy) -> values (batch, keypoints) at that offset from the middle."""

    def read(dx: int, dy: int):
        return windows[:, MARGIN + dy, MARGIN + dx]

    return read


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
    if strict_positive:
        points = jnp.where(scores[..., None] > 0, points, 0.0)
    return points, scores


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
        official: no shift in x or y if the cell is 0, 1 or the last of an axis, as in the official
            code.
    """
    chex.assert_rank(heatmaps, 4)
    heatmaps = heatmaps.astype(jnp.float32)
    columns, rows, scores = _peaks(heatmaps)
    maps = heatmaps
    # the shares of the maximum: a flat map is flat beyond its border, too, without rounding
    if not official:
        heights = jnp.maximum(heatmaps, 1e-10)
        maximum = jnp.maximum(scores, 1e-10)[:, None, None]
        maps = jnp.log(heights / maximum)
    read = _reader(extend_maps(maps), columns, rows)
    toward_x = jnp.sign(read(1, 0) - read(-1, 0))
    toward_y = jnp.sign(read(0, 1) - read(0, -1))
    shift = 0.25 * jnp.stack([toward_x, toward_y], -1)
    if official:
        _, height, width, _ = heatmaps.shape
        inside = (columns > 1) & (columns < width - 1) & (rows > 1) & (rows < height - 1)
        shift = jnp.where(inside[..., None], shift, 0.0)
    points = _points(columns, rows) + shift
    if strict_positive:
        points = jnp.where(scores[..., None] > 0, points, 0.0)
    return points, scores


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
    positions = jax.lax.broadcasted_iota(jnp.float32, profile.shape, 1)
    away = positions - peaks[:, None].astype(jnp.float32)
    values = jnp.maximum(profile, 1e-10)
    near = jnp.abs(away) <= 3
    weights = jnp.where(near, jnp.square(values), 0.0)

    def mean(of):
        weighted_sum = (weights * of).sum(1, keepdims=True)
        return weighted_sum / weights.sum(1, keepdims=True)

    # polynomials of degree 1 and 2 that are orthogonal under the weights
    away -= mean(away)
    square = jnp.square(away) - mean(jnp.square(away))
    slope = mean(away * square) / mean(jnp.square(away))
    square -= away * slope
    logs = jnp.log(values)
    bend = -2 * mean(square * logs) / mean(jnp.square(square))
    bend = jnp.clip(bend, 0.0, 4 / sigma**2)
    return bend[:, 0]


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
    taps = np.arange(-radius, radius + 1)
    squares = np.square(taps)
    weights = np.exp(-squares / (2 * deviation**2))
    kernel = weights / weights.sum()
    reach = MARGIN + radius  # cells that are read on every side of a peak
    side = 2 * MARGIN + 1
    band = np.zeros((side, 2 * reach + 1), np.float32)
    for row in range(len(band)):
        band[row, row : row + len(kernel)] = kernel
    batch, height, width, keypoints = heatmaps.shape
    flat = heatmaps.reshape(batch, height * width, keypoints)
    window_cells = jax.lax.broadcasted_iota(jnp.int32, (1, band.shape[1], 1), 1)
    offsets = window_cells - reach

    def along(peaks, cells: int):
        """Returns the nearest cell on the map of each of the window, the next one towards the middle
        where it lies beyond, and by how many cells it does."""
        place = peaks[:, None] + offsets
        nearest = jnp.clip(place, 0, cells - 1)
        inner = jnp.clip(place, min(1, cells - 1), max(cells - 2, 0))
        neighbour = jnp.where(place == nearest, nearest, inner)
        beyond = jnp.abs(place - nearest)
        return nearest, neighbour, beyond

    def continued(outer, inner, away, bend):
        """Returns logarithms `away` cells beyond the outermost: a parabola through both."""
        away = away.astype(jnp.float32)
        slope = jnp.minimum(outer - inner, 1.5 * bend[:, None, None])
        straight = outer + away * slope
        bent = (away**2 + away) / 2 * bend[:, None, None]
        return straight - bent

    def logs(row, column):
        index = row[:, :, None] * width + column[:, None]
        values = jnp.take_along_axis(flat, index.reshape(batch, -1, keypoints), axis=1)
        logarithms = jnp.log(jnp.maximum(values, 1e-10))
        return logarithms.reshape(batch, len(band[0]), -1, keypoints)

    def profile(place):
        place = jnp.broadcast_to(place, (batch, place.shape[1], keypoints))
        return jnp.take_along_axis(flat, place, axis=1)

    row, inner_row, below = along(rows, height)
    column, inner_column, beside = along(columns, width)
    # the whole column and the whole row of the map through the peak
    every_row = jax.lax.broadcasted_iota(jnp.int32, (1, height, 1), 1)
    cells_down = every_row * width + columns[:, None]
    row_starts = rows[:, None] * width
    cells_across = row_starts + jax.lax.broadcasted_iota(jnp.int32, (1, width, 1), 1)
    down = profile(cells_down)
    across = profile(cells_across)
    bend = _bend(down, rows, sigma)
    at = continued(logs(row, column), logs(inner_row, column), below[:, :, None], bend)
    next_to = continued(
        logs(row, inner_column), logs(inner_row, inner_column), below[:, :, None], bend
    )
    window_logs = continued(at, next_to, beside[:, None], _bend(across, columns, sigma))
    return _along_both(band, band, jnp.exp(window_logs))


def decode_dark(
    heatmaps: Float[Array, "batch height width keypoints"], *, sigma: float = 2.0, blur: bool = True
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Refines the arg-max by one Newton step on the logarithm of the blurred map, exact for a
    Gaussian.

    It also steps at and beyond the outermost cells, where the official code takes no step: there
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
        factor = scores[:, None, None] / jnp.where(highest > 0, highest, 1.0)
        smooth = smooth * factor
        logs = jnp.log(jnp.maximum(smooth, 1e-10))
        read = _middle_reader(logs)
    else:
        logs = jnp.log(jnp.maximum(heatmaps, 1e-10))
        read = _reader(extend_maps(logs), columns, rows)
    dx = 0.5 * (read(1, 0) - read(-1, 0))
    dy = 0.5 * (read(0, 1) - read(0, -1))
    dxx = 0.25 * (read(2, 0) - 2 * read(0, 0) + read(-2, 0))
    dyy = 0.25 * (read(0, 2) - 2 * read(0, 0) + read(0, -2))
    dxy = 0.25 * (read(1, 1) - read(1, -1) - read(-1, 1) + read(-1, -1))
    determinant = dxx * dyy - dxy * dxy
    steady = (dxx < 0) & (determinant > 0)
    divisor = jnp.where(steady, determinant, 1.0)
    step_x = dxy * dy - dyy * dx
    step_y = dxy * dx - dxx * dy
    numerator = jnp.stack([step_x, step_y], -1)
    step = numerator / divisor[..., None]
    cells = _points(columns, rows)
    shift = jnp.where(steady[..., None], jnp.clip(step, -1.0, 1.0), 0.0)
    return cells + shift, scores


def decode_soft_argmax(
    heatmaps: Float[Array, "batch height width keypoints"], *, temperature: float = 1.0
) -> tuple[Float[Array, "batch keypoints 2"], Float[Array, "batch keypoints"]]:
    """Computes the mean position under softmax(heatmaps / temperature), differentiable.

    Returns points (x, y) in heatmap pixels and the largest probability of each map, float32.
    """
    chex.assert_rank(heatmaps, 4)
    probabilities = spatial_softmax(heatmaps.astype(jnp.float32) / temperature)
    along_x = probabilities.sum(1)
    along_y = probabilities.sum(2)

    def mean_position(marginal):
        positions = jax.lax.broadcasted_iota(jnp.float32, marginal.shape, 1)
        return (marginal * positions).sum(1)

    x = mean_position(along_x)
    y = mean_position(along_y)
    points = jnp.stack([x, y], -1)
    return points, probabilities.max((1, 2))


# Share of its maximum, from which the second peak of a map may be read in its place. On a clip of a mouse
# from the side it left both hind paws in one place on 9 % of the frames, of 67 %, at the same held-out
# error; 0.1 left 1 %, and moved points that were right. One run, its held-out part. A partner whose
# maximum is below this share is taken to be absent.
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
    stay. So does one whose partner's maximum has less than `SECOND` of its own: the partner is not
    there, and its map, which is low but not zero, says nothing of the peak.

    heatmaps: heights or probabilities; float32. pairs: of keypoints, each in one at most. sigma: of a
    keypoint's Gaussian in heatmap pixels.
    """
    chex.assert_rank(heatmaps, 4)
    if not pairs:
        return heatmaps
    firsts = np.array([first for first, _ in pairs])
    seconds = np.array([second for _, second in pairs])
    order = np.concatenate([firsts, seconds])
    mine = heatmaps[..., order]
    partner = heatmaps[..., np.concatenate([seconds, firsts])]
    rows = jax.lax.broadcasted_iota(jnp.float32, mine.shape, 1)
    columns = jax.lax.broadcasted_iota(jnp.float32, mine.shape, 2)

    def around(maps, most: float):
        """Returns the cells within a distance of each map's maximum, and the maximum's cell."""
        column, row, _ = _peaks(maps)
        cell = _points(column, row)
        away = jnp.square(columns - cell[:, None, None, :, 0])
        away += jnp.square(rows - cell[:, None, None, :, 1])
        near = away <= most**2
        return near, cell

    taken, theirs = around(partner, 1.5 * sigma)
    _, own = around(mine, 0.0)
    squares = jnp.square(own - theirs).sum(-1)
    together = squares <= (1.5 * sigma) ** 2
    is_peak = mine == _highest_beside(mine)
    others = jnp.where(is_peak & ~taken, mine, 0.0)
    top = mine.max((1, 2))
    runner_up = others.max((1, 2))
    least = jnp.maximum(SECOND * top, 0.0)
    partners_top = partner.max((1, 2))
    possible = together & (runner_up > least) & (partners_top > least)
    heights = runner_up * partners_top
    product = jnp.where(possible, heights, -1.0)
    count = len(pairs)
    of_firsts = product[:, :count]
    of_seconds = product[:, count:]
    rival = jnp.concatenate([of_seconds, of_firsts], 1)
    first_of_pair = (np.arange(2 * count) < count)[None]
    better = (product > rival) | (first_of_pair & (product == rival))
    moves = possible & better
    near_runner_up, _ = around(others, 3 * sigma)
    kept = near_runner_up & (mine <= runner_up[:, None, None])
    emptied = moves[:, None, None] & ~kept
    found = jnp.where(emptied, 0.0, mine)
    whole = jnp.concatenate([heatmaps, found], -1)
    keypoints = heatmaps.shape[-1]
    places = np.arange(keypoints)  # of each keypoint's map in `whole`
    places[order] = keypoints + np.arange(len(order))
    return whole[..., places]


def _highest_beside(
    maps: Float[Array, "batch height width keypoints"],
) -> Float[Array, "batch height width keypoints"]:
    """Returns the maximum of each cell and its eight neighbours, by shifts: ONNX Runtime refuses the
    window that a converter makes of `jax.lax.reduce_window`.
    """
    for axis in (1, 2):
        size = maps.shape[axis]
        beyond = [(0, 0)] * 4
        beyond[axis] = (1, 1)
        wide = jnp.pad(maps, beyond, constant_values=-np.inf)
        before = jax.lax.slice_in_dim(wide, 0, size, axis=axis)
        here = jax.lax.slice_in_dim(wide, 1, size + 1, axis=axis)
        after = jax.lax.slice_in_dim(wide, 2, size + 2, axis=axis)
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
        heights = spatial_softmax(maps) if logits else maps.astype(jnp.float32)
        found = separated(heights, apart, sigma=sigma)
        if name == "argmax":
            # of the maps themselves, so that scores are of one kind with pairs and without
            emptied = (found == 0) & (heights > 0)
            return decode_argmax(jnp.where(emptied, -jnp.inf, maps))
        if name == "dark":
            return decode_dark(found, sigma=sigma)
        return decode_quarter_offset(found, official=official)

    return decode


def score_kind(name: DecoderName, *, logits: bool) -> str:
    """Returns the kind of the scores of `named_decoder(name, logits=logits)`, with pairs that are
    read apart and without; scores of two kinds do not compare.

    `mse_peak`: heights of maps whose Gaussians have height 1; `softmax_peak`: probabilities;
    `logit_peak`: neither.
    """
    if not logits:
        return "mse_peak"
    if name == "argmax":
        return "logit_peak"
    return "softmax_peak"


# Both directions


class Codec(NamedTuple):
    """The encoder of keypoints as heatmaps and their decoder, on one grid and with one sigma."""

    #: a batch -> targets (B, h, w, K), weights (B, K)
    encode: Callable[[Example], tuple[jax.Array, jax.Array]]
    decode: Decoder  # heatmaps -> keypoints (B, K, 2) in image pixels, scores (B, K)
    to_heatmap: jax.Array  # (3, 3) float32, image pixels -> heatmap pixels
    #: the same of maps of any keypoints (B, h, w, n), each read by itself: `decode` may read the
    #: two maps of a left-right pair together, by their places among all K
    decode_each: Decoder


def codec(
    *,
    image_size: int | tuple[int, int],
    heatmap_size: int | tuple[int, int],
    sigma: float,
    grid: Grid = "index",
    decoder: Decoder = decode_argmax,
    decoder_of_each: Decoder | None = None,
    rounded: bool = True,
    window: float | None = 3.0,
    keep: Literal["centre", "window"] = "centre",
) -> Codec:
    """Builds the codec of `gaussian_targets`, see there, and a decoder of this module or of the
    same signature.

    decoder_of_each: reads each map by itself; needed beside a decoder that reads pairs together
    (`named_decoder` with `apart`), None is `decoder`. Sizes are a side, or (height, width); sigma
    is in heatmap pixels. Raises InputError for more than one stride, one that is no whole number,
    and a sigma that is not positive.
    """
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if isinstance(heatmap_size, int):
        heatmap_size = (heatmap_size, heatmap_size)
    sides = zip(image_size, heatmap_size, strict=True)
    if any(cells < 1 or pixels % cells for pixels, cells in sides):
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

    def in_image_pixels(find: Decoder) -> Decoder:
        def decode(heatmaps):
            chex.assert_rank(heatmaps, 4)
            cells, scores = find(heatmaps)
            keypoints = geometry.move_points(to_image, cells)
            return keypoints, scores

        return decode

    decode = in_image_pixels(decoder)
    decode_each = in_image_pixels(decoder_of_each or decoder)
    return Codec(encode, decode, to_heatmap, decode_each)
