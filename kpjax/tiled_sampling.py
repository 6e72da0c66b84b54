"""Bilinear sampling as TPUs do best: products of weights with the part of an image that a tile of
the result needs.

A TPU gathers pixels one after another, and multiplies matrices fast. A pixel of the result is a sum
over all pixels of the source, each times a weight along x and a weight along y, of which two each
are not 0. The pixels of a tile of the result lie close together in the source. So each tile takes
one slice of the source, and multiplies it with the weights along x and then along y. Where a map
shrinks the source so much that a tile does not fit into a slice, as many slices as needed are added
up: every map is exact. Slices begin where the 8 x 128 numbers of a TPU's registers do, in windows
that overlap; anywhere else it would fetch them in a loop, one tile after another. All channels of a
block lie together, so that a slice is in the order that its product takes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

TILE = 16, 32  # px of the result, down and across
# px of the source. A tile that spans 64 px across and 49 px down at any place fits into a region:
# maps that turn it may shrink the source 1.3-fold.
WIDTH = 128  # pixels of a region along x
ACROSS = 64  # pixels between regions
BLOCKS = 7  # blocks of a region along y
DOWN = 8  # height of a block
WHOLE = 80  # px: a source up to this side is one region for all tiles

Places = tuple[jax.Array, jax.Array]  # x and y


def sample_by_products(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples images (B, H, W, C) float32 at places x, y (B, h, w), 0 to W - 1 and H - 1: (B, h, w,
    C) float32.

    Differentiable with respect to all three; at a whole pixel the derivative is that towards the
    next. NaN where a place is.
    """
    batch, height, width, channels = images.shape
    rows, columns = x.shape[1:]
    source = images.transpose(0, 3, 1, 2)
    known_x = jnp.where(jnp.isnan(x), 0, x)
    known_y = jnp.where(jnp.isnan(y), 0, y)
    if max(height, width) <= WHOLE:
        found = _interpolate(
            source[:, None, None], known_x.reshape(batch, 1, -1), known_y.reshape(batch, 1, -1)
        )
        found = found.reshape(batch, channels, rows, columns).transpose(0, 2, 3, 1)
    else:
        tile_height, tile_width = TILE
        down = -(-rows // tile_height)
        across = -(-columns // tile_width)
        found = _sample(source, _tiles(known_x), _tiles(known_y))
        found = found.reshape(batch, down, across, channels, tile_height, tile_width)
        found = found.transpose(0, 1, 4, 2, 5, 3)
        found = found.reshape(batch, down * tile_height, across * tile_width, channels)
        found = found[:, :rows, :columns]
    unknown = jnp.isnan(x + y)
    return jnp.where(unknown[..., None], jnp.nan, found)


def _tiles(places: jax.Array) -> jax.Array:
    """Cuts (B, h, w) into tiles (B, T, pixels of one); beyond the last row and column these are
    repeated.
    """
    batch, rows, columns = places.shape
    height, width = TILE
    below = -rows % height
    beside = -columns % width
    places = jnp.pad(places, [(0, 0), (0, below), (0, beside)], mode="edge")
    down = -(-rows // height)
    across = -(-columns // width)
    places = places.reshape(batch, down, height, across, width)
    tiles = places.transpose(0, 1, 3, 2, 4)
    return tiles.reshape(batch, -1, height * width)


def _interpolate(regions: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples regions (B, T, N, C, H, W) of N blocks at places x, y (B, T, P) in them; around them
    lies nothing.

    Returns (B, T, C, P).
    """
    batch, tiles, blocks, _, height, width = regions.shape
    # Three products of bfloat16 with float32 sums, half of what full precision takes: a share of
    # 2 ** -17 is lost. One product would move a pixel's brightness by half a per cent.
    along_x = _weights(x, width)
    rows = jnp.einsum("btncyx,btxp->btncyp", regions, along_x, precision=jax.lax.Precision.HIGH)
    along_y = _weights(y, blocks * height)
    along_y = along_y.reshape(batch, tiles, blocks, 1, height, -1)
    return (rows * along_y).sum((2, 4))


def _weights(places: jax.Array, size: int) -> jax.Array:
    """Computes the shares of pixels 0 to `size` - 1 in interpolation at places (B, T, P): (B, T,
    size, P).
    """
    pixel = jnp.floor(jax.lax.stop_gradient(places))
    after = (places - pixel)[:, :, None]
    pixels = jnp.arange(size, dtype=jnp.float32)[None, None, :, None]
    beyond = pixels - pixel[:, :, None]
    return jnp.where(beyond == 0, 1 - after, jnp.where(beyond == 1, after, jnp.float32(0)))


@jax.custom_vjp
def _sample(source: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples (B, C, H, W) at places x, y (B, T, P) of tiles: (B, T, C, P)."""
    windows = _windows(source)

    def part(corners: Places) -> jax.Array:
        regions = _regions(windows, corners)
        return _interpolate(regions, *_inside(corners, x, y))

    return _sum_over_regions(part, windows, x, y)


def _sample_forward(
    source: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _sample(source, x, y), (source, x, y)


def _gradients(inputs: tuple[jax.Array, ...], pull: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the gradients of `_sample`: a loop of unknown length has none of its own."""
    source, x, y = inputs
    windows, back = jax.vjp(_windows, source)

    def part(corners: Places) -> tuple[jax.Array, ...]:
        def sampled(windows, x, y):
            regions = _regions(windows, corners)
            return _interpolate(regions, *_inside(corners, x, y))

        _, gradients = jax.vjp(sampled, windows, x, y)
        return gradients(pull)

    of_windows, of_x, of_y = _sum_over_regions(part, windows, x, y)
    (of_source,) = back(of_windows)
    return of_source, of_x, of_y


_sample.defvjp(_sample_forward, _gradients)


def _windows(source: jax.Array) -> jax.Array:
    """Cuts (B, C, H, W) into overlapping columns of blocks, and zeros after the last: (B, M, N, C,
    DOWN, WIDTH).
    """
    batch, channels, height, width = source.shape
    columns = -(-width // ACROSS) + 1
    blocks = -(-height // DOWN) + BLOCKS
    below = blocks * DOWN - height
    beside = (columns + 1) * ACROSS - width
    padded = jnp.pad(source, [(0, 0), (0, 0), (0, below), (0, beside)])
    padded = padded.reshape(batch, channels, blocks, DOWN, -1).swapaxes(1, 2)
    starts = range(0, columns * ACROSS, ACROSS)
    return jnp.stack([padded[..., start : start + WIDTH] for start in starts], 1)


def _sum_over_regions(
    part: Callable[[Places], Any], windows: jax.Array, x: jax.Array, y: jax.Array
) -> Any:
    """Returns the sum of `part(corners)` over all regions that the tile which spreads most needs.

    The first region stands before the loop: in most maps it is the only one, and nothing has to be
    added to it.
    corners: (B, T) int32 each, the column and the first block of one region of each tile.
    """

    def first_of(places: jax.Array, stride: int) -> jax.Array:
        """Returns the last corner before all places of a tile."""
        return jnp.floor(places.min(2)).astype(jnp.int32) // stride

    def regions_needed(places: jax.Array, first: jax.Array, stride: int, length: int) -> jax.Array:
        """Returns how many regions of a length, from the first on, hold all places of any tile."""
        end = jnp.floor(places.max(2)).astype(jnp.int32) + 2
        return -(-(end - stride * first).max() // length)

    first_column = first_of(x, ACROSS)
    first_block = first_of(y, DOWN)
    across = regions_needed(x, first_column, ACROSS, WIDTH)
    down = regions_needed(y, first_block, DOWN, BLOCKS * DOWN)
    last_column = windows.shape[1] - 1
    last_block = windows.shape[2] - BLOCKS

    def step(number, total):  # a region beyond the source is the one of zeros
        column = first_column + WIDTH // ACROSS * (number % across)
        column = jnp.minimum(column, last_column)
        block = first_block + BLOCKS * (number // across)
        block = jnp.minimum(block, last_block)
        return jax.tree.map(jnp.add, total, part((column, block)))

    count = across * down
    of_first = part((first_column, first_block))
    return jax.lax.fori_loop(1, count, step, of_first)


def _regions(windows: jax.Array, corners: Places) -> jax.Array:
    """Slices the regions of tiles: (B, T, BLOCKS, C, DOWN, WIDTH)."""
    shape = (1, BLOCKS, windows.shape[3], DOWN, WIDTH)

    def one(windows, column, block):
        region = jax.lax.dynamic_slice(windows, (column, block, 0, 0, 0), shape)
        return region[0]

    of_image = jax.vmap(one, (None, 0, 0))
    return jax.vmap(of_image)(windows, *corners)


def _inside(corners: Places, x: jax.Array, y: jax.Array) -> Places:
    """Returns places in a tile's region."""
    column, block = corners
    left = ACROSS * column[..., None]
    inside_x = x - left.astype(jnp.float32)
    upper = DOWN * block[..., None]
    inside_y = y - upper.astype(jnp.float32)
    return inside_x, inside_y
