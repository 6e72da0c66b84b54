"""Predictions to look at: images and videos with their keypoints drawn in, and a sheet of a few of them."""
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax import Skeleton
from kpjax.drawing import overlays
from kpjax.drawing.moving import kept_on_the_way, moving_rows, write_moving
from kpjax.files import atomic
from kpjax.images.inputs import ImageSequence, stems
from kpjax.images.video import write_video
from kpjax.input.stream import in_background, read_ahead
from kpjax.lab.commands.predict.pipeline import Seen, shrunk
from kpjax.lab.commands.predict.tracked import names_of

VIDEO_SIDE = 1280  # px, of the longer side of a drawn video
SHEET_IMAGES, SHEET_SIDE = 12, 400
AROUND, LEAST_SHOWN = 0.15, 0.2  # of the animals' extent, shown about them on the sheet; least part of a frame's side
LEGEND = 0.2  # of the height of a drawn video, at most
RATE = 25.0  # frames a second of a video without times
Opacity = Callable[[np.ndarray], np.ndarray]  # scores of any shape -> opacity of those points


class Look(NamedTuple):
    """How points are drawn."""

    opacity: Opacity
    radius: float | None = None  # of a point in pixels of the frame; None chooses it for each image
    note: str = ""  # of the legend
    trails: int = 0  # frames over which the way of a point is drawn
    animals: tuple[str, ...] = ()
    boxes: np.ndarray | None = None  # (N, I, 4) of the animals on the frames, nan where one is not there
    rings: bool = False  # whether radii are drawn


def opacity_from(cutoff: float | None, usual: float) -> Opacity:
    """Shows points from the cutoff on and no others; without one all points, fainter below the usual score."""
    if cutoff is None:
        return partial(overlays.opacity_of_scores, usual=usual)
    return lambda scores: (scores >= cutoff).astype(np.float64)


def drawn(seen: Seen, look: Look, skeleton: Skeleton) -> np.ndarray:
    """Draws the keypoints of all animals finely; a small image is enlarged."""
    growth = _growth(seen)
    return _finely(seen.image, (seen.keypoints + 0.5) * growth - 0.5, seen, look, skeleton, growth[0])


def around_animals(seen: Seen, look: Look, skeleton: Skeleton, side: int) -> np.ndarray:
    """Draws the part of a frame that holds all animals and points that are drawn, at most `side` pixels long."""
    size, growth = np.array(seen.image.shape[1::-1]), _growth(seen)
    points = (seen.keypoints + 0.5) * growth - 0.5
    places = [points[seen.present[:, None] & (look.opacity(seen.scores) > 0) & np.isfinite(points).all(-1)]]
    if (boxes := boxes_of(seen, look)) is not None:
        boxes = boxes * np.tile(growth, 2)
        places += [boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]
    places = np.concatenate(places)
    places = np.clip(places[np.isfinite(places).all(-1)], 0, size - 1)
    low, high = (places.min(0), places.max(0)) if len(places) else (np.zeros(2), size)
    half = np.maximum((high - low).max() * (0.5 + AROUND), LEAST_SHOWN * size.max() / 2)
    left, upper = np.maximum((low + high) / 2 - half, 0).astype(int)
    right, lower = np.minimum(np.ceil((low + high) / 2 + half), size).astype(int)
    part = seen.image[upper:lower, left:right]
    factor = side / max(part.shape[:2])
    length = max(round(part.shape[1] * factor), 1), max(round(part.shape[0] * factor), 1)
    part = np.asarray(Image.fromarray(part).resize(length, Image.Resampling.BICUBIC))
    return _finely(part, (points - (left, upper) + 0.5) * factor - 0.5, seen, look, skeleton, growth[0] * factor)


def _finely(image: np.ndarray, points: np.ndarray, seen: Seen, look: Look, skeleton: Skeleton, growth: float
            ) -> np.ndarray:
    """Draws all animals, whose points are in pixels of the image, on an image that is enlarged if it is small."""
    factor = overlays.enlargement(*image.shape[:2], 192)
    image, points = overlays.enlarged(image), (points + 0.5) * factor - 0.5
    opacity = np.where(seen.present[:, None], look.opacity(seen.scores), 0)
    radius = look.radius * growth * factor if look.radius else overlays.dot_radius(
        points, opacity > 0, min(image.shape[:2]))
    colours = overlays.animal_colours(len(points)) if len(points) > 1 else [None]
    for animal in np.flatnonzero(seen.present):
        image = overlays.draw_keypoints(
            image, points[animal], opacity[animal], skeleton, minimum_side=1, radius=radius, edges=colours[animal],
            rings=seen.radii[animal] * growth * factor if look.rings and seen.radii is not None else None)
    return image


def boxes_of(seen: Seen, look: Look) -> np.ndarray | None:
    """Returns the boxes (I, 4) of a frame's animals, which came from elsewhere or were found; None if there is none."""
    return seen.boxes if look.boxes is None else look.boxes[seen.row]


