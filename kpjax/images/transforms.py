"""Resize and crop transforms: images of any size brought to a square on the host, together with
their keypoints.

A transform is a frozen dataclass called with an image (h, w, 3) uint8, keypoints (K, 2), visible
(K,), the set's reference length in pixels and perhaps the annotated box (x, y, width, height) in
pixels; see `Transform`.

The image may also be Pillow's, in mode RGB. A JPEG file that was opened and is not decoded yet is
then decoded at 1/2, 1/4 or 1/8 of its size where the square still shows fewer pixels (see
`_draft`): fewer to decode and to resample, and slightly other pixels. Coordinates, `scale` and
`crop` are those of the image at full size.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from kpjax.errors import InputError
from kpjax.images import boxes

Transformed = tuple[np.ndarray, np.ndarray, np.ndarray, np.float32, np.ndarray]
# (image (S, S, 3) uint8, keypoints, visible, scale, crop (3, 3): its pixels -> those of the given
# image)
Resampled = tuple[Image.Image, np.ndarray]


def growth_of(maps: np.ndarray) -> np.ndarray:
    """Returns how long a pixel is after maps (..., 3, 3) without perspective: (...) float64.

    A mean over directions, exact for maps that keep angles.
    """
    linear = np.asarray(maps, np.float64)[..., :2, :2]
    return np.sqrt(np.abs(np.linalg.det(linear)))


class Resampling:
    """A transform by one map: `_resample` returns the square, and the map from the image's pixels
    to the square's.

    A labelled point stays so where it lands outside: targets and metrics decide what becomes of it.
    The reference length grows with the square root of the map's determinant, which is exact for
    maps that keep angles.
    """

    def __call__(self, image, keypoints, visible, scale, box=None) -> Transformed:
        opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
        square, map_ = self._resample(opened, keypoints, visible, box)
        moved = boxes.move_points(map_, keypoints)
        visible = (np.asarray(visible) > 0).astype(np.float32)
        growth = growth_of(map_)
        return (
            np.asarray(square),
            np.where(visible[:, None] > 0, moved, np.float32(0)),
            visible,
            np.float32(scale * growth),
            boxes.invert(map_),
        )


@dataclass(frozen=True)
class Letterbox(Resampling):
    """The whole image, its longer side at `side` pixels, black beside it."""

    side: int

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        width, height = image.size
        fit = boxes.letterbox_fit(width, height, self.side)
        map_ = boxes.letterbox_map(width, height, self.side)
        square = _paste(image, fit, self.side)
        return square, map_


@dataclass(frozen=True)
class PadToSquare(Resampling):
    """The whole image as the RegDA authors pad Leeds Sports images (see `boxes.pad_to_square_map`).

    It differs from `Letterbox` in rounding: sizes are truncated, and coordinates move by half the
    gap as a real number, without the half-pixel of a resampling.
    """

    side: int

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        width, height = image.size
        fit = boxes.pad_to_square_fit(width, height, self.side)
        map_ = boxes.pad_to_square_map(width, height, self.side)
        square = _paste(image, fit, self.side)
        return square, map_


@dataclass(frozen=True)
class Stretch(Resampling):
    """The whole image, each axis stretched to `side` pixels on its own."""

    side: int

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        width, height = image.size
        map_ = boxes.stretch_map(width, height, self.side)
        square = _resize(image, (0, 0, width, height), (self.side, self.side))
        return square, map_


@dataclass(frozen=True)
class PersonCrop(Resampling):
    """A square of `margin` times the longer side of the annotated box, about its middle, black
    beyond the image.

    smallest: the least side of the square in pixels. Sampling and coordinates are those of the
    official HRNet code (Sun et al. 2019; see `boxes.person_map`): bilinear between four pixels at
    any reduction, its margin 1.25. Of an image that is decoded at a reduced size, pixels are
    averaged as by all other transforms. Raises InputError for an example without a box.
    """

    side: int
    margin: float = 1.25
    smallest: float = 0.0

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        x, y, width, height = _check_box(box)
        length = max(self.margin * max(width, height), self.smallest)
        middle = (x + width / 2, y + height / 2)
        map_ = boxes.person_map(middle, length, self.side)
        back = np.linalg.inv(np.asarray(map_, np.float64))
        (step, _, left), (_, _, upper) = back[:2]
        # Pillow counts from the corner of the first pixel, maps of centres from its middle.
        corner = 0.5 - 0.5 * step
        left += corner
        upper += corner
        size = (self.side, self.side)
        factor = _draft(image, step)
        if factor > 1:
            region = (left, upper, self.side * step, self.side * step)
            square = _stretch(image, factor, region, size)
            return square, map_
        rows = (step, 0, left, 0, step, upper)
        square = image.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)
        return square, map_


@dataclass(frozen=True)
class AroundBox(Resampling):
    """A square of `margin` times the longer side of the given box, about its middle, black beyond
    the image.

    The box counts edges (pixel 0 spans 0 to 1), and the square is resized edge to edge as
    `Letterbox` does. Nothing is rounded to whole pixels. Raises InputError for an example without a
    box.
    """

    side: int
    margin: float = 1.25

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        x, y, width, height = _check_box(box)
        length = self.margin * max(width, height)
        left = x + width / 2 - length / 2
        upper = y + height / 2 - length / 2
        step = self.side / length
        map_ = np.array(
            [
                [step, 0, (0.5 - left) * step - 0.5],
                [0, step, (0.5 - upper) * step - 0.5],
                [0, 0, 1],
            ],
            np.float32,
        )
        region = (left, upper, length, length)
        square = _resize(image, region, (self.side, self.side))
        return square, map_


# Crops around annotated landmarks, as papers on unsupervised landmarks evaluate


class _AroundLandmarks(Resampling):
    """A window about the visible landmarks, or the corners of the box if none is visible, stretched
    to a square.

    Coordinates move as in the published code (`boxes.crop_map` with grid "index"). Raises
    InputError for an image with neither landmarks nor a box, and for a window outside the image.
    """

    def _resample(self, image, keypoints, visible, box) -> Resampled:
        points = np.asarray(keypoints, np.float64)[np.asarray(visible) > 0]
        if not len(points):
            if box is None:
                raise InputError(
                    "keypoints",
                    "the crop needs a visible landmark or a box, and the example has "
                    "neither; use a transform of the whole image, for example Letterbox",
                )
            left, upper, width, height = np.asarray(box, np.float64)
            right = left + width
            lower = upper + height
            points = np.array([[left, upper], [right, lower]])
        window = self._window(points, *image.size)
        return _cut(image, window, self.side)


@dataclass(frozen=True)
class LandmarkCrop(_AroundLandmarks):
    """The landmarks' box with a margin of `tightness` percent of its mean side (see
    `boxes.landmark_box`).

    16 is the default of the published code, 64 what its notes use.
    Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), its code.
    """

    side: int
    tightness: int = 64

    def _window(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        return boxes.landmark_box(points, self.tightness, width, height)


@dataclass(frozen=True)
class MarginCrop(_AroundLandmarks):
    """The landmarks' box with `pixels` on each side, cut to the image: BBC-Pose for training."""

    side: int
    pixels: float = 60.0

    def _window(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        margins = self.pixels * np.array([-1, -1, 1, 1])
        return _inside(boxes.tight_box(points) + margins, width, height)


@dataclass(frozen=True)
class WindowCrop(_AroundLandmarks):
    """A window of `extent` pixels about the middle of the landmarks' box, cut to the image:
    BBC-Pose for evaluation.
    """

    side: int
    extent: float = 300.0

    def _window(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        tight = boxes.tight_box(points)
        middle = (tight[:2] + tight[2:]) / 2
        half = self.extent / 2
        window = np.concatenate([middle - half, middle + half])
        return _inside(window, width, height)


# Transforms of transforms


@dataclass(frozen=True)
class ScaledByBox:
    """The same transform, with the longer side of the annotated box as the reference length.

    For PCK as defined for Leeds Sports, CUB and ATRW (Moskvyak et al. 2021), whatever length a set
    stores. Raises InputError for an example without a box.
    """

    transform: "Transform"

    def __call__(self, image, keypoints, visible, scale, box=None) -> Transformed:
        _, _, width, height = _check_box(box)
        longer = np.float32(max(width, height))
        return self.transform(image, keypoints, visible, longer, box)


@dataclass(frozen=True)
class Turned:
    """The same transform of an image turned by `degrees`, x towards y, with its border repeated.

    The canvas holds the whole image (see `boxes.turned_canvas`). A box becomes the box of its
    turned corners.
    """

    transform: "Transform"
    degrees: float

    def __call__(self, image, keypoints, visible, scale, box=None) -> Transformed:
        image = np.asarray(image)  # at full size: it is resampled twice
        old_height, old_width = image.shape[:2]
        map_, width, height = boxes.turned_canvas(old_width, old_height, self.degrees)
        if box is not None:
            left, upper, wide, high = np.asarray(box, np.float64)
            corners = np.array(
                [
                    (left, upper),
                    (left, upper + high),
                    (left + wide, upper),
                    (left + wide, upper + high),
                ]
            )
            corners = boxes.move_points(map_, corners)
            box = np.concatenate([corners.min(0), np.ptp(corners, axis=0)])
        turned = warp(image, map_, (height, width))
        keypoints = boxes.move_points(map_, keypoints)
        *moved, crop = self.transform(turned, keypoints, visible, scale, box)
        crop = np.linalg.inv(map_) @ np.asarray(crop, np.float64)
        return *moved, crop.astype(np.float32)


Transform = Resampling | ScaledByBox | Turned


def warp(image: np.ndarray, map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Warps an image (h, w, 3) uint8 by an affine map (3, 3) of pixels to (height, width) = size.

    Bilinear; the border is repeated as far as the longer side.
    """
    border = max(image.shape[:2])
    back = np.linalg.inv(map_)
    # Pillow counts from the corner of the first pixel, maps of centres from its middle.
    linear = back[:2, :2]
    shift = back[:2, 2] + border + 0.5 - linear @ [0.5, 0.5]
    rows = np.column_stack([linear, shift])
    coefficients = tuple(rows.ravel().tolist())
    around = ((border, border), (border, border), (0, 0))
    padded = Image.fromarray(np.pad(image, around, "edge"))
    warped = padded.transform(
        size[::-1], Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(warped)


def enlarge(
    transform: Transform, *, field: float = 1.0, detail: float = 1.0
) -> tuple[Transform, int, np.ndarray]:
    """Returns a transform to a larger square, its side, and the map (3, 3) from its pixels to those
    of the given one.

    It shows the same crop, and what random maps of it need (`kpjax.augment.Reach`). The side is
    rounded up to even.

    Args:
        field: side of the crop that it shows over the side of the given crop, about the same
            middle.
        detail: its pixels for each pixel of the given transform, along each axis.

    Raises:
        InputError: for a transform that cannot be enlarged so.
    """
    match transform:
        case ScaledByBox(inner):
            larger, *frame = enlarge(inner, field=field, detail=detail)
            return ScaledByBox(larger), *frame
        case PersonCrop(side, margin, smallest):
            longer = _even(side * field * detail)
            grown = longer / (side * detail)
            larger = PersonCrop(longer, margin * grown, smallest * grown)
            # The official map takes the middle of the box to half of the side.
            map_ = boxes.person_map((longer / 2, longer / 2), side * detail, side)
            return larger, longer, map_
        case Stretch(side) if field == 1:
            longer = _even(side * detail)
            map_ = boxes.stretch_map(longer, longer, side)
            return Stretch(longer), longer, map_
    raise InputError(
        f"{transform} cannot be enlarged by {field:g}; use a crop around a box, or Stretch by 1"
    )


def _even(length: float) -> int:
    return 2 * math.ceil(length / 2)


def needs_box(transform: Transform) -> bool:
    """Returns whether a transform refuses examples without a box."""
    return isinstance(transform, PersonCrop | AroundBox | ScaledByBox)


# factors by which a JPEG file's blocks of 8 x 8 pixels can be reduced when decoded
REDUCTIONS = (8, 4, 2)
# pixels of what was decoded at a reduced size for each of the square, along each axis, at least
SPARE = 1.1


def _draft(image: Image.Image, shrink: float) -> int:
    """Has a JPEG file that is not decoded yet decoded at a reduced size, if it can be, and returns
    8, 4, 2 or else 1.

    The image changes its size with it: pixel edges at x are at x / factor then. shrink: pixels of
    the image at full size for each of the square.
    """
    factor = next((factor for factor in REDUCTIONS if shrink >= SPARE * factor), 1)
    if factor == 1:
        return 1
    width = image.width
    wanted = (max(width // factor, 1), max(image.height // factor, 1))
    drafted = image.draft("RGB", wanted)
    if not drafted:
        return 1
    _, (_, _, drafted_width, _) = drafted
    return round(width / drafted_width)


def _resize(image: Image.Image, region: tuple[float, ...], size: tuple[int, int]) -> Image.Image:
    """Stretches a region x, y, width, height over a size, edge to edge; a JPEG file is decoded as
    far as that shows.
    """
    _, _, width, height = region
    shrink = min(width / size[0], height / size[1])
    factor = _draft(image, shrink)
    return _stretch(image, factor, region, size)


def _stretch(
    image: Image.Image, factor: int, region: tuple[float, ...], size: tuple[int, int]
) -> Image.Image:
    """Stretches a region, in pixels of the image at full size, of one that is `factor` times
    smaller.

    What lies beyond the image comes out black, and what lies beside the region on the image has no
    influence: but for the rest of a pixel on an edge, of those that were decoded.
    """
    left, upper, width, height = (length / factor for length in region)
    # Whole pixels that hold the region.
    corner = math.floor(left), math.floor(upper)
    opposite = math.ceil(left + width), math.ceil(upper + height)
    edges = (*corner, *opposite)
    try:
        held = image if edges == (0, 0, *image.size) else image.crop(edges)
    except Image.DecompressionBombError:
        raise InputError(
            "box", f"{width * factor:.0f}x{height * factor:.0f} px is too large; correct it"
        ) from None
    left -= corner[0]
    upper -= corner[1]
    right = min(left + width, held.width)
    lower = min(upper + height, held.height)
    window = (left, upper, right, lower)
    return held.resize(size, Image.Resampling.BILINEAR, box=window)


def _paste(image: Image.Image, fit: boxes.Fit, side: int) -> Image.Image:
    """Pastes the resized image on black."""
    canvas = Image.new("RGB", (side, side))
    resized = _resize(image, (0, 0, *image.size), (fit.width, fit.height))
    canvas.paste(resized, (fit.left, fit.upper))
    return canvas


def _cut(image: Image.Image, box: np.ndarray, side: int) -> Resampled:
    """Stretches the inside of a box in whole pixels over a square, with the coordinates of the
    published code.
    """
    left, upper, right, lower = (int(edge) for edge in box)
    map_ = boxes.crop_map(box, side, grid="index")
    region = (left, upper, right - left, lower - upper)
    square = _resize(image, region, (side, side))
    return square, map_


def _inside(window: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rounds a window to whole pixels and cuts it to the image."""
    left, upper, right, lower = np.rint(window).astype(int)
    left = max(left, 0)
    upper = max(upper, 0)
    right = min(right, width)
    lower = min(lower, height)
    box = np.array([left, upper, right, lower])
    if left >= right or upper >= lower:
        raise InputError(
            "keypoints",
            f"the window {box.tolist()} around them has no area inside an image of "
            f"{width} x {height}; check that they are in pixels of this image",
        )
    return box


def _check_box(box: np.ndarray | None) -> tuple[float, ...]:
    """Returns x, y, width and height of a box that has an extent along one axis at least."""
    if box is None:
        raise InputError(
            "box",
            "the transform crops around the annotated box, and the example has none; choose a set "
            "with boxes, and prepare it again if it was prepared without them",
        )
    x, y, width, height = (float(number) for number in box)
    if not max(width, height) > 0:
        raise InputError(
            "box", f"width {width:g} and height {height:g}; one of them must be positive"
        )
    return x, y, width, height
