"""Predictions to look at: images and videos with their keypoints drawn in, and a sheet of a few of
them.
"""

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
from kpjax.evaluation.coincidence import RARE, LabelDistances, one_point, suspicious
from kpjax.files import atomic
from kpjax.images.inputs import ImageSequence, stems
from kpjax.images.reading import spread
from kpjax.images.video import write_video
from kpjax.input.stream import in_background, read_ahead
from kpjax.lab.animals.calibration import cutoffs_text
from kpjax.lab.animals.conformal import LEVELS, RadiusTable, missing
from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict.pipeline import Seen, names_of, shrunk
from kpjax.lab.predictors import Predictor
from kpjax.lab.reports.sheets import part_of

VIDEO_SIDE = 1280  # px, of the longer side of a drawn video
SHEET_IMAGES, SHEET_SIDE = 12, 400
LEGEND = 0.3  # largest share of the height of a drawn video
RATE = 25.0  # frames a second of a video without times
FOLDER = "overlays"  # folder of drawn images
OF_IMAGE = FOLDER + "/{}_overlay.png"  # see `overlays_of`
SHARED = 20  # labels whose weight the mean of all keypoints has in the rings of one
LARGEST_RING = 0.1  # share of an animal's size
Opacity = Callable[[np.ndarray], np.ndarray]  # scores of any shape -> opacity of those points


class Look(NamedTuple):
    """How points are drawn."""

    opacity: Opacity
    #: radius of a point in pixels of the frame; None chooses it for each image
    radius: float | None = None
    note: str = ""  # note of the legend
    animals: tuple[str, ...] = ()
    #: (K,) of radii, how many times larger they are drawn; None draws none
    rings: np.ndarray | None = None
    labels: LabelDistances | None = None  # by which two keypoints that are one point are known


def look_of(
    first: Sequence[Seen],
    sequence: ImageSequence,
    predictor: Predictor,
    asked: Predict,
    animals: tuple[str, ...],
) -> Look:
    """Returns how points are drawn by what the first frames show."""
    scores = np.concatenate([np.zeros(0), *(one.scores[one.present].ravel() for one in first)])
    usual = float(np.median(scores)) if scores.size else 0.0
    # From the cutoff on and no others; without one all points, fainter below the usual score.
    said = cutoffs_text(predictor.cutoffs)
    opacity = (
        (lambda scores: (scores >= predictor.cutoffs).astype(np.float64))
        if said
        else partial(overlays.opacity_of_scores, usual=usual)
    )
    radius = None
    if sequence.video and scores.size:
        points = np.concatenate([one.keypoints[one.present] for one in first])
        firm = np.concatenate([opacity(one.scores[one.present]) for one in first]) > 0
        radius = overlays.dot_radius(
            points, firm if firm.any() else np.ones_like(firm), min(sequence.video.size)
        )
    note, rings = (
        f"cutoff {said}: points with a lower score are hidden"
        if said
        else (f"fainter: a score below {usual / 2:.2g}"),
        None,
    )
    if (
        not asked.no_radii
        and predictor.radii is not None
        and not missing(predictor.radii)[LEVELS.index(asked.level)]
    ):
        rings = towards_the_mean(predictor.radii, asked.level)
    look = Look(opacity, radius, note, animals, rings, predictor.labels)
    if rings is not None and (
        not scores.size
        or any(
            (ringed := _rings(one, look)) is not None and np.isfinite(ringed).any() for one in first
        )
    ):
        note += f"; rings: they hold the truth in about {100 * asked.level:g} of 100 cases"
    if any((warned := _warned(one, look)) is not None and warned.any() for one in first):
        note += "; red rings: two keypoints are one point, as labels hardly ever are"
    return look._replace(note=note)


def towards_the_mean(table: RadiusTable, level: float) -> np.ndarray:
    """Returns how many times larger the radii (K,) of keypoints are drawn: the fewer their labels,
    the nearer the mean.

    A quantile of few labels depends much on chance. The csv keeps it, since the promise of a radius
    is its own.
    """
    quantiles = table.quantiles[np.searchsorted(table.levels, level - 1e-9)]
    known = np.isfinite(quantiles) & (quantiles > 0)
    mean = np.average(quantiles[known], weights=table.labels[known] + 1e-9) if known.any() else 0.0
    shrunk = (table.labels * np.where(known, quantiles, 0) + SHARED * mean) / (
        table.labels + SHARED
    )
    return np.divide(shrunk, quantiles, out=np.ones(len(known)), where=known)


