"""The part of people's own frames that a network sees: one square of every frame before a still
camera, and a box where one is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from kpjax.errors import InputError
from kpjax.images.transforms import AroundBox, Letterbox, Resampled, Resampling, Transform
from kpjax.papers.configs import Rule

# Of a still camera one square of every frame is looked at, if it is smaller than this share of the
# longer side; its side is so many times the extent of what is to be seen.
SMALLER, PLACE_MARGIN = 0.8, 1.2
# Labelled frames from which on labels tell of such a square, and into how many parts they fall: the
# square of all but one must hold all but a share of that one's labels.
LEAST_AT_PLACE, PLACE_PARTS, LEFT_OUT = 10, 5, 0.01
Place = Annotated[
    tuple[float, ...],
    Rule(
        lambda place: len(place) % 6 == 0,
        "give width and height of frames, and left, upper, width and height there; of each size",
    ),
]


def places_by_size(place: tuple[float, ...]) -> dict[tuple[float, ...], list[float]]:
    """Returns left, upper, width and height by width and height of images, as of `SamePlace`."""
    return {(*row[:2],): row[2:] for row in np.reshape(place, (-1, 6)).tolist()}


@dataclass(frozen=True)
class SamePlace(Resampling):
    """A square about one box of every image, as `AroundBox` without a margin: of a still camera.

    place: six numbers for each size that images have: their width and height, and the box's left,
    upper, width and height in their pixels. Raises InputError for an image of another size.
    """

    side: int
    place: tuple[float, ...]

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        known = places_by_size(self.place)
        if image.size not in known:
            sizes = " and ".join(f"{width:g}x{height:g}" for width, height in known)
            raise InputError(
                "place",
                f"one part of images of {sizes} px is looked at, and one is {image.width}x{image.height}: where "
                "that part is there is not known; give it, as --crop, or take whole images",
            )
        around = AroundBox(self.side, 1.0)
        return around._resample(image, keypoints, visible, np.array(known[image.size]))


@dataclass(frozen=True)
class BoxOrWhole(Resampling):
    """`AroundBox` where a box is given, else `SamePlace` or `Letterbox`: for predictions by networks
    trained on images without boxes.
    """

    side: int
    margin: float = 1.25
    place: tuple[float, ...] = ()

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        whole = at_place(Letterbox(self.side), self.place)
        transform = whole if box is None else AroundBox(self.side, self.margin)
        return transform._resample(image, keypoints, visible, box)


def at_place(transform: Resampling, place: tuple[float, ...]) -> Resampling:
    """Returns `SamePlace` in place of a letterbox, if there is a place."""
    if place and isinstance(transform, Letterbox):
        return SamePlace(transform.side, place)
    return transform


def accepting_boxes(transform: Transform) -> Transform:
    """Returns the transform for predictions: one of images without boxes crops around a box where
    one is given.
    """
    if isinstance(transform, Letterbox | SamePlace):
        return BoxOrWhole(transform.side, place=getattr(transform, "place", ()))
    return transform


def place_of_labels(points: np.ndarray, sizes: np.ndarray) -> tuple[float, ...]:
    """Returns the square about all labels on frames of each size, as of `SamePlace`; nothing where
    it is not much smaller than the frames, or where some labels lie outside the square of others.

    points: (N, K, 2) px, in the order of time, nan where nothing is labelled. sizes: (N, 2) px.
    """
    if len(points) < LEAST_AT_PLACE:
        return ()
    outside = 0
    for part in np.array_split(np.arange(len(points)), PLACE_PARTS):
        others = _squares_about(np.delete(points, part, 0), np.delete(sizes, part, 0))
        for number in part:
            *corner, side, _ = others.get(tuple(sizes[number]), np.zeros(4))
            away = np.abs(points[number] + 0.5 - np.add(corner, side / 2)).max(-1)
            outside += int((away > side / 2).sum())
    squares = _squares_about(points, sizes)
    share = np.mean([squares.get(tuple(size), (0, 0, np.inf))[2] / size.max() for size in sizes])
    if outside > LEFT_OUT * np.isfinite(points).all(-1).sum() or share > SMALLER:
        return ()
    return tuple(float(number) for size, square in squares.items() for number in (*size, *square))


def _squares_about(
    points: np.ndarray, sizes: np.ndarray
) -> dict[tuple[int, ...], tuple[float, ...]]:
    """Returns the square about the labels on frames of each size that has some."""
    found = {}
    for size in np.unique(sizes, axis=0):
        labels = points[(sizes == size).all(-1)].reshape(-1, 2)
        labels = labels[np.isfinite(labels).all(-1)]
        if len(labels):
            found[tuple(size)] = square_about(*labels.min(0) + 0.5, *np.ptp(labels, 0), size)
    return found


def square_about(
    x: float, y: float, across: float, down: float, size: Sequence[float]
) -> tuple[float, ...]:
    """Returns left, upper, width and height of the square about an extent, with a margin, moved into
    a frame of a size (width, height) as far as it fits, px."""
    side = PLACE_MARGIN * max(across, down)
    corner = x + (across - side) / 2, y + (down - side) / 2
    spare = np.subtract(size, side)
    corner = np.clip(corner, np.minimum(spare, 0), np.maximum(spare, 0))
    return tuple(round(float(number), 1) for number in (*corner, side, side))
