"""Images of any size brought to one square size on the host, with the keypoints moved along and the way back kept."""
import math
from typing import Protocol

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from kpjax.errors import InputError
from kpjax.images import boxes
from kpjax.images.boxes import landmark_box

Placed = tuple[np.ndarray, np.ndarray, np.ndarray, np.float32, np.ndarray]
# (image (S, S, 3) uint8, keypoints, visible, scale, crop (3, 3): pixels of the placed image -> of the given one)


class Place(Protocol):
    """image (h, w, 3) uint8, keypoints (K, 2), visible (K,), the set's reference length in pixels -> the square one.

    box: (4,) x, y, width, height in pixels of the image, where the set says what is shown; most placements leave it
    aside.
    """

    def __call__(
        self, image: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, scale: np.float32,
        box: np.ndarray | None = None,
    ) -> Placed: ...


def _placed(image: Image.Image, map_: np.ndarray, keypoints, visible, scale) -> Placed:
    """What belongs to an image that was resampled under `map_` (given -> placed pixels).

    A point that lands outside is not visible any more. The reference length grows with the square root of the map's
    determinant, which is exact for maps that keep angles.
    """
    moved = boxes.move_points(map_, keypoints)
    inside = ((moved >= -0.5) & (moved < image.width - 0.5)).all(axis=-1)
    visible = (inside & (np.asarray(visible) > 0)).astype(np.float32)
    growth = np.sqrt(abs(np.linalg.det(np.asarray(map_, np.float64)[:2, :2])))
    return (np.asarray(image), np.where(visible[:, None] > 0, moved, np.float32(0)), visible,
            np.float32(scale * growth), boxes.invert(map_))


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def _pasted(image: np.ndarray, fit: boxes.Fit, side: int) -> Image.Image:
    """The image resized and pasted on black."""
    canvas = Image.new("RGB", (side, side))
    canvas.paste(_resized(Image.fromarray(image), fit.width, fit.height), (fit.left, fit.upper))
    return canvas


def letterbox(side: int) -> Place:
    """The whole image, its longer side at `side` pixels, black beside it."""
    def place(image, keypoints, visible, scale, box=None):
        size = image.shape[1], image.shape[0], side
        placed = _pasted(image, boxes.letterbox_fit(*size), side)
        return _placed(placed, boxes.letterbox_map(*size), keypoints, visible, scale)
    return place


def pad_to_square(side: int) -> Place:
    """The whole image as the RegDA authors place Leeds Sports images (see `boxes.pad_to_square_map`).

    It differs from `letterbox` in rounding: sizes are cut, not rounded, and coordinates move by half the gap as a
    real number, without the half-pixel of a resampling.
    """
    def place(image, keypoints, visible, scale, box=None):
        size = image.shape[1], image.shape[0], side
        placed = _pasted(image, boxes.pad_to_square_fit(*size), side)
        return _placed(placed, boxes.pad_to_square_map(*size), keypoints, visible, scale)
    return place


def stretch(side: int) -> Place:
    """The whole image, each axis stretched to `side` pixels on its own."""
    def place(image, keypoints, visible, scale, box=None):
        placed = _resized(Image.fromarray(image), side, side)
        return _placed(placed, boxes.stretch_map(image.shape[1], image.shape[0], side), keypoints, visible, scale)
    return place


def box_crop(side: int, margin: float = 1.5, *, grid: str = "half_pixel") -> Place:
    """A square around the visible keypoints, `margin` times their extent, shifted to stay inside the image.

    grid: how keypoints move, "half_pixel" as the pixels do, or "index" as in the official RegDA code (see
    `boxes.crop_map`). An image whose visible keypoints span no area is placed as by `letterbox`.
    """
    whole = letterbox(side)

    def place(image, keypoints, visible, scale, box=None):
        if not np.any(visible):
            return whole(image, keypoints, visible, scale)
        height, width = image.shape[:2]
        square = boxes.square_box(boxes.tight_box(keypoints, visible), width, height, margin)
        left, upper, right, lower = (int(edge) for edge in square)
        if right <= left:
            return whole(image, keypoints, visible, scale)
        placed = _resized(Image.fromarray(image[upper:lower, left:right]), side, side)
        return _placed(placed, boxes.crop_map(square, side, grid=grid), keypoints, visible, scale)
    return place


