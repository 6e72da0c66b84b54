"""Pictures in which only local contrast is left: no colour, no light and shade, weak and strong edges alike.

Points that are found by reconstruction follow what is bright; in photographs that is the light, and seldom the object.
"""
import numpy as np
from scipy.ndimage import gaussian_filter

from kpjax.input.placement import Place
from kpjax.input.source import ArraySource

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
WINDOW = 1 / 16  # standard deviation of the neighbourhood, of the picture's longer side
RANGE = 3.0  # deviations from the local mean that black and white stand for


def local_contrast(image: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 as its grey values less their local mean, over their local deviation: (h, w, 3) uint8
    with equal channels, 127 where nothing differs from its surroundings.

    Deviations below the picture's mean deviation count as that, so that noise on an even ground stays weak.
    Source: Jarrett et al. 2009, "What is the best multi-stage architecture for object recognition?", section 2.
    """
    grey = image.astype(np.float64) @ np.array(LUMA) / 255
    width = WINDOW * max(grey.shape)
    centred = grey - gaussian_filter(grey, width, mode="nearest")
    deviation = np.sqrt(gaussian_filter(np.square(centred), width, mode="nearest"))
    contrast = centred / np.maximum(np.maximum(deviation, deviation.mean()), 1e-6)
    shown = np.clip(127.5 + 127.5 / RANGE * contrast, 0, 255).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=-1)


def place_local_contrast(place: Place) -> Place:
    """The same placement, of which the local contrast is kept."""
    def placed(image, keypoints, visible, scale, box=None):
        image, *rest = place(image, keypoints, visible, scale, box)
        return local_contrast(image), *rest

    return placed


def with_local_contrast(source: ArraySource) -> ArraySource:
    """A source in memory, of whose pictures the local contrast is kept."""
    images = np.stack([local_contrast(image) for image in source.examples.image])
    return ArraySource(source.examples._replace(image=images), source.skeleton, f"{source.name}, local contrast",
                       source.names)
