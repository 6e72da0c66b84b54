"""Random augmentation of a batch of examples, on the device and inside the training step.

An augmentation is `(key, example) -> (example, maps)`: a batched Example whose image is floating point in [0, 1], and
maps (B, 3, 3) from old pixels to new. Keypoints, `scale` and `crop` move with the image, and `visible` becomes 0 for
points that leave it. Each image has a key of its own, so that the result does not depend on the number of devices.

Geometry is drawn by functions `(key, (height, width)) -> map (3, 3)` for one image. `random_warp` composes any number
of them and samples the image once.
"""
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.errors import InputError
from kpjax.structures import Example, Skeleton

Augment = Callable[[jax.Array, Example], tuple[Example, jax.Array]]
DrawMap = Callable[[jax.Array, tuple[int, int]], jax.Array]

BLUR_REACH = 3.5  # a blur's kernel ends at this many standard deviations
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, what Pillow calls grey


# Composition


def no_augmentation() -> Augment:
    """Changes nothing; the maps are identities."""

    def augment(key, example):
        del key
        return example, _identities(example)

    return augment


def compose_augmentations(*augments: Augment) -> Augment:
    """One augmentation after the other, each with a key of its own; every `random_warp` samples the image anew."""

    def augment(key, example):
        maps = _identities(example)
        for number, step in enumerate(augments):
            example, moved = step(jax.random.fold_in(key, number), example)
            maps = geometry.compose(moved, maps)
        return example, maps

    return augment


def regda_augmentation(
    degrees: float, *, area: tuple[float, float] = (0.6, 1.3), jitter: float = 0.25,
    blur: tuple[float, float] = (0.0, 0.8),
) -> Augment:
    """Rotation, square crop, colour jitter, blur: the training pipeline of RegDA (Jiang et al. 2021, official code).

    Rotation and crop are one bilinear sampling here; the official code samples twice, the first time the nearest pixel.
    """
    return compose_augmentations(random_warp(draw_rotation(degrees), draw_square_crop(area)), colour_jitter(jitter),
                                 random_blur(blur))


# Geometry


def random_warp(*draws: DrawMap, fill: float = 0.0) -> Augment:
    """Moves every image by maps of its own, drawn in this order and composed, in one bilinear sampling."""

    def augment(key, example):
        image = _checked(example.image)
        size = image.shape[1:3]

        def drawn(key):
            maps = geometry.identity()
            for number, draw in enumerate(draws):
                maps = geometry.compose(draw(jax.random.fold_in(key, number), size), maps)
            return maps

        maps = jax.vmap(drawn)(_keys(key, image))
        return move_example(example, maps, geometry.warp(image, maps, fill=fill)), maps

    return augment


def move_example(example: Example, maps: jax.Array, image: jax.Array) -> Example:
    """A batched example whose image has been moved by `maps` (B, 3, 3) and is now `image` (B, h, w, 3).

    A point outside the area of the new image (pixel 0 spans -0.5 to 0.5) is no longer visible; its coordinates stay
    finite. `scale` is stretched as the map stretches lengths at the middle of the old image.
    """
    height, width = example.image.shape[1:3]
    keypoints = geometry.move_points(maps, example.keypoints)
    corner = jnp.array([image.shape[2] - 0.5, image.shape[1] - 0.5], jnp.float32)
    inside = jnp.all((keypoints >= -0.5) & (keypoints < corner[None, None]), axis=-1)
    middle = jnp.broadcast_to(jnp.array([(width - 1) / 2, (height - 1) / 2], jnp.float32), (maps.shape[0], 2))
    return example._replace(
        image=image, keypoints=keypoints, visible=example.visible * inside.astype(example.visible.dtype),
        scale=example.scale * geometry.local_scale(maps, middle),
        crop=geometry.compose(example.crop, geometry.invert(maps)))


def draw_rotation(degrees: float) -> DrawMap:
    """Turns by U(-degrees, degrees), counter-clockwise on a screen if positive, about (width / 2, height / 2).

    That centre is where the official RegDA code turns the keypoints; it turns the image half a pixel beside it.
    """
    degrees = _at_least_zero("random rotation", "degrees", degrees)

    def draw(key, size):
        angle = jax.random.uniform(key, (), jnp.float32, -degrees, degrees) * (math.pi / 180)
        return geometry.rotation(-angle, (size[1] / 2, size[0] / 2))

    return draw