def person_crop(side: int, margin: float = 1.25, *, smallest: float = 0.0) -> Place:
    """A square of `margin` times the longer side of the annotated box, about its middle, black beyond the image.

    smallest: the least side of the square in pixels. Sampling and coordinates are those of the official HRNet code
    (Sun et al. 2019; see `boxes.person_map`): bilinear between four pixels at any reduction, its margin 1.25. A point
    outside the square is not visible any more. Raises InputError for an example without a box.
    """
    def place(image, keypoints, visible, scale, box=None):
        x, y, width, height = _needed(box)
        length = max(margin * max(width, height), smallest)
        map_ = boxes.person_map((x + width / 2, y + height / 2), length, side)
        # Pillow counts from the corner of the first pixel, maps of centres from its middle.
        (step, _, left), (_, _, upper) = np.linalg.inv(np.asarray(map_, np.float64))[:2]
        corner = 0.5 - 0.5 * step
        placed = Image.fromarray(image).transform(
            (side, side), Image.Transform.AFFINE, (step, 0, left + corner, 0, step, upper + corner),
            Image.Resampling.BILINEAR)
        return _placed(placed, map_, keypoints, visible, scale)
    return place


def around_box(side: int, margin: float = 1.25) -> Place:
    """A square of `margin` times the longer side of the given box, about its middle, black beyond the image.

    The numbers of the box are edges (pixel 0 spans 0 to 1), and the square is resized edge to edge as `letterbox` does
    it. Nothing is rounded to whole pixels. A point outside the square is not visible any more.
    Raises InputError for an example without a box.
    """
    def place(image, keypoints, visible, scale, box=None):
        x, y, width, height = _needed(box)
        length = margin * max(width, height)
        left, upper = x + width / 2 - length / 2, y + height / 2 - length / 2
        # Whole pixels that hold the square; those beyond the image come out black.
        corner = math.floor(left), math.floor(upper)
        held = Image.fromarray(image).crop((*corner, math.ceil(left + length), math.ceil(upper + length)))
        inside = left - corner[0], upper - corner[1]
        square = (*inside, min(inside[0] + length, held.width), min(inside[1] + length, held.height))
        placed = held.resize((side, side), Image.Resampling.BILINEAR, box=square)
        step = side / length
        map_ = np.array([[step, 0, (0.5 - left) * step - 0.5], [0, step, (0.5 - upper) * step - 0.5], [0, 0, 1]],
                        np.float32)
        return _placed(placed, map_, keypoints, visible, scale)
    return place


def scaled_by_box(place: Place) -> Place:
    """The same placement, with the longer side of the annotated box as the reference length.

    For PCK as it is defined for Leeds Sports, CUB and ATRW (Moskvyak et al. 2021), whatever length a set stores.
    Raises InputError for an example without a box.
    """
    def place_with_length(image, keypoints, visible, scale, box=None):
        _, _, width, height = _needed(box)
        return place(image, keypoints, visible, np.float32(max(width, height)), box)
    return place_with_length


def _needed(box: np.ndarray | None) -> tuple[float, ...]:
    """x, y, width and height of a box that is there and has an area along one axis at least."""
    if box is None:
        raise InputError("box: the placement goes by the annotated box and the example has none; choose a set that "
                         "has boxes, and prepare it again if it was prepared without")
    x, y, width, height = (float(number) for number in box)
    if not max(width, height) > 0:
        raise InputError(f"box: width {width:g} and height {height:g}; one of them must be positive")
    return x, y, width, height


# Images cropped by their annotated landmarks, as papers on unsupervised landmarks crop them for evaluation


