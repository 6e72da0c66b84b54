"""Short moving images that any browser, mail or slide shows: an endless GIF of the first seconds of a video."""
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

    times: seconds of each frame; None for a video of a fixed rate, in frames a second. Returns the numbers of frames,
    and the milliseconds for which each is shown.
    """
    if times is not None and count > 1 and times[-1] > times[0]:
        rate = (count - 1) / (times[-1] - times[0])
    step = max(1, round(rate / RATE))
    return list(range(0, count, step))[:FRAMES], max(20, round(1000 * step / rate))


def write_moving(path: Path, images: Iterable[np.ndarray], *, milliseconds: int) -> Path:
    """Writes images (h, w, 3) uint8 of one size as an endless GIF, whole or not at all; larger ones are shrunk.

    All share the colours of the first. Raises ValueError for no image.
    """
    frames: list[Image.Image] = []
    for image in images:
        small = Image.fromarray(image)
        small.thumbnail((SIDE, SIDE))
        frames.append(small.quantize(COLOURS, dither=Image.Dither.NONE) if not frames else
                      small.quantize(palette=frames[0], dither=Image.Dither.NONE))
    if not frames:
        raise ValueError("a moving image needs at least one frame")
    with atomic(path) as partial:
        frames[0].save(partial, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return path


def kept_on_the_way(images: Iterable[np.ndarray], rows: Sequence[int], kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Passes images on, and keeps those of some rows, as small as they will be shown."""
    wanted = set(rows)
    for row, image in enumerate(images):
        if row in wanted:
            small = Image.fromarray(image)
            small.thumbnail((SIDE, SIDE))
            kept.append(np.asarray(small))
        yield image