def rings_of(
    radii: np.ndarray,
    keypoints: np.ndarray,
    boxes: np.ndarray | None,
    size: Sequence[int],
    times: np.ndarray,
) -> np.ndarray:
    """Returns the rings (I, K) of a frame's points: `times` their radii, nan of those too large to
    say anything.

    The size of an animal is the diagonal of its box, else of its points, and that of the frame for
    a single point.
    """
    there = np.isfinite(keypoints)
    low, high = (
        np.where(there, keypoints, np.inf).min(1),
        np.where(there, keypoints, -np.inf).max(1),
    )
    extent = np.linalg.norm(np.maximum(high - low, 0), axis=-1)
    if boxes is not None:
        extent = np.where(np.isfinite(boxes).all(-1), np.linalg.norm(boxes[:, 2:], axis=-1), extent)
    if keypoints.shape[1] == 1:
        extent = np.where(extent > 0, extent, np.linalg.norm(size))
    found = radii * times
    return np.where(found <= LARGEST_RING * extent[:, None], found, np.nan)


def draw_animals(seen: Seen, look: Look, skeleton: Skeleton) -> np.ndarray:
    """Draws the keypoints of all animals finely; a small image is enlarged."""
    marks = marks_of(seen, look)
    return overlays.draw_animals(
        seen.image,
        marks.points,
        marks.opacity,
        skeleton,
        radius=marks.radius,
        rings=marks.rings,
        warned=marks.warned,
    )


def around_animals(seen: Seen, look: Look, skeleton: Skeleton, side: int) -> np.ndarray:
    """Draws the part of a frame that holds all animals and points that are drawn, at most `side`
    pixels long.
    """
    marks = marks_of(seen, look)
    places = [marks.points[marks.opacity > 0]]
    if marks.boxes is not None:
        places += [marks.boxes[:, :2], marks.boxes[:, :2] + marks.boxes[:, 2:]]
    places = np.clip(np.concatenate(places), 0, np.array(seen.image.shape[1::-1]) - 1)
    part, moved = part_of(
        seen.image, places, lambda longer: side / longer, Image.Resampling.BICUBIC
    )
    factor = np.linalg.norm(moved([1, 0]) - moved([0, 0]))
    return overlays.draw_animals(
        part,
        moved(marks.points),
        marks.opacity,
        skeleton,
        radius=marks.radius and marks.radius * factor,
        rings=None if marks.rings is None else marks.rings * factor,
        warned=marks.warned,
    )


class Marks(NamedTuple):
    """What is drawn on the image of a frame, in its pixels."""

    points: np.ndarray  # (I, K, 2)
    opacity: np.ndarray  # (I, K)
    boxes: np.ndarray | None  # (I, 4)
    radius: float | None
    rings: np.ndarray | None  # (I, K)
    warned: np.ndarray | None  # (I, K) bool, keypoints that are one point with another


def marks_of(seen: Seen, look: Look) -> Marks:
    """Returns what is drawn of a frame on the image that came along, perhaps of another size."""
    growth, boxes, rings = (
        np.array(seen.image.shape[1::-1]) / seen.size,
        seen.boxes,
        _rings(seen, look),
    )
    return Marks(
        (seen.keypoints + 0.5) * growth - 0.5,
        _opacity(seen, look),
        None if boxes is None else boxes * np.tile(growth, 2),
        look.radius and look.radius * growth[0],
        None if rings is None else rings * growth[0],
        _warned(seen, look),
    )


def _opacity(seen: Seen, look: Look) -> np.ndarray:
    return np.where(seen.present[:, None], look.opacity(seen.scores), 0.0)


def _warned(seen: Seen, look: Look) -> np.ndarray | None:
    if look.labels is None or seen.sizes is None:
        return None
    together = one_point(seen.keypoints, seen.sizes, _opacity(seen, look) > 0)
    return (together & suspicious(look.labels, RARE)).any(-1)


def _rings(seen: Seen, look: Look) -> np.ndarray | None:
    return (
        None
        if look.rings is None or seen.radii is None
        else rings_of(seen.radii, seen.keypoints, seen.boxes, seen.size, look.rings)
    )


def overlays_of(names: Sequence[str]) -> list[str]:
    """Returns the files of drawn images: that of a.jpg is a_overlay.png, or a.jpg_overlay.png if
    there is an a.png too.

    All differ: a name also keeps its ending where the rest of it is the name of another image, as
    a.jpg.png does beside a.jpg.
    """
    known = set(names)
    pairs = zip(names, stems(names), strict=True)
    return [OF_IMAGE.format(name if stem in known else stem) for name, stem in pairs]


