"""Keypoints drawn on images and frames, with Pillow, and contact sheets of many.

`draw_keypoints` draws on a transparent layer up to four times as fine and averages it down, so that
points land where they belong to a fraction of a pixel. Coordinates are (x, y) in pixels of the
given image, the centre of its top-left pixel at (0, 0), however much the image is enlarged for
showing.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpjax.drawing.fonts import text_and_font
from kpjax.files import atomic
from kpjax.structures import Skeleton

FINEST = 4  # how many times finer than the image the layer is
LAYER_PIXELS = 32e6  # at most, so that a photograph of 12 megapixels needs no gigabyte
FARTHEST = 1e5  # px from the corner of an image, of a point that is drawn
FAINTEST = 0.25  # opacity of a point with the lowest score: faded, but visible
RING = 0.8  # opacity of a circle within which the truth lies
BACKGROUND = (24, 26, 30)
INK = (236, 238, 240)
OUTLINE = (10, 12, 16)
WARNING = (255, 40, 40)  # warning of rings around keypoints that are one point

# Okabe and Ito's colours, distinct with any common colour vision, lightened to stand out on images.
FEW_COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 190, 140),
    (240, 228, 66),
    (224, 100, 20),
    (214, 130, 180),
    (60, 130, 220),
    (235, 235, 235),
)
# Of animals, where there are several: none is among those of few keypoints.
ANIMAL_COLOURS = (
    (255, 64, 160),
    (80, 255, 80),
    (70, 220, 255),
    (255, 140, 40),
    (175, 110, 255),
    (255, 250, 150),
    (255, 80, 80),
    (120, 160, 255),
)
# the radius of a point over its distance to the nearest one of the same animal, where that is small
DOT = 0.25
LEAST_DOT = 1.5  # px, the smallest radius that still shows a colour


def keypoint_colours(count: int) -> np.ndarray:
    """Returns one colour per keypoint, (count, 3) uint8: eight hand-picked ones, or a wheel of
    hues.
    """
    if count <= len(FEW_COLOURS):
        return np.asarray(FEW_COLOURS[:count], np.uint8).reshape(count, 3)
    angle = 2 * np.pi * np.arange(count) / count
    lightness = np.where(np.arange(count) % 2 == 0, 0.82, 0.66)
    return _oklab_to_rgb(lightness, 0.13 * np.cos(angle), 0.13 * np.sin(angle))


def animal_colours(count: int) -> list[tuple[int, int, int]]:
    """Returns one colour per animal, which repeat from the ninth on."""
    return [ANIMAL_COLOURS[number % len(ANIMAL_COLOURS)] for number in range(count)]


def dot_radius(keypoints: np.ndarray, shown: np.ndarray, side: float) -> float:
    """Returns a radius of points that hides neither an animal nor its neighbouring points, in
    pixels.

    A quarter of the median distance between a point and the nearest one of its animal, so that both
    many points and small animals get small ones. At least a twentieth of the animal's diagonal over
    the square root of the number of points, since those of an unsure network coincide; at most what
    is legible on the whole image, at least 1.5.

    Args:
        keypoints: (A, K, 2) of A animals in pixels.
        shown: (A, K) bool, the points that count.
        side: the shorter side of the image in pixels.
    """
    largest = max(2 * LEAST_DOT, side / 80)
    typical = []
    for points, those in zip(
        np.asarray(keypoints, np.float64), np.asarray(shown, bool), strict=True
    ):
        points = points[those & (np.abs(points) < FARTHEST).all(-1)]
        if len(points) > 1:
            apart = np.linalg.norm(points[:, None] - points, axis=-1)
            nearest = np.median((apart + np.where(np.eye(len(points)), np.inf, 0)).min(-1))
            typical.append(
                max(
                    DOT * nearest,
                    np.linalg.norm(np.ptp(points, axis=0)) / (20 * len(points) ** 0.5),
                )
            )
    return float(np.clip(np.median(typical), LEAST_DOT, largest)) if typical else largest


def _oklab_to_rgb(
    lightness: np.ndarray, green_red: np.ndarray, blue_yellow: np.ndarray
) -> np.ndarray:
    """Converts Oklab (Ottosson 2020) to 8-bit sRGB: equal steps of the arguments look like equal
    steps of colour.
    """
    cones = (
        np.stack(
            [
                lightness + 0.3963377774 * green_red + 0.2158037573 * blue_yellow,
                lightness - 0.1055613458 * green_red - 0.0638541728 * blue_yellow,
                lightness - 0.0894841775 * green_red - 1.2914855480 * blue_yellow,
            ],
            -1,
        )
        ** 3
    )
    linear = np.clip(
        cones
        @ np.asarray(
            [
                [4.0767416621, -1.2684380046, -0.0041960863],
                [-3.3077115913, 2.6097574011, -0.7034186147],
                [0.2309699292, -0.3413193965, 1.7076147010],
            ]
        ),
        0,
        1,
    )
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * gamma).astype(np.uint8)


def opacity_of_scores(scores: np.ndarray, usual: float | None = None) -> np.ndarray:
    """Returns the opacity of points: 1 from half the usual score upwards, falling to 0.25 at a
    score of zero.

    scores: any shape, any positive scale. usual: the median of all scores that are shown together,
    so that an uncertain image does not set its own standard; the median of `scores` if not given.
    If it is not positive, the scores carry no scale, and all points are opaque.
    """
    scores = np.asarray(scores, np.float64)
    known = scores[np.isfinite(scores)]
    if usual is None:
        usual = float(np.median(known)) if known.size else 0.0
    if usual <= 0:
        return np.where(np.isfinite(scores), 1.0, FAINTEST)
    return np.clip(np.nan_to_num(scores, nan=0.0) / (0.5 * usual), FAINTEST, 1.0)


def enlargement(height: int, width: int, minimum_side: int) -> int:
    """Returns the smallest whole factor by which an image's shorter side has at least
    `minimum_side` pixels, as far as the longer one keeps below 8,192."""
    return max(
        1, min(math.ceil(minimum_side / max(1, min(height, width))), 8192 // max(1, height, width))
    )


def enlarge_small_image(image: np.ndarray, minimum_side: int = 192) -> np.ndarray:
    """Enlarges a small image (H, W, 3) uint8 by a whole factor; returns a copy of a large one."""
    height, width = image.shape[:2]
    factor = enlargement(height, width, minimum_side)
    if factor == 1:
        return np.array(image)
    return np.asarray(
        Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    )


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    opacity: np.ndarray | None,
    skeleton: Skeleton,
    *,
    true: np.ndarray | None = None,
    true_visible: np.ndarray | None = None,
    minimum_side: int = 192,
    radius: float | None = None,
    edges: tuple[int, int, int] | None = None,
    rings: np.ndarray | None = None,
    warned: np.ndarray | None = None,
) -> np.ndarray:
    """Draws points and skeleton on an image; returns (h, w, 3) uint8, h and w whole multiples of
    the image's.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (K, 2) in pixels of the image; points that are not finite are left out.
        opacity: (K,) in [0, 1], such as `visible` or `opacity_of_scores(scores)`; 0 leaves a point
            out, None draws all.
        true: (K, 2) true positions, drawn as hollow rings joined to their predictions by a thin
            line.
        true_visible: (K,); true positions where it is zero are left out.
        minimum_side: smaller images are enlarged to it.
        radius: of a point in pixels of the image that is returned; None chooses it (`dot_radius`).
        edges: the colour of all edges; None gives each half that of its end.
        rings: (K,) radii in pixels of the image, drawn as thin circles around the points; nan draws
            none.
        warned: (K,) bool, the points with a red ring, such as two that are one point.
    """
    factor = enlargement(*image.shape[:2], minimum_side)
    pil_image = Image.fromarray(enlarge_small_image(image, minimum_side)).convert("RGBA")
    finer = min(FINEST, max(1, int(math.sqrt(LAYER_PIXELS / (pil_image.width * pil_image.height)))))
    scale = factor * finer
    # In pixels of the layer: a pixel's centre is half a pixel from its edge.
    points, near = _in_layer(keypoints, scale)
    opacity = (
        np.ones(len(points)) if opacity is None else np.clip(np.asarray(opacity, np.float64), 0, 1)
    )
    shown = near & (opacity > 0)
    if radius is None:
        radius = dot_radius(points[None] / finer, shown[None], min(pil_image.size))
    unit = finer * radius / 2.6  # the width of a thin line
    colours = keypoint_colours(len(points))

    layer = Image.new("RGBA", (pil_image.width * finer, pil_image.height * finer), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(layer)
    for width, darken in ((3.2 * unit, True), (1.8 * unit, False)):
        for first, second in skeleton.edges:
            if shown[first] and shown[second]:
                faint = 0.85 * min(opacity[first], opacity[second])
                middle = (points[first] + points[second]) / 2
                for end in (first, second):
                    colour = OUTLINE if darken else edges or tuple(colours[end])
                    _line(
                        canvas, points[end], middle, colour, faint * (0.6 if darken else 1), width
                    )
    if true is not None:
        places, known = _in_layer(true, scale)
        if true_visible is not None:
            known &= np.asarray(true_visible) > 0
        for k in np.flatnonzero(known):
            if shown[k]:
                _line(canvas, points[k], places[k], INK, 0.9, 0.8 * unit)
            _ring(canvas, places[k], 4.6 * unit, OUTLINE, 0.7, 2.6 * unit)
            _ring(canvas, places[k], 4.2 * unit, tuple(colours[k]), 1, 1.5 * unit)
    for k in np.flatnonzero(shown & _drawable(rings, shown)):
        _ring(canvas, points[k], scale * float(rings[k]), tuple(colours[k]), RING, 0.8 * unit)
    for k in np.flatnonzero(shown):
        _disc(canvas, points[k], 3.4 * unit, OUTLINE, 0.8 * opacity[k])
        _disc(canvas, points[k], 2.6 * unit, tuple(colours[k]), opacity[k])
    for k in np.flatnonzero(shown & warned) if warned is not None else ():
        _ring(canvas, points[k], 7.5 * unit, WARNING, 1, max(2.0 * unit, 1.5 * finer))
    pil_image.alpha_composite(layer.resize(pil_image.size, Image.Resampling.BOX))
    return np.asarray(pil_image.convert("RGB"))


def draw_animals(
    image: np.ndarray,
    keypoints: np.ndarray,
    opacity: np.ndarray,
    skeleton: Skeleton,
    *,
    radius: float | None = None,
    rings: np.ndarray | None = None,
    warned: np.ndarray | None = None,
) -> np.ndarray:
    """Draws I animals finely on an image, enlarged if it is small; edges of several have the
    colours of the animals.

    keypoints, opacity: (I, K, 2) and (I, K). radius, rings, warned: (I, K), as of
    `draw_keypoints`, in pixels of the image.
    """
    factor = enlargement(*image.shape[:2], 192)
    image, points = (
        enlarge_small_image(image),
        (np.asarray(keypoints, np.float64) + 0.5) * factor - 0.5,
    )
    radius = radius * factor if radius else dot_radius(points, opacity > 0, min(image.shape[:2]))
    colours = animal_colours(len(points)) if len(points) > 1 else [None]
    for animal in np.flatnonzero((opacity > 0).any(1)):
        image = draw_keypoints(
            image,
            points[animal],
            opacity[animal],
            skeleton,
            minimum_side=1,
            radius=radius,
            edges=colours[animal],
            rings=None if rings is None else rings[animal] * factor,
            warned=None if warned is None else warned[animal],
        )
    return image


def _in_layer(points: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns points (K, 2) in pixels of the layer, and which are drawn.

    Those far outside leave no trace, and Pillow refuses huge numbers.
    """
    points = np.asarray(points, np.float64)
    near = (np.abs(points) < FARTHEST).all(-1)
    return (np.where(near[:, None], points, 0) + 0.5) * scale - 0.5, near