def draw_square_crop(area: tuple[float, float] = (0.6, 1.3)) -> DrawMap:
    """A square of U(*area) times the image's area at a uniform whole-pixel place, stretched to the image's size.

    A square that does not fit is drawn again, and after ten tries the whole image is kept (torchvision's rule, as in
    RegDA). In closed form: the first fitting draw is uniform over the areas that fit, and none fits with probability
    (1 - p)^10. Points move as index, (p - corner) * size / side, and so does the image. Images must be square.
    """
    low, high = _interval("random square crop", "area", area)
    if low <= 0:
        raise InputError(f"random square crop: area starts at {low}; it is a share of the image, so more than 0")

    def draw(key, size):
        if size[0] != size[1]:
            raise InputError(f"random square crop: images are {size[1]} x {size[0]}; place them in a square first")
        length = size[0]
        most = min(high, (length + 0.5) ** 2 / length**2)  # the side is rounded, so a little above 1 still fits
        fits = 1.0 if high == low <= most else max((most - low) / (high - low), 0.0) if high > low else 0.0
        share_key, fallback_key, corner_key = jax.random.split(key, 3)
        share = jax.random.uniform(share_key, (), jnp.float32, low, max(most, low))
        side = jnp.clip(jnp.round(jnp.sqrt(share) * length), 1, length)
        side = jnp.where(jax.random.uniform(fallback_key) < (1 - fits) ** 10, jnp.float32(length), side)
        places = length - side + 1
        corner = jnp.minimum(jnp.floor(jax.random.uniform(corner_key, (2,)) * places), places - 1)
        zoom = length / side
        return geometry.compose(geometry.scaling(zoom), geometry.translation(-corner[0], -corner[1]))

    return draw


def draw_affine(
    *, degrees: float = 0.0, scale: tuple[float, float] = (1.0, 1.0), shift: float = 0.0, shear_degrees: float = 0.0
) -> DrawMap:
    """Turn, zoom and shear about the middle of the image, then shift; each uniform and drawn for itself.

    degrees, shear_degrees: between minus and plus this. scale: from, to. shift: at most this share of each side.
    """
    degrees = _at_least_zero("random affine", "degrees", degrees)
    shift = _at_least_zero("random affine", "shift", shift)
    shear_degrees = _at_least_zero("random affine", "shear_degrees", shear_degrees)
    low, high = _interval("random affine", "scale", scale)
    if low <= 0 or shear_degrees >= 90:
        raise InputError(f"random affine: scale {scale} must be more than 0 and shear_degrees {shear_degrees} below 90")

    def draw(key, size):
        height, width = size
        turn, lean, across, down = jax.random.uniform(key, (4,), jnp.float32, -1, 1)
        zoom = jax.random.uniform(jax.random.fold_in(key, 1), (), jnp.float32, low, high)
        centre = (width - 1) / 2, (height - 1) / 2
        sheared = geometry.affine(1, jnp.tan(lean * math.radians(shear_degrees)), 0, 1, centre=centre)
        turned = geometry.similarity(angle=turn * math.radians(degrees), scale=zoom, centre=centre,
                                     shift=(across * (shift * width), down * (shift * height)))
        return geometry.compose(turned, sheared)

    return draw


def draw_homography(variation: float = 0.15, *, rotation_deviation: float = 0.0) -> DrawMap:
    """The perspective map that moves each corner of the image inwards by (a, b), each uniform between minus and plus
    half of variation * min(height, width); a negative one moves it outwards.

    rotation_deviation: standard deviation in degrees of a turn about the middle that follows.
    The warp of Moskvyak et al. 2021 ("Semi-supervised keypoint localization"), as in the first author's public sampler.
    """
    rotation_deviation = _at_least_zero("random homography", "rotation_deviation", rotation_deviation)
    if not 0 <= variation < 1:
        raise InputError(f"random homography: variation is {variation}; it must be at least 0 and below 1, where "
                         "corners begin to meet")

    def draw(key, size):
        height, width = size
        reach = 0.5 * variation * min(height, width)
        corners = jnp.array([[0, 0], [0, height], [width, height], [width, 0]], jnp.float32)
        inwards = jnp.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], jnp.float32)
        moved = corners + inwards * jax.random.uniform(key, (4, 2), jnp.float32, -reach, reach)
        found = geometry.homography(corners, moved)
        if rotation_deviation == 0:
            return found
        angle = jax.random.normal(jax.random.fold_in(key, 1)) * math.radians(rotation_deviation)
        return geometry.compose(geometry.rotation(angle, ((width - 1) / 2, (height - 1) / 2)), found)

    return draw