def _as_many(trail: Iterable[tuple[np.ndarray, np.ndarray]], animals: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Returns earlier frames with as many animals as there are by now; those that came later are on none of them."""
    return tuple((np.pad(points, ((0, animals - len(points)), (0, 0), (0, 0)), constant_values=np.nan),
                  np.pad(opacity, ((0, animals - len(opacity)), (0, 0)))) for points, opacity in trail)


def _growth(seen: Seen) -> np.ndarray:
    """Returns the size of the image that came along over that of the frame, in x and y."""
    return np.array(seen.image.shape[1::-1]) / seen.size


def write_images(seen: Iterable[Seen], names: Sequence[str], folder: Path, look: Look, skeleton: Skeleton
                 ) -> Iterator[Seen]:
    """Writes overlays of images as they pass, by two threads, and passes them on without their images.

    That of a.jpg is a_overlay.png, or a.jpg_overlay.png if there is an a.png too.
    """
    names = stems(names)

    def write(one: Seen) -> Seen:
        if one.image is not None:
            path = folder / f"{names[one.row]}_overlay.png"
            overlays.write_png(path, drawn(one, look, skeleton))
        return one._replace(image=None)

    return read_ahead(write, seen)


def write_overlay_video(seen: Iterable[Seen], sequence: ImageSequence, path: Path, look: Look, skeleton: Skeleton, *,
                        side: int = VIDEO_SIDE, short: Path | None = None) -> Path:
    """Writes a video with a frame for each row and the times of the original, encoded while frames come in.

    A legend stands below the frames. A frame that does not decode is shown as the last one that did. side: the greatest
    length of the images of `seen`. short: a GIF of its first seconds, without the legend.
    """
    step = int(sequence.numbers[1] - sequence.numbers[0]) if len(sequence) > 1 else 1
    rows, milliseconds = moving_rows(sequence.times, len(sequence), RATE / step)
    kept: list[np.ndarray] = []
    with closing(in_background(seen, 4)) as frames:
        drawn_frames = _drawn_frames(frames, sequence, look, skeleton, side)
        if short:
            drawn_frames = kept_on_the_way(drawn_frames, rows, kept)
        write_video(path, _with_legend(drawn_frames, look, skeleton), times=sequence.times, rate=RATE / step)
    if short and kept:
        write_moving(short, kept, milliseconds=milliseconds)
    return path


def _with_legend(images: Iterable[np.ndarray], look: Look, skeleton: Skeleton) -> Iterator[np.ndarray]:
    strip = None
    for image in images:
        if strip is None:
            strip = overlays.legend_strip(image.shape[1], skeleton, animals=look.animals, note=look.note,
                                          most=max(28, round(LEGEND * image.shape[0])))
        yield np.concatenate([image, strip])


def _drawn_frames(seen: Iterable[Seen], sequence: ImageSequence, look: Look, skeleton: Skeleton, side: int
                  ) -> Iterator[np.ndarray]:
    width, height = sequence.video.size
    last = shrunk(np.zeros((height, width, 3), np.uint8), side)
    nothing = np.zeros((0, len(skeleton.names), 2)), np.zeros((0, len(skeleton.names)))
    trail: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=look.trails)
    for one in seen:
        caption = str(sequence.numbers[one.row])
        if one.image is None:
            yield overlays.draw_on_frame(last, *nothing, skeleton, caption=f"{caption}: does not decode")
            continue
        last, growth = one.image, _growth(one)
        points = (one.keypoints + 0.5) * growth - 0.5
        opacities = np.where(one.present[:, None], look.opacity(one.scores), 0.0)
        if hidden := int((opacities[one.present] == 0).sum()):
            caption += f": {hidden} of {opacities[one.present].size} points hidden"
        yield overlays.draw_on_frame(
            last, points, opacities, skeleton, caption=caption, trails=_as_many(trail, len(points)),
            animals=look.animals if look.animals or one.boxes is None else names_of(len(points)),
            radius=look.radius and look.radius * growth[0],
            rings=one.radii * growth[0] if look.rings and one.radii is not None else None,
            boxes=None if (boxes := boxes_of(one, look)) is None else boxes * np.tile(growth, 2))
        trail.append((points, opacities))


def sheet_rows(count: int) -> list[int]:
    """Returns a few rows, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, SHEET_IMAGES)).round().astype(int).tolist()))


def with_sheet(seen: Iterable[Seen], sequence: ImageSequence, look: Look, skeleton: Skeleton,
               sheet: dict[str, np.ndarray]) -> Iterator[Seen]:
    """Passes frames on, and draws those of `sheet_rows` into `sheet`, by their captions."""
    rows = set(sheet_rows(len(sequence)))
    for one in seen:
        if one.row in rows and one.image is not None:
            caption = f"frame {sequence.numbers[one.row]}" if sequence.video else sequence.names[one.row]
            if hidden := int((look.opacity(one.scores[one.present]) == 0).sum()):
                caption += f": {hidden} hidden"
            sheet[caption] = around_animals(one, look, skeleton, SHEET_SIDE)
        yield one


def write_sheet(path: Path, sheet: dict[str, np.ndarray], look: Look, skeleton: Skeleton) -> None:
    """Writes images, their captions and a legend as one JPEG: a PNG of photographs takes seconds."""
    whole = overlays.contact_sheet(list(sheet.values()), captions=list(sheet))
    strip = overlays.legend_strip(whole.shape[1], skeleton, animals=look.animals, note=look.note)
    with atomic(path) as file:
        Image.fromarray(np.concatenate([whole, strip])).save(file, format="JPEG", quality=90)
