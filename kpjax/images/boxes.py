"""Boxes around keypoints, and the maps from images of any size to squares. Host side, numpy.

A box is (left, upper, right, lower) in pixels. Maps are (3, 3) float32 from the image's pixels to
the square's, the centre of the top-left pixel at (0, 0).
"""

from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError


def tight_box(keypoints: np.ndarray, visible: np.ndarray | None = None) -> np.ndarray:
    """Returns the smallest box (4,) float64 of keypoints (K, 2), or those with visible (K,) > 0; at
    least one.
    """
    points = np.asarray(keypoints, np.float64)
    if visible is not None:
        points = points[np.asarray(visible) > 0]
    if not len(points):
        raise InputError(
            "keypoints",
            "none is visible, so they have no box; leave the example out or give it a box",
        )
    return np.concatenate([points.min(0), points.max(0)])


def square_box(box: np.ndarray, width: int, height: int, factor: float = 1.5) -> np.ndarray:
    """Returns a square of `factor` times the box's longer side about its centre, shifted and cut to
    fit the image.

    (4,) int64; the last column and row belong to the box, so that its side is right - left + 1.
    Halves are rounded to even, as in the code of RegDA (Jiang et al. 2021).
    """
    left, upper, right, lower = (float(edge) for edge in box)
    longer = max(right - left, lower - upper)
    side = min(round(factor * longer), width, height)

    def start(centre: float, length: int) -> int:
        centred = round(centre - side / 2)
        return min(max(centred, 0), length - side)

    new_left = start((left + right) / 2, width)
    new_upper = start((upper + lower) / 2, height)
    new_right = new_left + side - 1
    new_lower = new_upper + side - 1
    return np.array([new_left, new_upper, new_right, new_lower], np.int64)


def box_area(box: np.ndarray) -> float:
    """Returns the number of pixels in a box that includes its last column and row; 0 if it is
    inside out.
    """
    left, upper, right, lower = box
    width = max(right - left + 1, 0)
    height = max(lower - upper + 1, 0)
    return float(width * height)


def box_intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the box (4,) that two boxes share; inside out, of area 0, if they share none."""
    first = np.asarray(first)
    second = np.asarray(second)
    left_upper = np.maximum(first[:2], second[:2])
    right_lower = np.minimum(first[2:], second[2:])
    return np.concatenate([left_upper, right_lower])


class Fit(NamedTuple):
    """An image resized to (width, height) and pasted with its corner at (left, upper) of a
    square."""

    width: int
    height: int
    left: int
    upper: int


def letterbox_fit(width: int, height: int, side: int) -> Fit:
    """Fits the largest copy of the same aspect, its sides rounded, into the middle of a square (one
    off if odd).
    """
    scale = min(side / width, side / height)
    new_width = max(round(scale * width), 1)
    new_height = max(round(scale * height), 1)
    return Fit(new_width, new_height, (side - new_width) // 2, (side - new_height) // 2)


def letterbox_map(width: int, height: int, side: int) -> np.ndarray:
    """Returns the map of `letterbox_fit`, edge to edge, as Pillow and jax.image.resize sample."""
    fit = letterbox_fit(width, height, side)
    across = fit.width / width
    down = fit.height / height
    return _stretch(across, down, fit.left, fit.upper)


def stretch_map(width: int, height: int, side: int) -> np.ndarray:
    """Returns the map of an image stretched over a square, edge to edge."""
    return _stretch(side / width, side / height, 0, 0)


def crop_map(box: np.ndarray, side: int, *, grid: str = "half_pixel") -> np.ndarray:
    """Returns the map of a box stretched over a square.

    Args:
        box: left, upper, right, lower; columns left to right - 1 and rows alike are kept, as in
            Pillow's crop.
        grid: "half_pixel", edge to edge, as images are resized, or "index", (x - left) * side /
            width, as the official RegDA code moves keypoints.
    """
    left, upper, right, lower = (float(edge) for edge in box)
    across = side / (right - left)
    down = side / (lower - upper)
    new_left = -left * across
    new_upper = -upper * down
    if grid == "index":
        return _matrix(across, down, new_left, new_upper)
    return _stretch(across, down, new_left, new_upper)


def pad_to_square_fit(width: int, height: int, side: int) -> Fit:
    """Fits a copy into the middle of a square, its longer side at `side` and its shorter one
    truncated.
    """
    longer = max(width, height)
    new_width = max(side * width // longer, 1)
    new_height = max(side * height // longer, 1)
    return Fit(new_width, new_height, (side - new_width) // 2, (side - new_height) // 2)


def pad_to_square_map(width: int, height: int, side: int) -> np.ndarray:
    """Returns the official RegDA code's map of LSP keypoints: index times side / longer side, plus
    half the padding.

    Half an odd padding is a real number here, while the image itself is pasted at its floor
    (`pad_to_square_fit`).
    """
    fit = pad_to_square_fit(width, height, side)
    scale = side / max(width, height)
    beside = (side - fit.width) / 2
    above = (side - fit.height) / 2
    return _matrix(scale, scale, beside, above)


def person_map(
    centre: tuple[float, float], length: float, side: int, *, degrees: float = 0.0
) -> np.ndarray:
    """Returns the map of the official HRNet code (Sun et al. 2019) from a square of the image to
    one of `side`.

    The centre (x, y) of the square, `length` pixels wide, lands on (side / 2, side / 2) and one
    pixel becomes side / length, without the half pixel of a resampling. That code calls length /
    200 the scale. degrees: the rotation of the square in the image, x towards y.
    """
    scale = side / length
    angle = np.deg2rad(degrees)
    along = scale * np.cos(angle)
    across = scale * np.sin(angle)
    turned = np.array([[along, across], [-across, along]])
    shift = side / 2 - turned @ np.reshape(centre, (2, 1))
    last_row = np.eye(3)[2:]
    map_ = np.block([[turned, shift], [last_row]])
    return map_.astype(np.float32)


def move_points(map_: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Moves points (N, 2) by a map (3, 3), computed in float64 and returned as float32."""
    points = np.asarray(points, np.float64)
    linear = np.asarray(map_, np.float64)[:, :2]
    homogeneous = points @ linear.T + map_[:, 2]
    moved = homogeneous[:, :2] / homogeneous[:, 2:]
    return moved.astype(np.float32)


