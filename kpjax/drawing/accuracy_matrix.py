"""The accuracy of every keypoint after every step as a table of colours, steps down and keypoints across."""
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpjax.drawing.overlays import BACKGROUND, INK

LOW, HIGH = (58, 40, 72), (96, 190, 120)  # of the worst and the best value
FAINT = (52, 56, 62)  # of the frame of a keypoint that is not known yet
CELL = (46, 26)  # px, width and height
GAP = 10  # px between the keypoints of one step and those of the next


def accuracy_matrix(
    values: np.ndarray, introduced: np.ndarray, names: Sequence[str], steps: Sequence[str], *, factor: float = 100.0,
    decimals: int = 0, higher_is_better: bool = True, low: float | None = None, high: float | None = None,
) -> np.ndarray:
    """Draws a matrix as an image (h, w, 3) uint8: a row for each step, a column for each keypoint.

    Keypoints stand in the order of their introduction. The step that introduced a keypoint has a bright frame.

    Args:
        values: (steps, K), NaN where a keypoint is not known yet.
        introduced: (K,) the row that introduced each keypoint; keypoints of other numbers are left out.
        higher_is_better: whether high values have the colour of good ones.
        low, high: the values at the ends of the colours; the smallest and the largest if not given.

    Raises:
        ValueError: shapes that do not belong together.
    """
    values, introduced = np.asarray(values, np.float64), np.asarray(introduced)
    if values.shape != (len(steps), len(names)) or introduced.shape != (len(names),):
        raise ValueError(f"values {values.shape} and introduced {introduced.shape}, for {len(steps)} steps of "
                         f"{len(names)} keypoints")
    order = [k for k in np.argsort(introduced, kind="stable") if 0 <= introduced[k] < len(steps)]
    known = values[:, order][np.isfinite(values[:, order])]
    low = (float(known.min()) if known.size else 0.0) if low is None else low
    high = (float(known.max()) if known.size else 1.0) if high is None else high
    font = ImageFont.load_default(size=12)
    left = 16 + int(max((font.getlength(step) for step in steps), default=0))
    top = 16 + int(max((font.getlength(names[k]) for k in order), default=0))
    across, place = [], left
    for before, k in zip([None, *order], order, strict=False):
        place += GAP if before is not None and introduced[before] != introduced[k] else 0
        across.append(place)
        place += CELL[0]
    sheet = Image.new("RGB", (place + 8, top + CELL[1] * len(steps) + 8), BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    for x, k in zip(across, order, strict=True):
        _upright(sheet, names[k], x + CELL[0] // 2, top - 6, font)
    for row, step in enumerate(steps):
        y = top + CELL[1] * row
        canvas.text((8, y + CELL[1] // 2), step, fill=INK, font=font, anchor="lm")
        for x, k in zip(across, order, strict=True):
            box = [x + 1, y + 1, x + CELL[0] - 2, y + CELL[1] - 2]
            if not np.isfinite(values[row, k]):
                canvas.rectangle(box, outline=FAINT)
                continue
            share = float(np.clip((values[row, k] - low) / (high - low), 0, 1)) if high > low else 0.5
            share = share if higher_is_better else 1 - share
            colour = tuple(round(a + share * (b - a)) for a, b in zip(LOW, HIGH, strict=True))
            canvas.rectangle(box, fill=colour, outline=INK if introduced[k] == row else None)
            canvas.text((x + CELL[0] // 2, y + CELL[1] // 2), f"{factor * values[row, k]:.{decimals}f}", fill=INK,
                        font=font, anchor="mm")
    return np.asarray(sheet)


def _upright(sheet: Image.Image, text: str, middle: int, bottom: int, font) -> None:
    """Draws a word that reads upwards, above a column."""
    width, height = int(font.getlength(text)) + 2, 16
    word = Image.new("RGB", (width, height), BACKGROUND)
    ImageDraw.Draw(word).text((0, 0), text, fill=INK, font=font)
    sheet.paste(word.rotate(90, expand=True), (middle - height // 2, bottom - width))
