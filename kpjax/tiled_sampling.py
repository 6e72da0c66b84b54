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
WIDTH, ACROSS = 128, 64  # pixels of a region along x, and between regions
BLOCKS, DOWN = 7, 8  # blocks of a region along y, and the height of one
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
    source, places = (
        images.transpose(0, 3, 1, 2),
        [jnp.where(jnp.isnan(at), 0, at) for at in (x, y)],
    )
    if max(height, width) <= WHOLE:
        found = _interpolate(source[:, None, None], *(at.reshape(batch, 1, -1) for at in places))
        found = found.reshape(batch, channels, rows, columns).transpose(0, 2, 3, 1)
    else:
        down, across = -(-rows // TILE[0]), -(-columns // TILE[1])
        found = _sample(source, *map(_tiles, places))
        found = found.reshape(batch, down, across, channels, *TILE).transpose(0, 1, 4, 2, 5, 3)
        found = found.reshape(batch, down * TILE[0], across * TILE[1], channels)[:, :rows, :columns]
    return jnp.where(jnp.isnan(x + y)[..., None], jnp.nan, found)


def _tiles(places: jax.Array) -> jax.Array:
    """Cuts (B, h, w) into tiles (B, T, pixels of one); beyond the last row and column these are
    repeated.
    """
    batch, rows, columns = places.shape
    places = jnp.pad(places, [(0, 0), (0, -rows % TILE[0]), (0, -columns % TILE[1])], mode="edge")
    places = places.reshape(batch, -(-rows // TILE[0]), TILE[0], -(-columns // TILE[1]), TILE[1])
    return places.transpose(0, 1, 3, 2, 4).reshape(batch, -1, TILE[0] * TILE[1])


def _interpolate(regions: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples regions (B, T, N, C, H, W) of N blocks at places x, y (B, T, P) in them; around them
    lies nothing.

    Returns (B, T, C, P).
    """
    batch, tiles, blocks, _, height, width = regions.shape
    # Three products of bfloat16 with float32 sums, half of what full precision takes: a share of
    # 2 ** -17 is lost. One product would move a pixel's brightness by half a per cent.
    rows = jnp.einsum(
        "btncyx,btxp->btncyp", regions, _weights(x, width), precision=jax.lax.Precision.HIGH
    )
    return (rows * _weights(y, blocks * height).reshape(batch, tiles, blocks, 1, height, -1)).sum(
        (2, 4)
    )


def _weights(places: jax.Array, size: int) -> jax.Array:
    """Computes the shares of pixels 0 to `size` - 1 in interpolation at places (B, T, P): (B, T,
    size, P).
    """
    pixel = jnp.floor(jax.lax.stop_gradient(places))
    after = (places - pixel)[:, :, None]
    beyond = jnp.arange(size, dtype=jnp.float32)[None, None, :, None] - pixel[:, :, None]
    return jnp.where(beyond == 0, 1 - after, jnp.where(beyond == 1, after, jnp.float32(0)))


@jax.custom_vjp
def _sample(source: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples (B, C, H, W) at places x, y (B, T, P) of tiles: (B, T, C, P)."""
    windows = _windows(source)

    def part(corners: Places) -> jax.Array:
        return _interpolate(_regions(windows, corners), *_inside(corners, x, y))

    return _sum_over_regions(part, windows, x, y)


def _gradients(inputs: tuple[jax.Array, ...], pull: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the gradients of `_sample`: a loop of unknown length has none of its own."""
    source, x, y = inputs
    windows, back = jax.vjp(_windows, source)

    def part(corners: Places) -> tuple[jax.Array, ...]:
        def sampled(windows, x, y):
            return _interpolate(_regions(windows, corners), *_inside(corners, x, y))

        return jax.vjp(sampled, windows, x, y)[1](pull)

    of_windows, *of_places = _sum_over_regions(part, windows, x, y)
    return *back(of_windows), *of_places


_sample.defvjp(lambda source, x, y: (_sample(source, x, y), (source, x, y)), _gradients)


def _windows(source: jax.Array) -> jax.Array:
    """Cuts (B, C, H, W) into overlapping columns of blocks, and zeros after the last: (B, M, N, C,
    DOWN, WIDTH).
    """
    batch, channels, height, width = source.shape
    columns, blocks = -(-width // ACROSS) + 1, -(-height // DOWN) + BLOCKS
    padded = jnp.pad(
        source, [(0, 0), (0, 0), (0, blocks * DOWN - height), (0, (columns + 1) * ACROSS - width)]
    )
    padded = padded.reshape(batch, channels, blocks, DOWN, -1).swapaxes(1, 2)
    return jnp.stack([padded[..., ACROSS * n : ACROSS * n + WIDTH] for n in range(columns)], 1)


def _sum_over_regions(
    part: Callable[[Places], Any], windows: jax.Array, x: jax.Array, y: jax.Array
) -> Any:
    """Returns the sum of `part(corners)` over all regions that the tile which spreads most needs.

    The first region stands before the loop: in most maps it is the only one, and nothing has to be
    added to it.
    corners: (B, T) int32 each, the column and the first block of one region of each tile.
    """
    sizes = ((ACROSS, WIDTH), (DOWN, BLOCKS * DOWN))
    first = [
        jnp.floor(places.min(2)).astype(jnp.int32) // stride
        for places, (stride, _) in zip((x, y), sizes, strict=True)
    ]
    across, down = (
        -(-(jnp.floor(places.max(2)).astype(jnp.int32) + 2 - stride * corner).max() // length)
        for places, corner, (stride, length) in zip((x, y), first, sizes, strict=True)
    )

    def step(number, total):  # a region beyond the source is the one of zeros
        corners = (
            jnp.minimum(first[0] + WIDTH // ACROSS * (number % across), windows.shape[1] - 1),
            jnp.minimum(first[1] + BLOCKS * (number // across), windows.shape[2] - BLOCKS),
        )
        return jax.tree.map(jnp.add, total, part(corners))

    return jax.lax.fori_loop(1, across * down, step, part(tuple(first)))


def _regions(windows: jax.Array, corners: Places) -> jax.Array:
    """Slices the regions of tiles: (B, T, BLOCKS, C, DOWN, WIDTH)."""
    channels = windows.shape[3]

    def one(windows, column, block):
        return jax.lax.dynamic_slice(
            windows, (column, block, 0, 0, 0), (1, BLOCKS, channels, DOWN, WIDTH)
        )[0]

    return jax.vmap(jax.vmap(one, (None, 0, 0)))(windows, *corners)


def _inside(corners: Places, x: jax.Array, y: jax.Array) -> list[jax.Array]:
    """Returns places in a tile's region."""
    return [
        places - (stride * corner[..., None]).astype(jnp.float32)
        for places, corner, stride in zip((x, y), corners, (ACROSS, DOWN), strict=True)
    ]