def landmark_crop(side: int, tightness: int = 64) -> Place:
    """The box of the visible landmarks with a margin of `tightness` percent, stretched to a square of `side`.

    An image without visible landmarks is cropped by the corners of its annotated box if it has one. Coordinates move
    as in the published code (`boxes.crop_map` with grid "index"). 16 is the default of that code, 64 what its notes
    use. Raises InputError for an image with neither, and for a box that lies outside of it.
    Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), its code.
    """
    def place(image, keypoints, visible, scale, box=None):
        height, width = image.shape[:2]
        points = _corners_or_landmarks(keypoints, visible, box)
        return _cut(image, landmark_box(points, tightness, width, height), side, keypoints, visible, scale)
    return place


def margin_crop(side: int, pixels: float = 60.0) -> Place:
    """The box of the visible landmarks and `pixels` on each side of it, cut to the image and stretched to a square:
    BBC-Pose for training. Raises InputError as `landmark_crop` does.
    """
    def place(image, keypoints, visible, scale, box=None):
        points = _corners_or_landmarks(keypoints, visible, box)
        window = boxes.tight_box(points) + pixels * np.array([-1, -1, 1, 1])
        return _cut(image, _inside(window, image), side, keypoints, visible, scale)
    return place


def window_crop(side: int, extent: float = 300.0) -> Place:
    """A window of `extent` pixels about the middle of the visible landmarks' box, cut to the image and stretched to a
    square: BBC-Pose for evaluation. Raises InputError as `landmark_crop` does.
    """
    def place(image, keypoints, visible, scale, box=None):
        tight = boxes.tight_box(_corners_or_landmarks(keypoints, visible, box))
        middle = (tight[:2] + tight[2:]) / 2
        window = np.concatenate([middle - extent / 2, middle + extent / 2])
        return _cut(image, _inside(window, image), side, keypoints, visible, scale)
    return place


def _corners_or_landmarks(keypoints: np.ndarray, visible: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    shown = np.asarray(keypoints, np.float64)[np.asarray(visible) > 0]
    if len(shown):
        return shown
    if box is None:
        raise InputError("keypoints: the crop goes by annotated landmarks, and the example has neither one nor a box; "
                         "choose a placement of the whole image, for example letterbox")
    left, upper, width, height = np.asarray(box, np.float64)
    return np.array([[left, upper], [left + width, upper + height]])


def _inside(window: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A window in whole pixels, cut to an image."""
    height, width = image.shape[:2]
    left, upper, right, lower = np.rint(window).astype(int)
    box = np.array([max(left, 0), max(upper, 0), min(right, width), min(lower, height)])
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"keypoints: the window {box.tolist()} around them has no area inside an image of "
                         f"{width} x {height}; check that they are in pixels of this image")
    return box


def _cut(image: np.ndarray, box: np.ndarray, side: int, keypoints, visible, scale) -> Placed:
    left, upper, right, lower = (int(edge) for edge in box)
    cut = Image.fromarray(image[upper:lower, left:right]).resize((side, side), Image.Resampling.BILINEAR)
    map_ = boxes.crop_map(box, side, grid="index")
    moved = boxes.move_points(map_, keypoints)
    inside = ((moved >= -0.5) & (moved < side - 0.5)).all(axis=-1)
    visible = (inside & (np.asarray(visible) > 0)).astype(np.float32)
    growth = np.sqrt(abs(np.linalg.det(np.asarray(map_, np.float64)[:2, :2])))
    return (np.asarray(cut), np.where(visible[:, None] > 0, moved, np.float32(0)), visible, np.float32(scale * growth),
            boxes.invert(map_))


# Images in which only local contrast is left: no colour, no light and shade, weak and strong edges alike


LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
WINDOW = 1 / 16  # standard deviation of the neighbourhood, of the image's longer side
RANGE = 3.0  # deviations from the local mean that black and white stand for


def local_contrast(image: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) uint8 as its grey values less their local mean, over their local deviation: (h, w, 3) uint8
    with equal channels, 127 where nothing differs from its surroundings.

    Deviations below the image's mean deviation count as that, so that noise on an even ground stays weak.
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