def in_original_pixels(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns points (K, 2) of a square in pixels of the original image, float64. crop: (3, 3)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], -1)
    moved = homogeneous @ np.asarray(crop, np.float64).T
    return moved[:, :2] / moved[:, 2:]


def invert(map_: np.ndarray) -> np.ndarray:
    """Inverts a map (3, 3), computed in float64 and returned as float32."""
    return np.linalg.inv(np.asarray(map_, np.float64)).astype(np.float32)


def _matrix(across: float, down: float, left: float, upper: float) -> np.ndarray:
    return np.array([[across, 0, left], [0, down, upper], [0, 0, 1]], np.float32)


def _stretch(across: float, down: float, left: float, upper: float) -> np.ndarray:
    """Returns the scaling edge to edge: pixel 0 spans 0 to 1 in both images, its centre at 0.5."""
    x = 0.5 * across - 0.5 + left
    y = 0.5 * down - 0.5 + upper
    return _matrix(across, down, x, y)


# Crops around annotated landmarks, as in the code of "Object landmark discovery through
# unsupervised adaptation"

SMALLEST = 20  # pixels of a box below which its margin stays constant
LEAST_MARGIN = 8


class Turned(NamedTuple):
    """A map (3, 3) float64 from pixels of an image to a canvas that holds it rotated, and the
    canvas's size.
    """

    map_: np.ndarray
    width: int
    height: int


def turned_canvas(width: int, height: int, degrees: float) -> Turned:
    """Rotates a whole image about (width // 2, height // 2), which moves to half of the canvas's
    sides.

    A positive angle turns the x axis towards the y axis. The sides of the canvas are truncated.
    """
    angle = np.deg2rad(degrees)
    cosine = np.cos(angle)
    sine = np.sin(angle)
    new_width = int(height * abs(sine) + width * abs(cosine))
    new_height = int(height * abs(cosine) + width * abs(sine))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    old_middle = np.array([width // 2, height // 2])
    new_middle = np.array([new_width / 2, new_height / 2])
    shift = new_middle - turn @ old_middle
    last_row = np.eye(3)[2:]
    map_ = np.block([[turn, shift[:, None]], [last_row]])
    return Turned(map_, new_width, new_height)


def landmark_box(
    keypoints: np.ndarray,
    tightness: int,
    width: int,
    height: int,
    visible: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the box (4,) int64 of the visible keypoints (K, 2) with a margin, cut to the image.

    Edges are rounded, half to even, before the margin is added. The right column and lower row are
    excluded. tightness: the margin in percent of the mean of the box's sides, truncated to pixels;
    8 pixels for boxes below 20. The published training draws int(70 + 4 N(0, 1)) for each view;
    evaluation uses 64 or 16. visible: (K,), counted above
    0. Raises InputError if no keypoint is visible or the box lies outside.
    """
    left, upper, right, lower = tight_box(keypoints, visible)
    extent = ((right - left) + (lower - upper)) / 2
    margin = LEAST_MARGIN if extent < SMALLEST else int(tightness * extent / 100)
    box = np.array(
        [
            max(round(left) - margin, 0),
            max(round(upper) - margin, 0),
            min(round(right) + margin, width - 1),
            min(round(lower) + margin, height - 1),
        ],
        np.int64,
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(
            "keypoints",
            f"their box with its margin, {box.tolist()}, has no area inside an image of "
            f"{width} x {height}; check that they are in pixels of this image",
        )
    return box
