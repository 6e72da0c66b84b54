"""Pictures of any size brought to one square size on the host, with the keypoints moved along and the way back kept."""
from collections.abc import Callable

import numpy as np
from PIL import Image

from kpjax import boxes

Placed = tuple[np.ndarray, np.ndarray, np.ndarray, np.float32, np.ndarray]
# (image (h, w, 3) uint8, keypoints (K, 2), visible (K,), scale) ->
# (image (S, S, 3) uint8, keypoints, visible, scale, crop (3, 3): pixels of the placed image -> of the given one)
Place = Callable[[np.ndarray, np.ndarray, np.ndarray, np.float32], Placed]


def _moved(image, map_, side, keypoints, visible, scale) -> Placed:
    """What belongs to an image that was resampled under `map_` (given -> placed pixels).

    A point that lands outside is not visible any more. The reference length grows with the square root of the map's
    determinant, which is exact for maps that keep angles.
    """
    map_ = np.asarray(map_, np.float64)
    keypoints = np.asarray(keypoints, np.float64) @ map_[:2, :2].T + map_[:2, 2]
    inside = ((keypoints >= -0.5) & (keypoints < side - 0.5)).all(axis=-1)
    visible = np.where(inside & (np.asarray(visible) > 0), np.float32(1), np.float32(0))
    keypoints = np.where(visible[:, None] > 0, keypoints, 0).astype(np.float32)
    scale = np.float32(scale * np.sqrt(abs(np.linalg.det(map_[:2, :2]))))
    return image, keypoints, visible, scale, np.linalg.inv(map_).astype(np.float32)


def _padded(image: np.ndarray, width: int, height: int, side: int) -> np.ndarray:
    """The image at (width, height), in the middle of a black square."""
    canvas = Image.new("RGB", (side, side))
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    canvas.paste(resized, ((side - width) // 2, (side - height) // 2))
    return np.asarray(canvas)


def letterbox(side: int) -> Place:
    """The whole picture, its longer side at `side` pixels, black beside it, under `boxes.letterbox_map`."""
    def place(image, keypoints, visible, scale):
        height, width = image.shape[:2]
        map_ = np.asarray(boxes.letterbox_map(width, height, side))
        shown = (round(float(map_[0, 0]) * width), round(float(map_[1, 1]) * height))
        return _moved(_padded(image, *shown, side), map_, side, keypoints, visible, scale)
    return place


def pad_to_square(side: int) -> Place:
    """The whole picture as the RegDA authors place Leeds Sports images, under `boxes.pad_to_square_map`.

    It differs from `letterbox` in rounding: sizes are cut, not rounded, and coordinates move by half the gap as a
    real number, without the half-pixel of a resampling.
    """
    def place(image, keypoints, visible, scale):
        height, width = image.shape[:2]
        longest = max(width, height)
        shown = (width * side // longest, height * side // longest)
        map_ = boxes.pad_to_square_map(width, height, side)
        return _moved(_padded(image, *shown, side), map_, side, keypoints, visible, scale)
    return place


def stretch(side: int) -> Place:
    """The whole picture, each axis stretched to `side` pixels on its own."""
    def place(image, keypoints, visible, scale):
        height, width = image.shape[:2]
        x, y = side / width, side / height
        map_ = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        return _moved(np.asarray(resized), map_, side, keypoints, visible, scale)
    return place


def box_crop(side: int, margin: float = 1.5) -> Place:
    """A square around the visible keypoints, `margin` times their extent, shifted to stay inside the picture.

    A picture without visible keypoints is placed as by `letterbox`.
    """
    whole = letterbox(side)

    def place(image, keypoints, visible, scale):
        if not np.any(visible):
            return whole(image, keypoints, visible, scale)
        height, width = image.shape[:2]
        box = boxes.square_box(boxes.tight_box(np.asarray(keypoints)[np.asarray(visible) > 0]), width, height, margin)
        left, upper, right, lower = (int(edge) for edge in box)
        cut = Image.fromarray(image[upper:lower + 1, left:right + 1])
        resized = np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR))
        return _moved(resized, boxes.crop_map(box, side), side, keypoints, visible, scale)
    return place
