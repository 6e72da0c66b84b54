"""Bilinear sampling as TPUs do best: products of weights with the part of an image that a tile of the result needs.

A TPU gathers pixels one after another, and multiplies matrices fast. A pixel of the result is a sum over all pixels of
the source, each times a weight along x and a weight along y, of which two each are not 0. The pixels of a tile of the
result lie close together in the source. So each tile takes one slice of the source, and multiplies it with the weights
along x and then along y. Where a map shrinks the source so much that a tile does not fit into a slice, as many slices
as needed are added up: every map is exact.
"""
from collections.abc import Callable

import jax
import jax.numpy as jnp

TILE = 32  # px of the result, along both sides
REGION = 64  # px of the source: where a map turns a tile by 45 degrees, it may shrink the source 1.4-fold
WHOLE = 80  # px: a source up to this side is one region for all tiles

Places = tuple[jax.Array, jax.Array]  # x and y


def sample_by_products(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples images (B, H, W, C) float32 at places x, y (B, h, w), 0 to W - 1 and H - 1: (B, h, w, C) float32.

    Differentiable with respect to all three; at a whole pixel the derivative is that towards the next. NaN where a
    place is.
    """
    batch, height, width, channels = images.shape
    rows, columns = x.shape[1:]
    source, places = images.transpose(0, 3, 1, 2), [jnp.where(jnp.isnan(at), 0, at) for at in (x, y)]
    if max(height, width) <= WHOLE:
        found = _interpolated(source[:, None], *(at.reshape(batch, 1, -1) for at in places))
        found = found.swapaxes(2, 3).reshape(batch, rows, columns, channels)
    else:
        down, across = -(-rows // TILE), -(-columns // TILE)
        found = _sampled(source, *map(_tiles, places))
        found = found.reshape(batch, down, across, channels, TILE, TILE).transpose(0, 1, 4, 2, 5, 3)
        found = found.reshape(batch, down * TILE, across * TILE, channels)[:, :rows, :columns]
    return jnp.where(jnp.isnan(x + y)[..., None], jnp.nan, found)


def _tiles(places: jax.Array) -> jax.Array:
    """Cuts (B, h, w) into tiles (B, T, TILE * TILE); beyond the last row and column these are repeated."""
    batch, rows, columns = places.shape
    places = jnp.pad(places, [(0, 0), (0, -rows % TILE), (0, -columns % TILE)], mode="edge")
    places = places.reshape(batch, -(-rows // TILE), TILE, -(-columns // TILE), TILE)
    return places.transpose(0, 1, 3, 2, 4).reshape(batch, -1, TILE * TILE)


def _interpolated(regions: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples regions (B, T, C, H, W) at places x, y (B, T, P) in them; around them lies nothing: (B, T, C, P)."""
    rows = jnp.einsum("btcyx,btxp->btcyp", regions, _weights(x, regions.shape[4]), precision=jax.lax.Precision.HIGHEST)
    return (rows * _weights(y, regions.shape[3])[:, :, None]).sum(3)


def _weights(places: jax.Array, size: int) -> jax.Array:
    """Computes the shares of pixels 0 to `size` - 1 in interpolation at places (B, T, P): (B, T, size, P)."""
    pixel = jnp.floor(jax.lax.stop_gradient(places))
    after = (places - pixel)[:, :, None]
    beyond = jnp.arange(size, dtype=jnp.float32)[None, None, :, None] - pixel[:, :, None]
    return jnp.where(beyond == 0, 1 - after, jnp.where(beyond == 1, after, jnp.float32(0)))


@jax.custom_vjp
def _sampled(source: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Samples (B, C, H, W) at places x, y (B, T, P) of tiles: (B, T, C, P)."""
    def add(total: jax.Array, corners: Places) -> jax.Array:
        return total + _interpolated(_regions(source, corners), *_inside(corners, x, y))

    return _sum_over_regions(add, jnp.zeros((*x.shape[:2], source.shape[1], x.shape[2]), jnp.float32), source, x, y)


def _gradients(inputs: tuple[jax.Array, ...], pull: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the gradients of `_sampled`: a loop of unknown length has none of its own."""
    source, x, y = inputs

    def add(totals: tuple[jax.Array, ...], corners: Places) -> tuple[jax.Array, ...]:
        def part(source, x, y):
            return _interpolated(_regions(source, corners), *_inside(corners, x, y))

        return jax.tree.map(jnp.add, totals, jax.vjp(part, source, x, y)[1](pull))

    return _sum_over_regions(add, tuple(map(jnp.zeros_like, inputs)), source, x, y)


_sampled.defvjp(lambda source, x, y: (_sampled(source, x, y), (source, x, y)), _gradients)


def _sum_over_regions(add: Callable, total, source: jax.Array, x: jax.Array, y: jax.Array):
    """Returns `add(total, corners)` over all regions that the tile which spreads most needs.

    corners: x and y (B, T) int32, the first pixels of one region of each tile; beyond the source there is nothing.
    """
    first = [jnp.floor(places.min(2)).astype(jnp.int32) for places in (x, y)]
    across, down = (-(-(jnp.floor(places.max(2)).astype(jnp.int32) + 2 - corner).max() // REGION)
                    for places, corner in zip((x, y), first, strict=True))
    height, width = source.shape[2:]

    def step(number, total):
        return add(total, (jnp.minimum(first[0] + REGION * (number % across), width),
                           jnp.minimum(first[1] + REGION * (number // across), height)))

    return jax.lax.fori_loop(0, across * down, step, total)


def _regions(source: jax.Array, corners: Places) -> jax.Array:
    """Slices the regions of tiles out of (B, C, H, W), with zeros beyond: (B, T, C, REGION, REGION)."""
    padded = jnp.pad(source, [(0, 0), (0, 0), (0, REGION), (0, REGION)])

    def one(image, x, y):
        return jax.lax.dynamic_slice(image, (0, y, x), (image.shape[0], REGION, REGION))

    return jax.vmap(jax.vmap(one, (None, 0, 0)))(padded, *corners)


def _inside(corners: Places, x: jax.Array, y: jax.Array) -> list[jax.Array]:
    """Returns places in a tile's region."""
    return [places - corner.astype(jnp.float32)[..., None] for places, corner in zip((x, y), corners, strict=True)]
