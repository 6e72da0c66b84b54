"""Points drawn on the frames of a video: fast, at the frame's own size, with its number in a corner."""
import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpjax.structures import Skeleton
from kpjax.viewing.overlays import INK, OUTLINE, keypoint_colours

FINER = 8  # how many times finer than a frame its points are made


def draw_on_frame(
    image: np.ndarray, keypoints: np.ndarray, opacity: np.ndarray, skeleton: Skeleton, *, caption: str = "",
) -> np.ndarray:
    """Points and skeletons of I animals on a frame, (H, W, 3) uint8 as it came, in about a millisecond.

    image: (H, W, 3) uint8. keypoints: (I, K, 2) in its pixels; points that are not finite are left out.
    opacity: (I, K) in [0, 1]; 0 leaves a point out. caption: a line in the lower left corner.
    Points land on whole pixels; `kpjax.viewing.overlays.draw_keypoints` is finer and much slower.
    """
    picture = Image.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    radius = max(3, round(min(picture.size) / 80))
    colours = keypoint_colours(keypoints.shape[1])
    for points, firmness in zip(np.asarray(keypoints, np.float64), np.asarray(opacity, np.float64), strict=True):
        # A point far outside is drawn nowhere, and Pillow does not take numbers without end.
        shown = np.isfinite(points).all(-1) & (np.abs(np.nan_to_num(points)) < 1e5).all(-1) & (firmness > 0)
        for first, second in skeleton.edges:
            if shown[first] and shown[second]:
                ends = [tuple(map(float, points[end])) for end in (first, second)]
                canvas.line(ends, fill=OUTLINE, width=max(2, radius))
                canvas.line(ends, fill=tuple(map(int, colours[first])), width=max(1, radius // 2))
        for k in np.flatnonzero(shown):
            dot = _dot(tuple(map(int, colours[k])), radius, round(float(min(firmness[k], 1.0)) * 16))
            corner = [round(float(value)) - dot.width // 2 for value in points[k]]
            picture.paste(dot, tuple(corner), dot)
    if caption:
        size = max(11, min(picture.size) // 28)
        canvas.text((size // 2, picture.height - 1.5 * size), caption, fill=INK, font=_font(size),
                    stroke_width=max(1, size // 10), stroke_fill=OUTLINE)
    return np.asarray(picture)


@functools.cache
def _dot(colour: tuple[int, int, int], radius: int, firmness: int) -> Image.Image:
    """A disc with a dark rim, see-through beside it; firmness in sixteenths."""
    side = 2 * (radius + 2) + 1
    middle = side * FINER / 2
    dot = Image.new("RGBA", (side * FINER, side * FINER), (*OUTLINE, 0))
    canvas = ImageDraw.Draw(dot)
    for reach, fill in ((radius + 1, OUTLINE), (radius, colour)):
        edge = reach * FINER
        canvas.ellipse((middle - edge, middle - edge, middle + edge, middle + edge), fill=(*fill, 255 * firmness // 16))
    return dot.resize((side, side), Image.Resampling.BOX)


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size=size)
