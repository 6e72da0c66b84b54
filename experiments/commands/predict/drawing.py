"""Predictions to look at: images and videos with their keypoints drawn in, and a sheet of a few of them."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.commands.predict.pipeline import Seen, shrunk
from kpjax import Skeleton
from kpjax.drawing import overlays
from kpjax.drawing.moving import kept_on_the_way, moving_rows, write_moving
from kpjax.files import atomic
from kpjax.images.inputs import ImageSequence, stems
from kpjax.images.video import write_video
from kpjax.input.stream import in_background, read_ahead

VIDEO_SIDE = 1280  # px, of the longer side of a drawn video
SHEET_IMAGES, SHEET_SIDE = 12, 400
RATE = 25.0  # frames a second of a video without times
Opacity = Callable[[np.ndarray], np.ndarray]  # scores of any shape -> opacity of those points


def opacity_from(cutoff: float | None, usual: float) -> Opacity:
    """Shows points from the cutoff on and no others; without one all points, fainter below the usual score."""
    if cutoff is None:
        return partial(overlays.opacity_of_scores, usual=usual)
    return lambda scores: (scores >= cutoff).astype(np.float64)


def drawn(seen: Seen, opacity: Opacity, skeleton: Skeleton) -> np.ndarray:
    """Draws the keypoints of all animals finely; a small image is enlarged."""
    factor = overlays.enlargement(*seen.image.shape[:2], 192)
    image, points = overlays.enlarged(seen.image), (seen.keypoints + 0.5) * _growth(seen) * factor - 0.5
    for animal in np.flatnonzero(seen.present):
        image = overlays.draw_keypoints(image, points[animal], opacity(seen.scores[animal]), skeleton, minimum_side=1)
    return image


def _growth(seen: Seen) -> np.ndarray:
    """Returns the size of the image that came along over that of the frame, in x and y."""
    return np.array(seen.image.shape[1::-1]) / seen.size


def write_images(seen: Iterable[Seen], names: Sequence[str], folder: Path, opacity: Opacity, skeleton: Skeleton
                 ) -> Iterator[Seen]:
    """Writes overlays of images as they pass, by two threads, and passes them on without their images.

    That of a.jpg is a_overlay.png, or a.jpg_overlay.png if there is an a.png too.
    """
    names = stems(names)

    def write(one: Seen) -> Seen:
        if one.image is not None:
            path = folder / f"{names[one.row]}_overlay.png"
            overlays.write_png(path, drawn(one, opacity, skeleton))
        return one._replace(image=None)

    return read_ahead(write, seen)


def write_overlay_video(seen: Iterable[Seen], sequence: ImageSequence, path: Path, opacity: Opacity, skeleton: Skeleton,
                        *, side: int = VIDEO_SIDE, short: Path | None = None) -> Path:
    """Writes a video with a frame for each row and the times of the original, encoded while frames come in.

    A frame that does not decode is shown as the last one that did. side: the greatest length of the images of `seen`.
    short: a GIF of its first seconds, beside it.
    """
    step = int(sequence.numbers[1] - sequence.numbers[0]) if len(sequence) > 1 else 1
    rows, milliseconds = moving_rows(sequence.times, len(sequence), RATE / step)
    kept: list[np.ndarray] = []
    with closing(in_background(seen, 4)) as frames:
        drawn_frames = _drawn_frames(frames, sequence, opacity, skeleton, side)
        if short:
            drawn_frames = kept_on_the_way(drawn_frames, rows, kept)
        write_video(path, drawn_frames, times=sequence.times, rate=RATE / step)
    if short and kept:
        write_moving(short, kept, milliseconds=milliseconds)
    return path


def _drawn_frames(seen: Iterable[Seen], sequence: ImageSequence, opacity: Opacity, skeleton: Skeleton, side: int
                  ) -> Iterator[np.ndarray]:
    width, height = sequence.video.size
    last = shrunk(np.zeros((height, width, 3), np.uint8), side)
    nothing = np.zeros((0, len(skeleton.names), 2)), np.zeros((0, len(skeleton.names)))
    for one in seen:
        caption = str(sequence.numbers[one.row])
        if one.image is None:
            yield overlays.draw_on_frame(last, *nothing, skeleton, caption=f"{caption}: does not decode")
            continue
        last, points = one.image, (one.keypoints + 0.5) * _growth(one) - 0.5
        opacities = np.where(one.present[:, None], opacity(one.scores), 0.0)
        yield overlays.draw_on_frame(last, points, opacities, skeleton, caption=caption)


def sheet_rows(count: int) -> list[int]:
    """Returns a few rows, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, SHEET_IMAGES)).round().astype(int).tolist()))


def with_sheet(seen: Iterable[Seen], sequence: ImageSequence, opacity: Opacity, skeleton: Skeleton,
               sheet: dict[str, np.ndarray]) -> Iterator[Seen]:
    """Passes frames on, and draws those of `sheet_rows` into `sheet`, by their captions."""
    rows = set(sheet_rows(len(sequence)))
    for one in seen:
        if one.row in rows and one.image is not None:
            caption = f"frame {sequence.numbers[one.row]}" if sequence.video else sequence.names[one.row]
            sheet[caption] = drawn(one._replace(image=shrunk(one.image, SHEET_SIDE)), opacity, skeleton)
        yield one


def write_sheet(path: Path, sheet: dict[str, np.ndarray]) -> None:
    """Writes images and their captions as one JPEG: a PNG of photographs takes seconds."""
    with atomic(path) as file:
        Image.fromarray(overlays.contact_sheet(list(sheet.values()), captions=list(sheet))).save(
            file, format="JPEG", quality=90)