def random_rotation(degrees: float) -> Augment:
    """`draw_rotation` as an augmentation."""
    return random_warp(draw_rotation(degrees))


def random_square_crop(area: tuple[float, float] = (0.6, 1.3)) -> Augment:
    """`draw_square_crop` as an augmentation."""
    return random_warp(draw_square_crop(area))


def random_affine(**options) -> Augment:
    """`draw_affine` as an augmentation, with its options."""
    return random_warp(draw_affine(**options))


def random_homography(variation: float = 0.15, *, rotation_deviation: float = 0.0) -> Augment:
    """`draw_homography` as an augmentation."""
    return random_warp(draw_homography(variation, rotation_deviation=rotation_deviation))


def random_flip(skeleton: Skeleton, probability: float = 0.5) -> Augment:
    """Mirrors left and right, and gives every keypoint the coordinates of its mirror image.

    Raises InputError for a skeleton without a flip permutation.
    """
    if not skeleton.flip:
        raise InputError("random flip: the skeleton has no flip permutation, so a mirrored picture has no valid "
                         "labels; name each keypoint's mirror image in Skeleton.flip or leave the flip out")
    if not 0 <= probability <= 1:
        raise InputError(f"random flip: probability is {probability}; it must be between 0 and 1")
    mirror = np.array(skeleton.flip)

    def augment(key, example):
        image = _checked(example.image)
        width = image.shape[2]
        flipped = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(_keys(key, image))
        sign = jnp.where(flipped, -1, 1).astype(jnp.float32)
        maps = geometry.affine(sign, 0, 0, 1, shift=(jnp.where(flipped, jnp.float32(width - 1), jnp.float32(0)), 0))
        keypoints = jnp.where(flipped[:, None, None], example.keypoints[:, mirror], example.keypoints)
        visible = jnp.where(flipped[:, None], example.visible[:, mirror], example.visible)
        image = jnp.where(flipped[:, None, None, None], image[:, :, ::-1], image)
        return move_example(example._replace(keypoints=keypoints, visible=visible), maps, image), maps

    return augment


# Appearance


def colour_jitter(strength: float = 0.25) -> Augment:
    """Brightness, contrast and saturation, each by a factor U(1 - strength, 1 + strength), in random order, clipped to
    [0, 1] after each.

    All three blend the image with something: black, its mean grey, its own grey. So each place in the order is one
    blend whose reference is chosen for each image.
    """
    _unit_strength("colour jitter", strength)

    def change(keys, images):
        orders = jax.vmap(lambda key: jax.random.permutation(key, 3))(keys)
        factors = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1), (3,), jnp.float32, 1 - strength,
                                                          1 + strength))(keys)
        for place in range(3):
            order = orders[:, place][:, None, None, None]
            grey = _grey(images)
            reference = jnp.where(order == 0, jnp.float32(0), jnp.where(order == 1, grey.mean((1, 2), keepdims=True),
                                                                      grey))
            images = _blend(images, reference, factors[:, place])
        return images

    return _appearance(change)


def random_brightness(strength: float) -> Augment:
    """Multiplies each image by U(1 - strength, 1 + strength) and clips it to [0, 1]."""
    _unit_strength("random brightness", strength)

    def change(keys, images):
        factors = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32, 1 - strength, 1 + strength))(keys)
        return _blend(images, jnp.zeros_like(images), factors)

    return _appearance(change)


def random_contrast(strength: float) -> Augment:
    """Stretches each image about its mean grey by U(1 - strength, 1 + strength) and clips it to [0, 1]."""
    _unit_strength("random contrast", strength)

    def change(keys, images):
        factors = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32, 1 - strength, 1 + strength))(keys)
        return _blend(images, _grey(images).mean((1, 2), keepdims=True), factors)

    return _appearance(change)


