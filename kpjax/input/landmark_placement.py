"""Pictures cropped by their annotated landmarks, as papers on unsupervised landmarks crop them for evaluation.

The crop needs annotation and the network that is evaluated does not: what is measured is where landmarks lie on an
object that fills the picture.
"""
import numpy as np
from PIL import Image

from kpjax import boxes
from kpjax.errors import InputError
from kpjax.input.placement import Place, Placed
from kpjax.landmark_crop import landmark_box


def landmark_crop(side: int, tightness: int = 64) -> Place:
    """The box of the visible landmarks with a margin of `tightness` percent, stretched to a square of `side`.

    A picture without visible landmarks is cropped by the corners of its annotated box if it has one. Coordinates move
    as in the published code (`boxes.crop_map` with grid "index"). 16 is the default of that code, 64 what its notes
    use. Raises InputError for a picture with neither, and for a box that lies outside of it.
    Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), its code.
    """
    def place(image, keypoints, visible, scale, box=None):
        height, width = image.shape[:2]
        points = _corners_or_landmarks(keypoints, visible, box)
        return _cut(image, landmark_box(points, tightness, width, height), side, keypoints, visible, scale)
    return place


def margin_crop(side: int, pixels: float = 60.0) -> Place:
    """The box of the visible landmarks and `pixels` on each side of it, cut to the picture and stretched to a square:
    BBC-Pose for training. Raises InputError as `landmark_crop` does.
    """
    def place(image, keypoints, visible, scale, box=None):
        points = _corners_or_landmarks(keypoints, visible, box)
        window = boxes.tight_box(points) + pixels * np.array([-1, -1, 1, 1])
        return _cut(image, _inside(window, image), side, keypoints, visible, scale)
    return place


def window_crop(side: int, extent: float = 300.0) -> Place:
    """A window of `extent` pixels about the middle of the visible landmarks' box, cut to the picture and stretched to a
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
                         "choose a placement of the whole picture, for example letterbox")
    left, upper, width, height = np.asarray(box, np.float64)
    return np.array([[left, upper], [left + width, upper + height]])


def _inside(window: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A window in whole pixels, cut to a picture."""
    height, width = image.shape[:2]
    left, upper, right, lower = np.rint(window).astype(int)
    box = np.array([max(left, 0), max(upper, 0), min(right, width), min(lower, height)])
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"keypoints: the window {box.tolist()} around them has no area inside a picture of "
                         f"{width} x {height}; check that they are in pixels of this picture")
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
