"""Short moving images that any browser, mail or slide shows: an endless GIF of the first seconds of
a video.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kpjax.files import atomic

FRAMES, RATE = 30, 10.0  # at most, and about so many a second
SIDE = 320  # px, of the longer side
COLOURS = 64


def moving_rows(times: Sequence[float] | None, count: int, rate: float) -> tuple[list[int], int]:
    """Chooses the frames of a video that a short moving image has, from its first on.

    times: seconds of each frame; None for a video of a fixed rate, in frames a second. Returns the
    numbers of frames, and the milliseconds for which each is shown.
    """
    if times is not None and count > 1 and times[-1] > times[0]:
        rate = (count - 1) / (times[-1] - times[0])
    step = max(1, round(rate / RATE))
    numbers = list(range(0, count, step))[:FRAMES]
    milliseconds = max(20, round(1000 * step / rate))
    return numbers, milliseconds


def write_moving(path: Path, images: Sequence[np.ndarray], *, milliseconds: int) -> Path:
    """Writes images (h, w, 3) uint8 of one size, at least one, as an endless GIF, whole or not at
    all.

    All share the colours of the first.
    """
    first = Image.fromarray(images[0]).quantize(COLOURS, dither=Image.Dither.NONE)
    rest = [
        Image.fromarray(image).quantize(palette=first, dither=Image.Dither.NONE)
        for image in images[1:]
    ]
    with atomic(path) as partial:
        first.save(partial, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
    return path


def kept_on_the_way(
    images: Iterable[np.ndarray], rows: Sequence[int], kept: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Passes images on, and keeps those of some rows, as small as they will be shown."""
    wanted = set(rows)
    for row, image in enumerate(images):
        if row in wanted:
            small = Image.fromarray(image)
            small.thumbnail((SIDE, SIDE))
            kept.append(np.asarray(small))
        yield image