def random_colour_matrix(strength: float) -> Augment:
    """Mixes the channels of each image by the identity plus strength * N(0, 1) everywhere, and clips to [0, 1]."""
    strength = _at_least_zero("random colour matrix", "strength", strength)

    def change(keys, images):
        mixed = jax.vmap(lambda key: jax.random.normal(key, (3, 3)))(keys) * strength
        mixed = mixed + jnp.eye(3, dtype=jnp.float32)[None]
        return jnp.clip(jnp.einsum("bhwc,bcd->bhwd", images, mixed, precision=geometry.HIGHEST), 0, 1)

    return _appearance(change)


def random_noise(strength: float) -> Augment:
    """Adds Gaussian noise of standard deviation U(0, strength), one for each image, and clips to [0, 1]."""
    strength = _at_least_zero("random noise", "strength", strength)

    def change(keys, images):
        def noise(key):
            deviation = jax.random.uniform(key, (), jnp.float32, 0, strength)
            return deviation * jax.random.normal(jax.random.fold_in(key, 1), images.shape[1:])

        return jnp.clip(images + jax.vmap(noise)(keys), 0, 1)

    return _appearance(change)


def random_blur(deviation: tuple[float, float] = (0.0, 0.8)) -> Augment:
    """Gaussian blur of standard deviation U(*deviation) pixels, one for each image; borders are continued outwards."""
    low, high = _interval("random blur", "deviation", deviation)
    reach = max(math.ceil(BLUR_REACH * high), 1)
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)

    def change(keys, images):
        widths = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32, low, high))(keys)
        kernels = jnp.exp(-(offsets**2)[None] / (2 * jnp.square(jnp.maximum(widths, 1e-3)))[:, None])
        kernels = kernels / kernels.sum(-1, keepdims=True)
        # Sums of shifted copies: a convolution with a kernel for each image is fifty times slower on a CPU.
        for axis in (1, 2):
            images = jax.lax.optimization_barrier(images)  # or XLA computes what comes before once for each shift
            length = images.shape[axis]
            pad = [(reach, reach) if a == axis else (0, 0) for a in range(4)]
            padded = jnp.pad(images, pad, mode="edge")
            images = sum(jax.lax.slice_in_dim(padded, i, i + length, axis=axis) * kernels[:, i, None, None, None]
                         for i in range(2 * reach + 1))
        return images

    return _appearance(change)


# Parts


def _keys(key: jax.Array, image: jax.Array) -> jax.Array:
    """A key for each image of a batch."""
    return jax.random.split(key, image.shape[0])


def _identities(example: Example) -> jax.Array:
    return jnp.broadcast_to(geometry.identity(), (example.image.shape[0], 3, 3))


def _checked(image: jax.Array) -> jax.Array:
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"augmentations take batches of floating point images in [0, 1], got {image.dtype} of shape "
                        f"{image.shape}")
    return image


def _appearance(change: Callable[[jax.Array, jax.Array], jax.Array]) -> Augment:
    """An augmentation that moves nothing, from `(keys (B,), images float32) -> images`."""

    def augment(key, example):
        image = _checked(example.image)
        changed = change(_keys(key, image), image.astype(jnp.float32)).astype(image.dtype)
        return example._replace(image=changed), _identities(example)

    return augment


def _grey(images: jax.Array) -> jax.Array:
    """(B, H, W, 1)"""
    return sum(weight * images[..., c, None] for c, weight in enumerate(LUMA))


def _blend(images: jax.Array, reference: jax.Array, factors: jax.Array) -> jax.Array:
    factors = factors[:, None, None, None]
    return jnp.clip(factors * images + (1 - factors) * reference, 0, 1)


def _at_least_zero(what: str, name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{what}: {name} is {value}; a finite number of at least 0 is needed")
    return float(value)


def _unit_strength(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{what}: strength is {value}; it must be between 0 and 1")


def _interval(what: str, name: str, bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not (math.isfinite(high) and 0 <= low <= high):
        raise InputError(f"{what}: {name} is {tuple(bounds)}; two finite numbers of at least 0, the smaller first, "
                         "are needed")
    return float(low), float(high)