def write_images(
    seen: Iterable[Seen], names: Sequence[str], folder: Path, look: Look, skeleton: Skeleton
) -> Iterator[Seen]:
    """Writes overlays of images as they pass, by two threads, and passes them on without their
    images.
    """
    files = overlays_of(names)

    def write(one: Seen) -> Seen:
        if one.image is not None:
            overlays.write_png(folder / files[one.row], draw_animals(one, look, skeleton))
        return one._replace(image=None)

    return read_ahead(write, seen)


def write_overlay_video(
    seen: Iterable[Seen],
    sequence: ImageSequence,
    look: Look,
    skeleton: Skeleton,
    path: Path,
    short: Path,
) -> None:
    """Writes a video with a frame for each row and the times of the original, encoded while frames
    come in.

    A legend stands below the frames. A frame that does not decode is shown as the last one that
    did. short: of a GIF of its first seconds, without the legend.
    """
    step = int(sequence.numbers[1] - sequence.numbers[0]) if len(sequence) > 1 else 1
    rows, milliseconds = moving_rows(sequence.times, len(sequence), RATE / step)
    kept: list[np.ndarray] = []
    blank = shrunk(np.zeros((*sequence.video.size[::-1], 3), np.uint8), VIDEO_SIDE)
    strip = overlays.legend_strip(
        blank.shape[1],
        skeleton,
        animals=look.animals,
        note=look.note,
        most=max(28, round(LEGEND * blank.shape[0])),
    )
    with closing(in_background(seen, 4)) as frames:
        images = kept_on_the_way(_drawn_frames(frames, blank, sequence, look, skeleton), rows, kept)
        # a part begins at once
        times = None if sequence.times is None else sequence.times - sequence.times[0]
        write_video(
            path,
            (np.concatenate([image, strip]) for image in images),
            times=times,
            rate=RATE / step,
        )
    if kept:
        write_moving(short, kept, milliseconds=milliseconds)


def _drawn_frames(
    seen: Iterable[Seen], last: np.ndarray, sequence: ImageSequence, look: Look, skeleton: Skeleton
) -> Iterator[np.ndarray]:
    nothing = np.zeros((0, len(skeleton.names), 2)), np.zeros((0, len(skeleton.names)))
    for one in seen:
        caption = str(sequence.numbers[one.row])
        if one.image is None:
            yield overlays.draw_on_frame(
                last, *nothing, skeleton, caption=f"{caption}: does not decode"
            )
            continue
        last, marks = one.image, marks_of(one, look)
        there = marks.opacity[one.present]
        if hidden := int((there == 0).sum()):
            caption += f": {hidden} of {there.size} points hidden"
        yield overlays.draw_on_frame(
            last,
            marks.points,
            marks.opacity,
            skeleton,
            caption=caption,
            radius=marks.radius,
            rings=marks.rings,
            warned=marks.warned,
            boxes=marks.boxes,
            animals=look.animals
            if look.animals or one.boxes is None
            else names_of(len(marks.points)),
        )


def sheet_rows(count: int) -> list[int]:
    """Returns a few rows, evenly spread."""
    return spread(range(count), SHEET_IMAGES)


def with_sheet(
    seen: Iterable[Seen],
    sequence: ImageSequence,
    look: Look,
    skeleton: Skeleton,
    sheet: dict[str, np.ndarray],
) -> Iterator[Seen]:
    """Passes frames on, and draws those of `sheet_rows` into `sheet`, by their captions."""
    rows = set(sheet_rows(len(sequence)))
    for one in seen:
        if one.row in rows and one.image is not None:
            caption = (
                f"frame {sequence.numbers[one.row]}" if sequence.video else sequence.names[one.row]
            )
            if hidden := int((look.opacity(one.scores[one.present]) == 0).sum()):
                caption += f": {hidden} hidden"
            sheet[caption] = around_animals(one, look, skeleton, SHEET_SIDE)
        yield one


def write_sheet(path: Path, sheet: dict[str, np.ndarray], look: Look, skeleton: Skeleton) -> None:
    """Writes images, their captions and a legend as one JPEG: a PNG of photographs takes
    seconds."""
    whole = overlays.contact_sheet(list(sheet.values()), captions=list(sheet))
    strip = overlays.legend_strip(whole.shape[1], skeleton, animals=look.animals, note=look.note)
    with atomic(path) as file:
        Image.fromarray(np.concatenate([whole, strip])).save(file, format="JPEG", quality=90)
