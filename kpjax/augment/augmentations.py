"""Random augmentation of a batch of examples, on the device and inside the training step.

An augmentation is `(key, example) -> (example, maps)`: a batched Example whose image is floating
point in [0, 1], and maps (B, 3, 3) from old pixels to new. Keypoints, `scale` and `crop` move with
the image; `visible` stays, also of points that leave it. Each image has a key of its own, so that
the result does not depend on the number of devices.

The functions of `random_maps` draw the geometry; `random_warp` composes any number of them and
samples once. With `Loaded` images the crop is composed as well: the device makes crop, turn and
zoom one resampling of a larger image.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import geometry
from kpjax.augment import random_maps
from kpjax.errors import InputError
from kpjax.structures import Example, Skeleton

Augment = Callable[[jax.Array, Example], tuple[Example, jax.Array]]


class Loaded(NamedTuple):
    """How images lie in a batch that were loaded larger than the network reads them."""

    side: int  # px
    to_plain: np.ndarray  # (3, 3), their pixels -> pixels of the plain crop
    plain_side: int  # px of that crop, which the network reads


LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, Pillow's grey


# Composition


def no_augmentation() -> Augment:
    """Builds the augmentation that changes nothing; its maps are identities."""

    def augment(key, example):
        del key
        return example, _identities(example)

    return augment


def compose_augmentations(*augments: Augment) -> Augment:
    """Chains augmentations, each with a key of its own; every `random_warp` samples the image
    anew."""

    def augment(key, example):
        maps = _identities(example)
        for number, step in enumerate(augments):
            example, moved = step(jax.random.fold_in(key, number), example)
            maps = geometry.compose(moved, maps)
        return example, maps

    return augment


def on_half(augment: Augment) -> Augment:
    """Restricts an augmentation to every other image of a batch, those of odd position; the others
    get identity maps.

    Each image keeps its draw from `augment`. Exactly half of an even batch changes, on any number
    of devices, at the cost of changing all of them.
    """

    def half(key, example):
        changed, maps = augment(key, example)
        # All images are changed and half of the results dropped: picking odd examples out of a
        # sharded batch needs communication when a device holds a single one.
        odd = jnp.arange(example.image.shape[0]) % 2 == 1

        def choose(new, old):
            other_axes = [1] * (new.ndim - 1)
            return jnp.where(odd.reshape(-1, *other_axes), new, old)

        chosen = jax.tree.map(choose, changed, example)
        return chosen, choose(maps, _identities(example))

    return half


def regda_augmentation(
    degrees: float,
    *,
    area: tuple[float, float] = (0.6, 1.3),
    jitter: float = 0.25,
    blur: tuple[float, float] = (0.0, 0.8),
    loaded: Loaded | None = None,
) -> Augment:
    """Builds RegDA's training pipeline (Jiang et al. 2021, official code): rotation, square crop,
    colour jitter, blur.

    Rotation and crop are one bilinear sampling here; the official code samples twice, the first
    time the nearest pixel. See `draw_rotation`, `draw_square_crop`, `colour_jitter`, `random_blur`
    and `random_warp` for the settings.
    """
    moved = random_warp(
        random_maps.draw_rotation(degrees), random_maps.draw_square_crop(area), loaded=loaded
    )
    return compose_augmentations(moved, colour_jitter(jitter), random_blur(blur))


# Geometry


def random_warp(
    *draws: random_maps.DrawMap, fill: float = 0.0, loaded: Loaded | None = None
) -> Augment:
    """Builds the augmentation that moves every image by drawn maps, composed in this order, in one
    bilinear sampling.

    Each image draws maps of its own. Without any draw, loaded images become their plain crops.

    Args:
        fill: the value outside the old image.
        loaded: of images that were loaded larger; None for images of the network's size. Maps are
            drawn for the plain crop, and the result has its size. Where they turn or shrink it, its
            borders show what was loaded there.
    """

    def augment(key, example):
        image = _check_float_image(example.image)
        size = image.shape[1:3]
        if loaded is not None and size != (loaded.side, loaded.side):
            raise InputError(
                f"images are {size[1]} x {size[0]}, where the augmentation takes images loaded at "
                f"{loaded.side} px; load them with the enlarged transform"
            )
        if loaded is not None:
            size = (loaded.plain_side, loaded.plain_side)

        def drawn(key):
            map_ = geometry.identity()
            if loaded is not None:
                map_ = jnp.asarray(loaded.to_plain, jnp.float32)
            for number, draw in enumerate(draws):
                drawn_map = draw(jax.random.fold_in(key, number), size)
                map_ = geometry.compose(drawn_map, map_)
            return map_

        maps = jax.vmap(drawn)(_keys(key, image))
        warped = geometry.warp(image, maps, size=size, fill=fill)
        moved = move_example(example, maps, warped)
        return moved, maps

    return augment


def move_example(example: Example, maps: jax.Array, image: jax.Array) -> Example:
    """Returns a batched example moved by maps (B, 3, 3), from old pixels to new, with the moved
    image (B, h, w, 3).

    A point that leaves the image stays labelled, and its coordinates finite: targets decide what
    they can show of it, and `geometry.in_frame` tells which points the image shows. `scale` is
    stretched as the map stretches lengths at the middle of the old image.
    """
    height, width = example.image.shape[1:3]
    keypoints = geometry.move_points(maps, example.keypoints)
    middle = jnp.array([(width - 1) / 2, (height - 1) / 2], jnp.float32)
    middle = jnp.broadcast_to(middle, (maps.shape[0], 2))
    return example._replace(
        image=image,
        keypoints=keypoints,
        scale=example.scale * geometry.local_scale(maps, middle),
        crop=geometry.compose(example.crop, geometry.invert(maps)),
    )


def random_scale_rotation(
    scale: float = 0.25,
    degrees: float = 30.0,
    *,
    rotated: float = 0.6,
    loaded: Loaded | None = None,
) -> Augment:
    """Builds `draw_scale_rotation` as an augmentation."""
    return random_warp(
        random_maps.draw_scale_rotation(scale, degrees, rotated=rotated), loaded=loaded
    )


def random_affine(**options) -> Augment:
    """Builds `draw_affine` as an augmentation, with its options."""
    return random_warp(random_maps.draw_affine(**options))


def random_window(side: int, near_keypoints: float = 0.75) -> Augment:
    """Builds the augmentation that cuts a square window of `side` px out of each image, at a whole
    pixel.

    near_keypoints: the probability that a visible keypoint, any of them, lies in the window, at a
        uniformly random place; otherwise, and without one, the window lies anywhere. Windows end at
        the image's edges.
    """
    assert 0 <= near_keypoints <= 1, near_keypoints

    def corner_of(key, keypoints, visible, room):
        pick, inside, anywhere, choose = jax.random.split(key, 4)
        seen = visible > 0
        logits = jnp.where(seen, 0.0, -jnp.inf)
        keypoint = keypoints[jax.random.categorical(pick, logits)]
        into_window = side * jax.random.uniform(inside, (2,))
        near = jnp.floor(keypoint - into_window)
        far = jnp.floor((room + 1) * jax.random.uniform(anywhere, (2,)))
        at_keypoint = seen.any() & jax.random.bernoulli(choose, near_keypoints)
        corner = jnp.where(at_keypoint, near, far)
        return jnp.clip(corner, 0, room).astype(jnp.int32)

    def cut(image, corner):
        x, y = corner
        return jax.lax.dynamic_slice(image, (y, x, 0), (side, side, image.shape[2]))

    def augment(key, example):
        image = _check_float_image(example.image)
        height, width = image.shape[1:3]
        assert side <= min(height, width), (side, image.shape)
        room = jnp.array([width - side, height - side], jnp.float32)
        corners = jax.vmap(corner_of, (0, 0, 0, None))(
            _keys(key, image), example.keypoints, example.visible, room
        )
        ones = jnp.ones(len(image))
        zeros = jnp.zeros(len(image))
        x, y = corners.T.astype(jnp.float32)
        maps = geometry.affine(ones, zeros, zeros, ones, shift=(-x, -y))
        windows = jax.vmap(cut)(image, corners)
        moved = move_example(example, maps, windows)
        return moved, maps

    return augment


def random_flip(skeleton: Skeleton, probability: float = 0.5) -> Augment:
    """Builds the augmentation that mirrors images and keypoints.

    Raises InputError without a flip permutation.
    """
    if not skeleton.flip:
        raise InputError(
            "random flip: the skeleton has no flip permutation, so a mirrored image has no valid "
            "labels; name each keypoint's mirror image in Skeleton.flip or leave the flip out"
        )
    assert 0 <= probability <= 1, probability
    mirror = np.array(skeleton.flip)

    def draw(key):
        return jax.random.bernoulli(key, probability)

    def augment(key, example):
        image = _check_float_image(example.image)
        width = image.shape[2]
        flipped = jax.vmap(draw)(_keys(key, image))
        sign = jnp.where(flipped, -1, 1).astype(jnp.float32)
        shift = jnp.where(flipped, jnp.float32(width - 1), jnp.float32(0))
        maps = geometry.affine(sign, 0, 0, 1, shift=(shift, 0))
        keypoints = jnp.where(
            flipped[:, None, None], example.keypoints[:, mirror], example.keypoints
        )
        visible = jnp.where(flipped[:, None], example.visible[:, mirror], example.visible)
        image = jnp.where(flipped[:, None, None, None], image[:, :, ::-1], image)
        exchanged = example._replace(keypoints=keypoints, visible=visible)
        mirrored = move_example(exchanged, maps, image)
        return mirrored, maps

    return augment


# Appearance


def colour_jitter(strength: float = 0.25) -> Augment:
    """Builds the augmentation that changes brightness, contrast and saturation in random order.

    Each changes by a factor U(1 - strength, 1 + strength), and is clipped to [0, 1] before the
    next. All three blend the image with a reference: black, its mean grey, its own grey. So each
    position in the order is one blend whose reference is chosen for each image.
    """
    assert 0 <= strength <= 1, strength

    def draw(key):
        order_key, factor_key = jax.random.split(key)
        order = jax.random.permutation(order_key, 3)
        factors = jax.random.uniform(factor_key, (3,), jnp.float32, 1 - strength, 1 + strength)
        return order, factors

    def change(keys, images):
        orders, factors = jax.vmap(draw)(keys)
        for place in range(3):
            order = orders[:, place, None, None, None]
            grey = _grey(images)
            is_contrast = order == 1
            mean_grey = grey.mean((2, 3), keepdims=True)
            black_or_mean = jnp.where(is_contrast, mean_grey, jnp.float32(0))
            reference = jnp.where(order == 2, grey, black_or_mean)
            images = _blend(images, reference, factors[:, place])
        return images

    return _appearance(change)


def random_colour_matrix(strength: float, *, about: tuple[float, float] = (0.0, 0.0)) -> Augment:
    """Builds the augmentation that mixes the channels of each image and clips it to [0, 1].

    The mixing matrix is the identity plus strength * N(0, 1) everywhere. about: the range of the
    grey that stays unchanged, drawn for each image; about 0 black stays black, about 0.5 a strong
    mixture turns bright into dark.
    """
    strength = random_maps.at_least_zero(strength)
    low, high = random_maps.interval(about)

    def change(keys, images):
        def mixing(key):
            matrix_key, grey_key = jax.random.split(key)
            identity = jnp.eye(3, dtype=jnp.float32)
            matrix = identity + strength * jax.random.normal(matrix_key, (3, 3))
            grey = jax.random.uniform(grey_key, (), jnp.float32, low, high)
            return matrix, grey

        matrices, greys = jax.vmap(mixing)(keys)
        greys = greys[:, None, None, None]
        mixed = 0
        for c in range(3):
            channel = images[:, c, None] - greys
            mixed += channel * matrices[:, c, :, None, None]
        return jnp.clip(mixed + greys, 0, 1)

    return _appearance(change)


def random_noise(strength: float) -> Augment:
    """Builds the augmentation that adds noise N(0, d²), d ~ U(0, strength) for each image, and
    clips to [0, 1].
    """
    strength = random_maps.at_least_zero(strength)

    def change(keys, images):
        def noise(key):
            deviation_key, noise_key = jax.random.split(key)
            deviation = jax.random.uniform(deviation_key, (), jnp.float32, 0, strength)
            return deviation * jax.random.normal(noise_key, images.shape[1:])

        noisy = images + jax.vmap(noise)(keys)
        return jnp.clip(noisy, 0, 1)

    return _appearance(change)


def random_blur(deviation: tuple[float, float] = (0.0, 0.8)) -> Augment:
    """Builds the augmentation that blurs each image with a Gaussian of standard deviation
    U(*deviation) pixels.

    At the borders the kernel is cut off and its sum is made one again.
    """
    low, high = random_maps.interval(deviation)

    def draw(key):
        return jax.random.uniform(key, (), jnp.float32, low, high)

    def change(keys, images):
        deviations = jax.vmap(draw)(keys)
        spread = 2 * jnp.square(jnp.maximum(deviations, 1e-3))
        spread = spread[:, None, None]

        def kernels(length):
            place = np.arange(length, dtype=np.float32)
            squares = (place[:, None] - place) ** 2
            weights = jnp.exp(-jnp.asarray(squares)[None] / spread)
            return weights / weights.sum(-1, keepdims=True)

        # One product along each axis: a convolution with a kernel for each image is fifty times
        # slower on a CPU.
        rows = jnp.einsum(
            "bcyx,bux->bcyu", images, kernels(images.shape[3]), precision=geometry.HIGHEST
        )
        return jnp.einsum(
            "bcyu,bvy->bcvu", rows, kernels(images.shape[2]), precision=geometry.HIGHEST
        )

    return _appearance(change)


# Parts


def _keys(key: jax.Array, image: jax.Array) -> jax.Array:
    """Splits a key into one for each image of a batch."""
    return jax.random.split(key, image.shape[0])


def _identities(example: Example) -> jax.Array:
    return jnp.broadcast_to(geometry.identity(), (example.image.shape[0], 3, 3))


def _check_float_image(image: jax.Array) -> jax.Array:
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"augmentations take batches of floating point images in [0, 1], got {image.dtype} of shape "
            f"{image.shape}"
        )
    return image


def _appearance(change: Callable[[jax.Array, jax.Array], jax.Array]) -> Augment:
    """Builds an augmentation that moves nothing, from `(keys (B,), images (B, 3, H, W) float32) ->
    images`.

    Channels come first in here: with the three of them innermost nothing is vectorised on a CPU.
    """

    def augment(key, example):
        image = _check_float_image(example.image)
        keys = _keys(key, image)
        channels_first = image.astype(jnp.float32).transpose(0, 3, 1, 2)
        changed = change(keys, channels_first)
        changed = changed.transpose(0, 2, 3, 1).astype(image.dtype)
        return example._replace(image=changed), _identities(example)

    return augment


def _grey(images: jax.Array) -> jax.Array:
    """Computes the grey image, (B, 1, H, W)."""
    return sum(weight * images[:, c : c + 1] for c, weight in enumerate(LUMA))


def _blend(images: jax.Array, reference: jax.Array, factors: jax.Array) -> jax.Array:
    factors = factors[:, None, None, None]
    blended = factors * images + (1 - factors) * reference
    return jnp.clip(blended, 0, 1)
