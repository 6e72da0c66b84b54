"""Predictions to look at: pictures and videos with their points drawn in, and a sheet of a few of them."""
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.predict.pipeline import Seen, shrunk
from kpjax.drawing.overlays import (
    contact_sheet,
    draw_keypoints,
    draw_on_frame,
    enlarged,
    enlargement,
    opacity_of_scores,
    write_png,
)
from kpjax.images.inputs import Footage, stems
from kpjax.images.video import write_video
from kpjax.input.prefetch import in_background, read_ahead
from kpjax.structures import Skeleton

VIDEO_SIDE = 1280  # px, of the longer side of a drawn video
SHEET_PICTURES, SHEET_SIDE = 12, 400
RATE = 25.0  # frames a second of a video from pictures without times
Opacity = Callable[[np.ndarray], np.ndarray]  # scores of any shape -> how firmly those points are drawn


def opacity_from(cutoff: float | None, usual: float) -> Opacity:
    """Points from the cutoff on and no others; without one all points, the fainter the lower beside the usual score."""
    if cutoff is None:
        return partial(opacity_of_scores, usual=usual)
    return lambda scores: (np.nan_to_num(scores, nan=-np.inf) >= cutoff).astype(np.float64)


def sheet_rows(count: int) -> list[int]:
    """A few rows, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, SHEET_PICTURES)).round().astype(int).tolist()))


def drawn_finely(seen: Seen, opacity: Opacity, skeleton: Skeleton) -> np.ndarray:
    """A picture with the points of all its animals; a small one is enlarged."""
    factor = enlargement(*seen.picture.shape[:2], 192)
    picture, points = enlarged(seen.picture), (seen.keypoints + 0.5) * _growth(seen) * factor - 0.5
    for animal in np.flatnonzero(seen.present):
        picture = draw_keypoints(picture, points[animal], opacity(seen.scores[animal]), skeleton, minimum_side=1)
    return picture


def _growth(seen: Seen) -> np.ndarray:
    """How much larger the picture that came along is than the frame, in x and y."""
    return np.array(seen.picture.shape[1::-1]) / seen.size


def drawn_fast(seen: Seen, opacity: Opacity, skeleton: Skeleton, caption: str) -> np.ndarray:
    """A frame of its own size with the points of all its animals."""
    growth = _growth(seen)
    return draw_on_frame(seen.picture, (seen.keypoints + 0.5) * growth - 0.5,
                         np.where(seen.present[:, None], opacity(seen.scores), 0.0), skeleton, caption=caption)


def write_pictures(seen: Iterable[Seen], names: list[str], folder: Path, opacity: Opacity, skeleton: Skeleton
                   ) -> Iterator[Seen]:
    """Writes <name>_overlay.png of every picture as it passes, by two threads; gives them on without their pictures."""
    def write(one: Seen) -> Seen:
        if one.picture is not None:
            write_png(folder / names[one.row], drawn_finely(one, opacity, skeleton), smallest=False)
        return one._replace(picture=None)

    return read_ahead(write, seen)


def overlay_names(names: tuple[str, ...] | list[str]) -> list[str]:
    """Where each picture's overlay goes: a.jpg to a_overlay.png, or to a.jpg_overlay.png if there is an a.png too."""
    return [f"{stem}_overlay.png" for stem in stems(names)]


def write_overlay_video(
    seen: Iterable[Seen], footage: Footage, path: Path, opacity: Opacity, skeleton: Skeleton, *, side: int = VIDEO_SIDE,
) -> Path:
    """Writes a video with a frame for each row and the times of the original; it is encoded while frames come in.

    side: the length to which the pictures of `seen` were brought at most. A frame that does not decode is shown as the
    last one that did, and says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    step = int(footage.numbers[1] - footage.numbers[0]) if len(footage) > 1 else 1
    with closing(in_background(seen, 4)) as frames:
        return write_video(path, _drawn_frames(frames, footage, opacity, skeleton, side), times=footage.times,
                           rate=RATE / step)


def _drawn_frames(seen: Iterable[Seen], footage: Footage, opacity: Opacity, skeleton: Skeleton, side: int
                  ) -> Iterator[np.ndarray]:
    width, height = footage.video.size
    last = shrunk(np.zeros((height, width, 3), np.uint8), side)
    nothing = np.zeros((0, len(skeleton.names), 2)), np.zeros((0, len(skeleton.names)))
    for one in seen:
        number = int(footage.numbers[one.row])
        if one.picture is None:
            yield draw_on_frame(last, *nothing, skeleton, caption=f"{number}: does not decode")
            continue
        last = one.picture
        yield drawn_fast(one, opacity, skeleton, str(number))


def with_sheet(seen: Iterable[Seen], rows: list[int], footage: Footage, opacity: Opacity, skeleton: Skeleton,
               drawn: list[tuple[str, np.ndarray]]) -> Iterator[Seen]:
    """Gives frames on as they come, and draws those of a sheet into `drawn`, with what stands below them."""
    chosen = set(rows)
    for one in seen:
        if one.row in chosen and one.picture is not None:
            small = one._replace(picture=shrunk(one.picture, SHEET_SIDE))
            caption = f"frame {footage.numbers[one.row]}" if footage.video else footage.names[one.row]
            drawn.append((caption, drawn_finely(small, opacity, skeleton)))
        yield one


def write_sheet(path: Path, drawn: list[tuple[str, np.ndarray]]) -> Path:
    """Writes the pictures of a sheet as one JPEG: a PNG of photographs takes seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet([image for _, image in drawn], captions=[caption for caption, _ in drawn])
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(sheet).save(partial, format="JPEG", quality=90)
    return partial.replace(path)


def peeked(seen: Iterator[Seen], count: int) -> tuple[list[Seen], Iterator[Seen]]:
    """The first few frames, and all of them."""
    first = list(itertools.islice(seen, count))
    return first, itertools.chain(first, seen)