def _drawable(rings: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """Returns which radii can be drawn, with the shape of `like`: none if there are none."""
    return (
        np.zeros(like.shape, bool) if rings is None else np.nan_to_num(rings, nan=np.inf) < FARTHEST
    )


def _rgba(colour, opacity: float) -> tuple[int, int, int, int]:
    return (*(int(c) for c in colour), round(255 * float(opacity)))


def _line(canvas, start, end, colour, opacity, width) -> None:
    canvas.line(
        [*map(round, map(float, (*start, *end)))],
        fill=_rgba(colour, opacity),
        width=max(1, round(width)),
    )


def _disc(canvas, centre, radius, colour, opacity) -> None:
    canvas.ellipse(_around(centre, radius), fill=_rgba(colour, opacity))


def _ring(canvas, centre, radius, colour, opacity, width) -> None:
    canvas.ellipse(
        _around(centre, radius), outline=_rgba(colour, opacity), width=max(1, round(width))
    )


def _around(centre, radius: float) -> list[int]:
    """Returns the box of a circle in whole pixels: Pillow cuts off fractions, which moves circles
    up and left.
    """
    return [round(float(centre[axis]) + side) for side in (-radius, radius) for axis in (0, 1)]


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int | None = None,
    *,
    captions: Sequence[str] = (),
    gap: int = 6,
) -> np.ndarray:
    """Lays out images (h, w, 3) uint8, at least one, in rows, each centred in a cell of the largest
    one's width.

    columns: about as many as rows if not given. captions: below each image, in whole. gap: pixels
    between cells.
    """
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = [
        range(first, min(first + columns, len(images))) for first in range(0, len(images), columns)
    ]
    width = max(image.shape[1] for image in images)
    size = max(11, min(16, width // 15))
    lines = [
        [
            part
            for line in caption.splitlines()
            for part in wrapped_text(*text_and_font(line, size), width)
        ]
        for caption in captions
    ] or [[]] * len(images)
    heights = [
        (max(images[n].shape[0] for n in row), max(len(lines[n]) for n in row) * (size + 4))
        for row in rows
    ]
    whole = columns * (width + gap) + gap, sum(map(sum, heights)) + gap * (len(rows) + 1)
    sheet = Image.new("RGB", whole, BACKGROUND)
    canvas, top = ImageDraw.Draw(sheet), gap
    for row, (height, below) in zip(rows, heights, strict=True):
        for place, n in enumerate(row):
            left = gap + place * (width + gap)
            sheet.paste(
                Image.fromarray(images[n]),
                (
                    left + (width - images[n].shape[1]) // 2,
                    top + (height - images[n].shape[0]) // 2,
                ),
            )
            for line, text in enumerate(lines[n]):
                canvas.text(
                    (left + 1, top + height + 2 + line * (size + 4)),
                    text,
                    fill=INK,
                    font=text_and_font(text, size)[1],
                )
        top += height + below + gap
    return np.asarray(sheet)


def wrapped_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Breaks a line into some at most `width` pixels wide, after spaces, slashes and underscores
    where it can.
    """
    lines = []
    while text:
        end = len(text)
        while end > 1 and font.getlength(text[:end]) > width:
            end -= 1
        if end < len(text):
            at = max(text.rfind(mark, 0, end) for mark in " /_-")
            end = at + 1 if at > 0 else end
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return lines


def _fit_text(text: str, font, width: int) -> str:
    """Returns the text if it is at most `width` pixels wide, else as much of it as fits, and an
    ellipsis.
    """
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def prediction_sheet(
    images: Sequence[np.ndarray],
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton,
    *,
    true: np.ndarray | None = None,
    visible: np.ndarray | None = None,
    captions: Sequence[str] = (),
    columns: int | None = None,
    minimum_side: int = 192,
    legend: bool = False,
) -> np.ndarray:
    """Draws a contact sheet of predictions.

    Args:
        keypoints: (N, K, 2) in pixels of the images.
        scores: (N, K); points with low scores are faded.
        true: (N, K, 2) true positions, drawn as rings.
        visible: (N, K), zero where a true position is unknown.
        minimum_side: smaller images are enlarged to it.
        legend: names the keypoints below.
    """
    opacity = None if scores is None else opacity_of_scores(scores)
    drawn = [
        draw_keypoints(
            image,
            keypoints[n],
            None if opacity is None else opacity[n],
            skeleton,
            minimum_side=minimum_side,
            true=None if true is None else true[n],
            true_visible=None if visible is None else visible[n],
        )
        for n, image in enumerate(images)
    ]
    sheet = contact_sheet(drawn, columns, captions=captions)
    return np.concatenate([sheet, legend_strip(sheet.shape[1], skeleton)]) if legend else sheet


def legend_strip(
    width: int,
    skeleton: Skeleton,
    *,
    animals: Sequence[str] = (),
    note: str = "",
    most: int | None = None,
) -> np.ndarray:
    """Draws the colours and names of keypoints, of animals if there are several, and a note: (h,
    width, 3) uint8.

    most: the greatest height in pixels; where the names need more, their number stands in their
    place.
    """
    size = max(11, min(16, width // 50))
    line, gap = size + 6, 8
    dots = [
        ("dot", tuple(map(int, colour)), name)
        for colour, name in zip(keypoint_colours(len(skeleton.names)), skeleton.names, strict=True)
    ]
    marks = (
        [
            ("line", colour, name)
            for colour, name in zip(animal_colours(len(animals)), animals, strict=True)
        ]
        if len(animals) > 1
        else []
    )
    notes = [("", INK, note)] if note else []
    count = [("", INK, f"{len(dots)} keypoints")]
    for entries in ([*dots, *marks, *notes], [*count, *marks, *notes], [*count, *notes]):
        placed, x, y = [], gap, 4
        for kind, colour, name in entries:
            text, font = text_and_font(name, size)
            sign = line if kind else 0
            text = _fit_text(text, font, width - sign - 2 * gap)
            reach = sign + font.getlength(text) + 2 * gap
            if x + reach > width and x > gap:
                x, y = gap, y + line
            placed.append((kind, colour, text, font, x, y, sign))
            x += reach
        height = y + line + 4
        if most is None or height <= most:
            break
    strip = Image.new("RGB", (width, height), BACKGROUND)
    canvas = ImageDraw.Draw(strip)
    for kind, colour, text, font, x, y, sign in placed:
        middle, reach = y + line / 2 - 1, size * 0.32
        if kind == "dot":
            canvas.ellipse((x, middle - reach, x + 2 * reach, middle + reach), fill=colour)
        elif kind == "line":
            canvas.line((x, middle, x + sign - gap / 2, middle), fill=colour, width=3)
        left = x + (2 * reach + gap / 2 if kind == "dot" else sign)
        canvas.text((left, y), text, fill=INK, font=font)
    return np.asarray(strip)


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes an image (h, w, 3) uint8 whole or not at all, and its folder."""
    with atomic(path) as partial:
        # The highest level takes two to four times as long for files that are an eighth smaller.
        Image.fromarray(image).save(partial, "PNG", compress_level=3)


# Fast drawing on the frames of a video, at their own size

FINER = 8  # how many times finer than a frame its points are rendered


def draw_on_frame(
    image: np.ndarray,
    keypoints: np.ndarray,
    opacity: np.ndarray,
    skeleton: Skeleton,
    *,
    caption: str = "",
    radius: float | None = None,
    animals: Sequence[str] = (),
    boxes: np.ndarray | None = None,
    rings: np.ndarray | None = None,
    warned: np.ndarray | None = None,
) -> np.ndarray:
    """Draws points and skeletons of I animals on a frame, in about a millisecond; returns (H, W, 3)
    uint8.

    Points land on whole pixels; `draw_keypoints` is finer and much slower.

    Args:
        keypoints: (I, K, 2) in pixels of the frame; points that are not finite are left out.
        opacity: (I, K) in [0, 1]; 0 leaves a point out.
        radius: of a point in pixels; None chooses it (`dot_radius`).
        animals: (I,) names; several are told apart by the colours of their edges, boxes and names.
        boxes: (I, 4) x, y, width, height of the animals, nan where one is not there, drawn where
            there are several.
        rings: (I, K) radii in pixels, drawn as thin circles around the points; nan draws none.
        warned: (I, K) bool, the points with a red ring, such as two that are one point.
    """
    pil_image = Image.fromarray(image)
    canvas = ImageDraw.Draw(pil_image)
    keypoints, opacity = np.asarray(keypoints, np.float64), np.asarray(opacity, np.float64)
    shown = (np.abs(keypoints) < FARTHEST).all(-1) & (opacity > 0)
    drawable = _drawable(rings, shown)
    if radius is None:
        radius = dot_radius(keypoints, shown, min(pil_image.size))
    colours = [tuple(map(int, colour)) for colour in keypoint_colours(keypoints.shape[1])]
    several = animal_colours(len(animals)) if len(animals) > 1 else None
    for animal, (points, firmness) in enumerate(zip(keypoints, opacity, strict=True)):
        for first, second in skeleton.edges:
            if shown[animal, first] and shown[animal, second]:
                ends = [tuple(map(float, points[end])) for end in (first, second)]
                if radius >= 3:  # a thin line would drown in its outline
                    canvas.line(ends, fill=OUTLINE, width=round(radius))
                canvas.line(
                    ends,
                    fill=several[animal] if several else colours[first],
                    width=max(1, int(radius / 2)),
                )
        for k in np.flatnonzero(shown[animal] & drawable[animal]):
            canvas.ellipse(_around(points[k], float(rings[animal][k])), outline=colours[k])
        for k in np.flatnonzero(shown[animal]):
            dot = _dot(colours[k], round(4 * radius) / 4, round(float(min(firmness[k], 1.0)) * 16))
            corner = [round(float(value)) - dot.width // 2 for value in points[k]]
            pil_image.paste(dot, tuple(corner), dot)
        for k in np.flatnonzero(shown[animal] & warned[animal]) if warned is not None else ():
            reach = _around(points[k], 2.5 * radius)
            canvas.ellipse(reach, outline=WARNING, width=max(1, round(radius / 2)))
    size = max(11, min(pil_image.size) // 28)
    for animal, name in enumerate(animals if several else ()):
        box = np.full(4, np.nan) if boxes is None else boxes[animal]
        if not np.isfinite(box).all() and shown[animal].any():
            low = keypoints[animal, shown[animal]].min(0) - 2 * radius
            box = np.array([*low, *(keypoints[animal, shown[animal]].max(0) + 2 * radius - low)])
        if (np.abs(box) < FARTHEST).all():
            x, y, width, height = box.tolist()
            canvas.rectangle(
                (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5), outline=several[animal]
            )
            small = max(10, size // 2)
            text, font = text_and_font(name, small)
            canvas.text(
                (max(x, 1), y - 1.4 * small if y > 1.4 * small else y + height),
                text,
                fill=several[animal],
                font=font,
                stroke_width=1,
                stroke_fill=OUTLINE,
            )
    if caption:
        text, font = text_and_font(caption, size)
        canvas.text(
            (size // 2, pil_image.height - 1.5 * size),
            text,
            fill=INK,
            font=font,
            stroke_width=max(1, size // 10),
            stroke_fill=OUTLINE,
        )
    return np.asarray(pil_image)


@functools.cache
def _dot(colour: tuple[int, int, int], radius: float, firmness: int) -> Image.Image:
    """Renders a disc with a dark rim on a transparent square; firmness in sixteenths."""
    side = 2 * (math.ceil(radius) + 2) + 1
    middle = side * FINER / 2
    dot = Image.new("RGBA", (side * FINER, side * FINER), (*OUTLINE, 0))
    canvas = ImageDraw.Draw(dot)
    for reach, fill in ((radius + 1, OUTLINE), (radius, colour)):
        edge = reach * FINER
        canvas.ellipse(
            (middle - edge, middle - edge, middle + edge, middle + edge),
            fill=(*fill, 255 * firmness // 16),
        )
    return dot.resize((side, side), Image.Resampling.BOX)
