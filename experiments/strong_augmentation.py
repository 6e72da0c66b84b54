"""The augmentation of small sets of pictures."""
from kpjax.augment.augmentations import (
    Augment,
    colour_jitter,
    compose_augmentations,
    random_blur,
    random_flip,
    random_noise,
    random_warp,
)
from kpjax.augment.random_maps import draw_affine
from kpjax.structures import Skeleton


def strong_augmentation(
    skeleton: Skeleton, *, rotation: float, zoom: tuple[float, float], shift: float, flip: bool, jitter: float,
    blur: float, noise: float,
) -> Augment:
    """Turned, zoomed and shifted in one sampling, mirrored if asked for, then other light, blur and noise.

    rotation: degrees either way. shift: share of the side. blur: px. noise: of the range of pixel values.
    """
    moved = random_warp(draw_affine(degrees=rotation, scale=zoom, shift=shift))
    mirrored = (random_flip(skeleton),) if flip else ()
    return compose_augmentations(moved, *mirrored, colour_jitter(jitter), random_blur((0.0, blur)),
                                 random_noise(noise))
