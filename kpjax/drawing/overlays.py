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
    keypoints = np.asarray(keypoints, np.float64)
    shown = np.asarray(shown, bool)
    for points, those in zip(keypoints, shown, strict=True):
        near = (np.abs(points) < FARTHEST).all(-1)
        points = points[those & near]
        if len(points) > 1:
            itself = np.where(np.eye(len(points)), np.inf, 0)
            differences = points[:, None] - points
            apart = np.linalg.norm(differences, axis=-1) + itself
            nearest = np.median(apart.min(-1))
            diagonal = np.linalg.norm(np.ptp(points, axis=0))
            least = diagonal / (20 * len(points) ** 0.5)
            typical.append(max(DOT * nearest, least))
    if not typical:
        return largest
    return float(np.clip(np.median(typical), LEAST_DOT, largest))


def _oklab_to_rgb(
    lightness: np.ndarray, green_red: np.ndarray, blue_yellow: np.ndarray
) -> np.ndarray:
    """Converts Oklab (Ottosson 2020) to 8-bit sRGB: equal steps of the arguments look like equal
    steps of colour.
    """
    long = lightness + 0.3963377774 * green_red + 0.2158037573 * blue_yellow
    medium = lightness - 0.1055613458 * green_red - 0.0638541728 * blue_yellow
    short = lightness - 0.0894841775 * green_red - 1.2914855480 * blue_yellow
    cones = np.stack([long, medium, short], -1) ** 3
    cones_to_rgb = np.asarray(
        [
            [4.0767416621, -1.2684380046, -0.0041960863],
            [-3.3077115913, 2.6097574011, -0.7034186147],
            [0.2309699292, -0.3413193965, 1.7076147010],
        ]
    )
    linear = np.clip(cones @ cones_to_rgb, 0, 1)
    power = 1.055 * linear ** (1 / 2.4) - 0.055
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, power)
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
    shares = np.nan_to_num(scores, nan=0.0) / (0.5 * usual)
    return np.clip(shares, FAINTEST, 1.0)


def enlargement(height: int, width: int, minimum_side: int) -> int:
    """Returns the smallest whole factor by which an image's shorter side has at least
    `minimum_side` pixels, as far as the longer one keeps below 8,192."""
    wanted = math.ceil(minimum_side / max(1, min(height, width)))
    most = 8192 // max(1, height, width)
    return max(1, min(wanted, most))


def enlarge_small_image(image: np.ndarray, minimum_side: int = 192) -> np.ndarray:
    """Enlarges a small image (H, W, 3) uint8 by a whole factor; returns a copy of a large one."""
    height, width = image.shape[:2]
    factor = enlargement(height, width, minimum_side)
    if factor == 1:
        return np.array(image)
    size = (width * factor, height * factor)
    enlarged = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


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
    affordable = int(math.sqrt(LAYER_PIXELS / (pil_image.width * pil_image.height)))
    finer = min(FINEST, max(1, affordable))
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

    layer_size = (pil_image.width * finer, pil_image.height * finer)
    layer = Image.new("RGBA", layer_size, (0, 0, 0, 0))
    canvas = ImageDraw.Draw(layer)
    for width, darken in ((3.2 * unit, True), (1.8 * unit, False)):
        for first, second in skeleton.edges:
            if shown[first] and shown[second]:
                faint = 0.85 * min(opacity[first], opacity[second])
                if darken:
                    faint *= 0.6
                middle = (points[first] + points[second]) / 2
                for end in (first, second):
                    colour = OUTLINE if darken else edges or tuple(colours[end])
                    _line(canvas, points[end], middle, colour, faint, width)
    if true is not None:
        places, known = _in_layer(true, scale)
        if true_visible is not None:
            known &= np.asarray(true_visible) > 0
        for k in np.flatnonzero(known):
            colour = tuple(colours[k])
            if shown[k]:
                _line(canvas, points[k], places[k], INK, 0.9, 0.8 * unit)
            _ring(canvas, places[k], 4.6 * unit, OUTLINE, 0.7, 2.6 * unit)
            _ring(canvas, places[k], 4.2 * unit, colour, 1, 1.5 * unit)
    for k in np.flatnonzero(shown & _drawable(rings, shown)):
        reach = scale * float(rings[k])
        _ring(canvas, points[k], reach, tuple(colours[k]), RING, 0.8 * unit)
    for k in np.flatnonzero(shown):
        _disc(canvas, points[k], 3.4 * unit, OUTLINE, 0.8 * opacity[k])
        _disc(canvas, points[k], 2.6 * unit, tuple(colours[k]), opacity[k])
    if warned is not None:
        width = max(2.0 * unit, 1.5 * finer)
        for k in np.flatnonzero(shown & warned):
            _ring(canvas, points[k], 7.5 * unit, WARNING, 1, width)
    averaged = layer.resize(pil_image.size, Image.Resampling.BOX)
    pil_image.alpha_composite(averaged)
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
    image = enlarge_small_image(image)
    points = (np.asarray(keypoints, np.float64) + 0.5) * factor - 0.5
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
    drawn = np.where(near[:, None], points, 0)
    return (drawn + 0.5) * scale - 0.5, near


