"""Affine and projective maps of the plane, and points, images and heatmaps moved by them.

A map is a homogeneous (3, 3) float32 matrix from old pixels to new ones; a batch of maps has
leading axes. Points are (x, y) in pixels of the array that they belong to, the centre of the
top-left pixel at (0, 0), the y axis downwards. A map is scaled so that the third homogeneous
coordinate is positive wherever it applies; every constructor here returns it so, and composing and
inverting keep it. Points where it is not positive lie behind the horizon.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Inexact

from kpjax.platforms import by_platform
from kpjax.tiled_sampling import sample_by_products

HIGHEST = jax.lax.Precision.HIGHEST
# smallest third coordinate: points behind the horizon are sent far away and stay finite
HORIZON = 1e-6

Numbers = Array | np.ndarray
Scalars = float | int | Inexact[Numbers, "..."]  # one number, or one for each map of a batch
AnyMaps = Float[Numbers, "... 3 3"]
Maps = Float[Array, "... 3 3"]


def _float32(value) -> Array:
    return jnp.asarray(value, jnp.float32)


def _rows(*entries) -> Array:
    """Builds a (..., 3, 3) matrix from nine scalars or equally batched arrays, row by row."""
    entries = [_float32(entry) for entry in entries]
    shape = jnp.broadcast_shapes(*(entry.shape for entry in entries))
    nine = jnp.stack([jnp.broadcast_to(entry, shape) for entry in entries], axis=-1)
    return nine.reshape(*shape, 3, 3)


def identity() -> Float[Array, "3 3"]:
    """Returns the map that moves nothing."""
    return jnp.eye(3, dtype=jnp.float32)


def translation(x: Scalars, y: Scalars) -> Maps:
    """Builds the map that moves by (x, y) pixels."""
    return _rows(1, 0, x, 0, 1, y, 0, 0, 1)


def scaling(x: Scalars, y: Scalars | None = None) -> Maps:
    """Builds the map that multiplies coordinates by x and y (by x both, if y is None); (0, 0) stays
    fixed.
    """
    if y is None:
        y = x
    return _rows(x, 0, 0, 0, y, 0, 0, 0, 1)


def rotation(angle: Scalars, centre=(0.0, 0.0)) -> Maps:
    """Builds the map that turns by `angle` radians about `centre` (x, y).

    A positive angle takes the x axis towards the y axis; as y points down, that looks clockwise on
    a screen.
    """
    return similarity(angle=angle, centre=centre)


def similarity(
    *, angle: Scalars = 0.0, scale: Scalars = 1.0, shift=(0.0, 0.0), centre=(0.0, 0.0)
) -> Maps:
    """Builds p -> scale R(angle) (p - centre) + centre + shift, R as in `rotation`.

    Arguments may have batch axes.
    """
    cosine = _float32(scale) * jnp.cos(_float32(angle))
    sine = _float32(scale) * jnp.sin(_float32(angle))
    return affine(cosine, -sine, sine, cosine, shift=shift, centre=centre)


def affine(
    xx: Scalars, xy: Scalars, yx: Scalars, yy: Scalars, *, shift=(0.0, 0.0), centre=(0.0, 0.0)
) -> Maps:
    """Builds p -> [[xx, xy], [yx, yy]] (p - centre) + centre + shift.

    All arguments may carry the same batch axes.
    """
    centre_x = _float32(centre[0])
    centre_y = _float32(centre[1])
    linear = _rows(xx, xy, 0, yx, yy, 0, 0, 0, 1)
    moved_x = centre_x + _float32(shift[0])
    moved_y = centre_y + _float32(shift[1])
    from_origin = translation(moved_x, moved_y)
    to_origin = translation(-centre_x, -centre_y)
    return compose(from_origin, linear, to_origin)


def homography(
    source: Float[Numbers, "*lead 4 2"], destination: Float[Numbers, "*lead 4 2"]
) -> Maps:
    """Builds the projective map that takes four points to four others, exactly; its last entry is 1
    or, if needed, -1.

    No three points of either four may lie on a line, and the map's horizon not run through (0, 0):
    the result may not be finite then. Against the latter, shift `source` and compose the result
    with that shift. Both fours are written in the projective frame of the first three points, in which
    three weights represent the fourth. The closed form keeps batched solvers out of the training
    step.
    """
    source = _float32(source)
    destination = _float32(destination)

    def frame(points):
        middle = points.mean(-2, keepdims=True)
        size = jnp.abs(points - middle).max((-2, -1))
        shrink = _rows(
            1 / size, 0, -middle[..., 0, 0] / size, 0, 1 / size, -middle[..., 0, 1] / size, 0, 0, 1
        )
        unit = (points - middle) / size[..., None, None]
        ones = jnp.ones_like(unit[..., :1])
        homogeneous = jnp.concatenate([unit, ones], -1)
        columns = homogeneous.swapaxes(-1, -2)
        from_first_three = invert(columns[..., :3])
        weights = jnp.matmul(from_first_three, columns[..., 3:], precision=HIGHEST)
        projective_frame = columns[..., :3] * weights.swapaxes(-1, -2)
        return shrink, projective_frame

    source_shrink, source_frame = frame(source)
    destination_shrink, destination_frame = frame(destination)
    found = compose(
        invert(destination_shrink), destination_frame, invert(source_frame), source_shrink
    )
    found = found / found[..., 2:, 2:]
    middle = source.mean(-2)
    weighted = (found[..., 2, :2] * middle).sum(-1)
    third = weighted + found[..., 2, 2]
    sign = jnp.where(third < 0, -1.0, 1.0)
    return found * sign[..., None, None].astype(jnp.float32)


def compose(first: AnyMaps, *others: AnyMaps) -> Maps:
    """Returns the map that applies the rightmost argument first: move_points(compose(a, b), p) is a
    of b of p.
    """
    result = _float32(first)
    for other in others:
        result = jnp.matmul(result, _float32(other), precision=HIGHEST)
    return result


def invert(maps: AnyMaps) -> Maps:
    """Inverts maps, new pixels -> old, by cofactors.

    The result is not finite where a map is singular.
    """
    maps = _float32(maps)
    a = maps[..., 0, :]
    b = maps[..., 1, :]
    c = maps[..., 2, :]
    cofactors = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=-1)
    determinant = (a * cofactors[..., 0]).sum(-1)
    return cofactors / determinant[..., None, None]


def index_grid(stride: float | int) -> Float[Array, "3 3"]:
    """Builds the map from image to heatmap pixels as index / stride, as in the official HRNet and
    RegDA code.
    """
    return scaling(1 / stride)


def half_pixel_grid(stride: float | int) -> Float[Array, "3 3"]:
    """Builds (index + 0.5) / stride - 0.5, image to heatmap pixels: both arrays cover the same area
    of the image.
    """
    offset = 0.5 / stride - 0.5
    return compose(translation(offset, offset), scaling(1 / stride))


def conjugate(maps: AnyMaps, grid: Float[Numbers, "3 3"]) -> Maps:
    """Returns a map of image pixels as a map of heatmap pixels.

    grid: image -> heatmap, one of the two named grids.
    """
    return compose(grid, maps, invert(grid))


def local_scale(
    maps: Float[Numbers, "*lead 3 3"], points: Float[Numbers, "*lead 2"]
) -> Float[Array, "*lead"]:
    """Computes how much a map stretches lengths about a point: the root of the determinant of its
    derivative there.
    """
    maps = _float32(maps)
    points = _float32(points)
    third = maps[..., 2, 0] * points[..., 0] + maps[..., 2, 1] * points[..., 1] + maps[..., 2, 2]
    a = maps[..., 0, :]
    b = maps[..., 1, :]
    c = maps[..., 2, :]
    determinant = (a * jnp.cross(b, c)).sum(-1)
    of_derivative = jnp.abs(determinant) / jnp.maximum(third, HORIZON) ** 3
    return jnp.sqrt(of_derivative)


def _project(maps: Array, points: Array) -> Array:
    """Moves points (..., N, 2) by maps with the same or no leading axes, without a dot: exact on
    every accelerator.
    """
    lead = jnp.broadcast_shapes(maps.shape[:-2], points.shape[:-2])
    maps = jnp.broadcast_to(maps, (*lead, 3, 3))[..., None, :, :]
    points = jnp.broadcast_to(points, (*lead, *points.shape[-2:]))

    def coordinate(row):
        return (
            maps[..., row, 0] * points[..., 0]
            + maps[..., row, 1] * points[..., 1]
            + maps[..., row, 2]
        )

    x = coordinate(0)
    y = coordinate(1)
    third = coordinate(2)
    return jnp.stack([x, y], -1) / jnp.maximum(third, HORIZON)[..., None]


def move_points(
    maps: Float[Numbers, "*#lead 3 3"], points: Float[Numbers, "*#lead points 2"]
) -> Float[Array, "*_ points 2"]:
    """Moves points (..., N, 2) by maps (..., 3, 3); leading axes broadcast.

    Points behind a homography's horizon are finite and far outside any image.
    """
    return _project(_float32(maps), _float32(points))


def in_frame(points: Float[Numbers, "*lead 2"], size: tuple[int, int]) -> Bool[Array, "*lead"]:
    """Returns which points lie on an image of (height, width); pixel 0 spans -0.5 to 0.5."""
    points = _float32(points)
    height, width = size
    beyond = jnp.array([width - 0.5, height - 0.5], jnp.float32)
    beyond = beyond.reshape((1,) * (points.ndim - 1) + (2,))
    inside = (points >= -0.5) & (points < beyond)
    return inside.all(-1)


def warp(
    images: Float[Array, "batch height width channels"],
    maps: Float[Numbers, "batch 3 3"] | Float[Numbers, "3 3"],
    *,
    size: tuple[int, int] | None = None,
    fill: float | int | None = 0.0,
) -> Float[Array, "batch new_height new_width channels"]:
    """Moves images by maps (one, or one for each) from old pixels to new: the value at p goes to
    maps(p).

    Differentiable with respect to images and (bilinear) maps. Shrinking does not smooth the image
    first. size: (height, width) of the result, by default that of the images. fill: see `sample`.
    """
    batch, height, width, _ = images.shape
    new_height, new_width = size or (height, width)
    pixels = pixel_grid(new_height, new_width)
    back = jnp.broadcast_to(invert(maps), (batch, 3, 3))
    origins = _project(back, pixels)
    return sample(images, origins.reshape(batch, new_height, new_width, 2), fill=fill)


def pixel_grid(height: int, width: int) -> Float[Array, "pixels 2"]:
    """Returns the centres (x, y) of all pixels of an image, row after row."""
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)
    x, y = np.meshgrid(columns, rows)
    return jnp.asarray(np.stack([x.ravel(), y.ravel()], -1))


def sample(
    images: Float[Array, "batch height width channels"],
    points: Float[Array, "batch *places 2"],
    *,
    fill: float | int | None = 0.0,
) -> Float[Array, "batch *places channels"]:
    """Samples images at points (x, y) in pixels, a list or a grid of points for each image.

    On TPUs a grid (B, h, w, 2) whose neighbours are near each other in the image is sampled by
    products of matrices (`kpjax.tiled_sampling`), and a list pixel by pixel, which takes many times
    as long. Bilinear, and differentiable with respect to images and points; interpolates in float32
    and returns the dtype of the images. fill: the value of everything outside, or None to repeat
    the border.
    """
    batch, height, width, channels = images.shape

    # A frame of one pixel makes the outside an ordinary pixel: no masks, and the border blends into
    # it.
    outside = {"mode": "edge"} if fill is None else {"constant_values": fill}
    frame = ((0, 0), (1, 1), (1, 1), (0, 0))
    framed = jnp.pad(images, frame, **outside)
    x = jnp.clip(points[..., 0] + 1, 0, width + 1)
    y = jnp.clip(points[..., 1] + 1, 0, height + 1)

    def pixels_of(image, index):
        return image.at[index].get(mode="promise_in_bounds")

    def taken(framed, column, row):
        # One flattened axis and all channels at once: a gather of contiguous pixels.
        flat = framed.reshape(batch, (height + 2) * (width + 2), channels)
        index = row * (width + 2) + column
        return jax.vmap(pixels_of)(flat, index)

    def by_gathers(framed, x, y):
        # The clip of the integers keeps a map that is not finite from reading outside the array.
        column = jnp.floor(jax.lax.stop_gradient(x)).astype(jnp.int32)
        column = jnp.clip(column, 0, width)
        row = jnp.floor(jax.lax.stop_gradient(y)).astype(jnp.int32)
        row = jnp.clip(row, 0, height)
        right = (x - column.astype(jnp.float32))[..., None]
        lower = (y - row.astype(jnp.float32))[..., None]

        def tap(down, across):
            pixels = taken(framed, column + across, row + down)
            return pixels.astype(jnp.float32)

        def between(down):
            return (1 - right) * tap(down, 0) + right * tap(down, 1)

        return (1 - lower) * between(0) + lower * between(1)

    def by_products(framed, x, y):
        return sample_by_products(framed.astype(jnp.float32), x, y)

    on_tpu = by_products if points.ndim == 4 else by_gathers
    return by_platform(framed, x, y, tpu=on_tpu, default=by_gathers).astype(images.dtype)


def warp_heatmaps(
    heatmaps: Float[Array, "batch height width keypoints"],
    image_maps: Float[Numbers, "batch 3 3"] | Float[Numbers, "3 3"],
    grid: Float[Numbers, "3 3"],
) -> Float[Array, "batch height width keypoints"]:
    """Moves heatmaps as maps of image pixels move their images.

    grid: from image to heatmap pixels.
    """
    return warp(heatmaps, conjugate(image_maps, grid))