def _drawable(rings: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """Returns which radii can be drawn, with the shape of `like`: none if there are none."""
    if rings is None:
        return np.zeros(like.shape, bool)
    return np.nan_to_num(rings, nan=np.inf) < FARTHEST


def _rgba(colour, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(channel) for channel in colour)
    alpha = round(255 * float(opacity))
    return red, green, blue, alpha


def _line(canvas, start, end, colour, opacity, width) -> None:
    ends = [round(float(coordinate)) for coordinate in (*start, *end)]
    canvas.line(ends, fill=_rgba(colour, opacity), width=max(1, round(width)))


def _disc(canvas, centre, radius, colour, opacity) -> None:
    canvas.ellipse(_around(centre, radius), fill=_rgba(colour, opacity))


def _ring(canvas, centre, radius, colour, opacity, width) -> None:
    circle = _around(centre, radius)
    canvas.ellipse(circle, outline=_rgba(colour, opacity), width=max(1, round(width)))


def _around(centre, radius: float) -> list[int]:
    """Returns the box of a circle in whole pixels: Pillow cuts off fractions, which moves circles
    up and left.
    """
    x = float(centre[0])
    y = float(centre[1])
    return [round(x - radius), round(y - radius), round(x + radius), round(y + radius)]


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
    if not columns:
        columns = math.ceil(math.sqrt(len(images)))
    columns = min(columns, len(images))
    rows = [
        range(first, min(first + columns, len(images))) for first in range(0, len(images), columns)
    ]
    width = max(image.shape[1] for image in images)
    size = max(11, min(16, width // 15))
    lines = []  # of each caption
    for caption in captions:
        wrapped = []
        for line in caption.splitlines():
            text, font = text_and_font(line, size)
            wrapped += wrapped_text(text, font, width)
        lines.append(wrapped)
    if not lines:
        lines = [[]] * len(images)
    line_height = size + 4
    heights = []  # of the images of a row, and of the captions below
    for row in rows:
        tallest = max(images[n].shape[0] for n in row)
        most_lines = max(len(lines[n]) for n in row)
        heights.append((tallest, most_lines * line_height))
    whole_width = columns * (width + gap) + gap
    whole_height = sum(map(sum, heights)) + gap * (len(rows) + 1)
    sheet = Image.new("RGB", (whole_width, whole_height), BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    top = gap
    for row, (height, below) in zip(rows, heights, strict=True):
        for place, n in enumerate(row):
            left = gap + place * (width + gap)
            image_height, image_width = images[n].shape[:2]
            beside = (width - image_width) // 2
            above = (height - image_height) // 2
            corner = (left + beside, top + above)
            sheet.paste(Image.fromarray(images[n]), corner)
            for number, line in enumerate(lines[n]):
                _, font = text_and_font(line, size)
                corner = (left + 1, top + height + 2 + number * line_height)
                canvas.text(corner, line, fill=INK, font=font)
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
    if legend:
        strip = legend_strip(sheet.shape[1], skeleton)
        sheet = np.concatenate([sheet, strip])
    return sheet


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
    line = size + 6
    gap = 8
    names = skeleton.names
    dots = [
        ("dot", tuple(map(int, colour)), name)
        for colour, name in zip(keypoint_colours(len(names)), names, strict=True)
    ]
    marks = []
    if len(animals) > 1:
        marks = [
            ("line", colour, name)
            for colour, name in zip(animal_colours(len(animals)), animals, strict=True)
        ]
    notes = [("", INK, note)] if note else []
    count = [("", INK, f"{len(dots)} keypoints")]
    everything = [*dots, *marks, *notes]
    without_names = [*count, *marks, *notes]
    for entries in (everything, without_names, [*count, *notes]):
        placed = []
        x = gap
        y = 4
        for kind, colour, name in entries:
            text, font = text_and_font(name, size)
            sign = line if kind else 0
            text = _fit_text(text, font, width - sign - 2 * gap)
            reach = sign + font.getlength(text) + 2 * gap
            if x + reach > width and x > gap:
                x = gap
                y += line
            placed.append((kind, colour, text, font, x, y, sign))
            x += reach
        height = y + line + 4
        if most is None or height <= most:
            break
    strip = Image.new("RGB", (width, height), BACKGROUND)
    canvas = ImageDraw.Draw(strip)
    for kind, colour, text, font, x, y, sign in placed:
        middle = y + line / 2 - 1
        reach = size * 0.32
        if kind == "dot":
            right = x + 2 * reach
            canvas.ellipse((x, middle - reach, right, middle + reach), fill=colour)
            left = x + (2 * reach + gap / 2)
        else:
            left = x + sign
        if kind == "line":
            right = x + sign - gap / 2
            canvas.line((x, middle, right, middle), fill=colour, width=3)
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
    keypoints = np.asarray(keypoints, np.float64)
    opacity = np.asarray(opacity, np.float64)
    near = (np.abs(keypoints) < FARTHEST).all(-1)
    shown = near & (opacity > 0)
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
                colour = several[animal] if several else colours[first]
                canvas.line(ends, fill=colour, width=max(1, int(radius / 2)))
        for k in np.flatnonzero(shown[animal] & drawable[animal]):
            circle = _around(points[k], float(rings[animal][k]))
            canvas.ellipse(circle, outline=colours[k])
        for k in np.flatnonzero(shown[animal]):
            sixteenths = round(float(min(firmness[k], 1.0)) * 16)
            dot = _dot(colours[k], round(4 * radius) / 4, sixteenths)
            half = dot.width // 2
            corner = [round(float(value)) - half for value in points[k]]
            pil_image.paste(dot, tuple(corner), dot)
        if warned is not None:
            for k in np.flatnonzero(shown[animal] & warned[animal]):
                reach = _around(points[k], 2.5 * radius)
                canvas.ellipse(reach, outline=WARNING, width=max(1, round(radius / 2)))
    size = max(11, min(pil_image.size) // 28)
    for animal, name in enumerate(animals if several else ()):
        box = np.full(4, np.nan) if boxes is None else boxes[animal]
        if not np.isfinite(box).all() and shown[animal].any():
            points = keypoints[animal, shown[animal]]
            low = points.min(0) - 2 * radius
            high = points.max(0) + 2 * radius
            box = np.array([*low, *(high - low)])
        if (np.abs(box) < FARTHEST).all():
            colour = several[animal]
            x, y, width, height = box.tolist()
            edges = (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5)
            canvas.rectangle(edges, outline=colour)
            small = max(10, size // 2)
            text, font = text_and_font(name, small)
            above = y - 1.4 * small
            corner = (max(x, 1), above if y > 1.4 * small else y + height)
            canvas.text(corner, text, fill=colour, font=font, stroke_width=1, stroke_fill=OUTLINE)
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
    finer_side = side * FINER
    middle = finer_side / 2
    dot = Image.new("RGBA", (finer_side, finer_side), (*OUTLINE, 0))
    canvas = ImageDraw.Draw(dot)
    opacity = 255 * firmness // 16
    for reach, fill in ((radius + 1, OUTLINE), (radius, colour)):
        low = middle - reach * FINER
        high = middle + reach * FINER
        canvas.ellipse((low, low, high, high), fill=(*fill, opacity))
    return dot.resize((side, side), Image.Resampling.BOX)
