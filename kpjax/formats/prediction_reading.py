"""Predicted points of one video, from the files that `predict` writes and from those of other
tools.

- kpjax's csv, with the columns video, frame, instance, keypoint, x, y and score.
- DeepLabCut's, Lightning Pose's and EKS's csv, and DeepLabCut's .h5: header rows bodyparts and
coords with a likelihood.
- movement's data set as a long table: time, individual, keypoint, and space and position, or x and
y, perhaps with a confidence.
- What sleap-io reads with predicted instances, which a track or their order on a frame tells apart:
  SLEAP's .slp, its csv and its analysis .h5, JABS, NWB.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.errors import count_text
from kpjax.files import foreign
from kpjax.formats import sleap
from kpjax.formats.deeplabcut import SINGLE
from kpjax.formats.names import forward
from kpjax.formats.predictions import (
    EMPTY,
    FAILED,
    NO_BOX,
    OK,
    UNSURE,
    PredictionTable,
    empty_table,
)
from kpjax.formats.project import LARGEST, Report, on_frame, refuse
from kpjax.formats.tables import (
    Row,
    Rows,
    has_table_header,
    number,
    read_rows,
    read_table,
    whole_number,
)
from kpjax.images.reading import VIDEO_SUFFIXES

_COLUMNS = ("video", "frame", "keypoint", "x", "y", "score")
_OTHER_COLUMNS = ("image", "instance", "time", "space", "position")
# as movement, some versions of it in plural, calls them
_OF_MOVEMENT = {
    "individual": "instance",
    "individuals": "instance",
    "keypoints": "keypoint",
    "confidence": "score",
}
_KNOWN = "kpjax, DeepLabCut, Lightning Pose, EKS, SLEAP or movement"
MOST_FRAMES = 100_000_000  # of a recording; one wrong number of a frame gives more
_EMPTY = np.full(5, np.nan)
# the status of an animal without points, by that of its points in kpjax's csv
_REASONS = {NO_BOX: NO_BOX, FAILED: FAILED, EMPTY: OK}


class _Found(NamedTuple):
    """What a file says of a video."""

    name: str
    source: Path
    skeleton: Skeleton
    #: by frame and animal: (K, 3) x, y, score; kpjax's own (K, 5), 1 where a
    #: point is outside, and where it is unsure
    points: Mapping[int, Mapping[str, np.ndarray]]
    times: Mapping[int, float] = {}
    size: tuple[int, int] = (0, 0)
    #: by frame and animal: why it has no points, as kpjax's own csv says
    reasons: Mapping[int, Mapping[str, str]] = {}


def read_predictions(path: Path) -> PredictionTable:
    """Reads the predictions of one video, with a row for each frame from the first to the last.

    The step between frames is the largest that reaches all of the file. Frames that it lacks, and
    animals without any point on a frame, have the status `unreadable`, unless the file says another.
    """
    path = Path(path)
    report = Report("", [], [])
    if not path.is_file() or path.suffix.lower() in VIDEO_SUFFIXES:
        raise InputError(
            f"{path}: no file of predicted points; name a .csv, .h5 or .slp of {_KNOWN}"
        )
    if sleap.kind_of(path):
        found = _of_sleap(path, report)
    elif path.suffix.lower() == ".h5" or has_table_header(path):
        found = _of_table(path, report)
    else:
        found = _of_csv(path, report)
    refuse(path, report.faults)
    frames = sorted(found.points)
    if not frames:
        raise InputError(f"{path}: there is no frame in it; predict again")
    step = int(np.gcd.reduce(np.diff(frames))) or 1
    names = dict.fromkeys(name for frame in frames for name in found.points[frame])
    animals = {name: place for place, name in enumerate(names or ["0"])}
    first, last = frames[0], frames[-1]
    rows = (last - first) // step + 1
    if rows > MOST_FRAMES:
        raise InputError(
            f"{path}: frames {first} to {last} would be {rows:,} rows; correct the numbers of frames, or "
            "give it in parts"
        )
    numbers = np.arange(first, last + 1, step)
    times = None
    known = np.array([found.times.get(frame, np.nan) for frame in frames], np.float64)
    if np.isfinite(known).all():
        times = np.interp(numbers, frames, known)
    stem = path.name.split(".")[0]
    title = re.sub("[^A-Za-z0-9]+", "_", stem.split("DLC_")[-1])
    table = empty_table(
        found.source,
        [found.name] * rows,
        numbers,
        found.skeleton,
        title,
        times=times,
        instances=tuple(animals),
    )
    status = table.status
    for frame, of_frame in found.reasons.items():
        for animal, reason in of_frame.items():
            status[(frame - first) // step, animals[animal]] = reason
    values = np.full((rows, len(animals), len(found.skeleton.names), 5), np.nan)
    for frame, of_frame in found.points.items():
        row = (frame - first) // step
        for animal, one in of_frame.items():
            columns = one.shape[1]
            values[row, animals[animal], :, :columns] = one
    x, y, scores, is_outside, is_unsure = np.moveaxis(values, -1, 0)
    there = (np.abs(x) <= LARGEST) & (np.abs(y) <= LARGEST)  # nan is not
    scored = there & (np.abs(scores) <= LARGEST)
    points = np.where(there[..., None], values[..., :2], np.nan)
    outside = there & (is_outside == 1)
    if found.size[0]:
        outside = np.isfinite(points).all(-1) & ~on_frame(points, found.size)
    return table._replace(
        notes=tuple(report.notes),
        sizes=np.full_like(table.sizes, found.size),
        keypoints=points,
        scores=np.where(scored, scores, 0),
        outside=outside,
        unsure=there & (is_unsure == 1),
        status=np.where(there.any(-1), OK, status),
    )


def _of_csv(path: Path, report: Report) -> _Found:
    """Returns the points of a long table: kpjax's, or movement's, whose rows may have one of x and y,
    and whose times are numbers of frames, or seconds from one to the next.
    """
    table = read_rows(path, report, (*_COLUMNS, *_OTHER_COLUMNS, *_OF_MOVEMENT))
    has = {_OF_MOVEMENT.get(column, column) for column in table.columns}
    of_movement = "video" not in has and {"keypoint", "instance"} <= has >= {"time"}
    if "image" in has and "video" not in has:
        raise _of_images(path, "it has points on images")
    missing = table.lacks(*_COLUMNS)
    if missing and not of_movement:
        raise InputError(
            f"{path}: no column {missing[0]}, which predictions of kpjax have; give a file of {_KNOWN}"
        )
    points: dict[int, dict[str, dict[str, np.ndarray]]] = {}
    names = {}
    videos = {}
    times = {}
    reasons: dict[int, dict[str, str]] = {}
    step = _step_of_times(table) if of_movement else 1.0
    for row in table.rows:
        cells = {_OF_MOVEMENT.get(column, column): cell for column, cell in row.cells.items()}
        row = row._replace(cells=cells)
        keypoint = row.get("keypoint")
        space = row.get("space")
        status = row.get("status")
        time = row.number("time")
        frame = _frame_at(row, time / step) if of_movement else row.frame()
        if frame is None or space not in ("", "x", "y"):
            continue
        videos.setdefault(row.get("video"))
        names.setdefault(keypoint)
        of_frame = points.setdefault(frame, {})
        animal = cells.get("instance", "0")
        of_animal = of_frame.setdefault(animal, {})
        if status in _REASONS:
            reasons.setdefault(frame, {})[animal] = _REASONS[status]
        x = row.number("position" if space == "x" else "x")
        y = row.number("position" if space == "y" else "y")
        score = row.number("score")
        values = np.array([x, y, score, status == "outside", status == UNSURE])
        known = of_animal.get(keypoint, _EMPTY)
        if keypoint in of_animal and not (space and math.isnan(known["xy".index(space)])):
            row.fault(f"{keypoint} of frame {frame} is there already; delete one")
        of_animal[keypoint] = np.where(np.isnan(known), values, known)
        if not math.isnan(time):
            times[frame] = time
    if len(videos) > 1:
        report.faults.append(f"it has points of {len(videos)} videos; give a file for each")
    arrays: dict[int, dict[str, np.ndarray]] = {}
    for frame, of_frame in points.items():
        arrays[frame] = {}
        for animal, of_animal in of_frame.items():
            of_names = [of_animal.get(name, _EMPTY) for name in names]
            arrays[frame][animal] = np.array(of_names)
    name = forward(next(iter(videos), "") or path.stem)
    source = f"{name}.mp4" if of_movement else PurePosixPath(name).name
    stamps = {} if of_movement and step == 1 else times
    return _Found(
        name, path.parent / source, Skeleton(tuple(names)), arrays, stamps, reasons=reasons
    )


def _step_of_times(table: Rows) -> float:
    """Returns the step between the times of movement's table; 1 where they are numbers of frames."""
    unheard = Report("", [], [])  # the rows are read again
    times = np.unique([number(row.get("time"), unheard) for row in table.rows])
    if len(times) < 2 or not np.isfinite(times).all():
        return 1.0
    if (times == times.round()).all():
        return 1.0
    # of rounded times, some steps are shorter than others; some frames may be missing
    between = np.diff(times)
    frames = np.round(between / np.median(between)).sum()
    return float(times[-1] - times[0]) / max(frames, 1.0)


def _frame_at(row: Row, steps: float) -> int | None:
    """Returns the number of a frame, after so many steps; None, with a fault, without a time."""
    if math.isfinite(steps):
        return round(steps)
    row.fault("no time; give that of the frame", "time")
    return None


def _of_table(path: Path, report: Report) -> _Found:
    table = read_table(path, report.at(path.name))
    if table.coordinates != ("x", "y", "likelihood"):
        raise InputError(
            f"{path}: it has labels, no predictions (no likelihood); name a file of predicted points"
        )
    # Corners of a cage, which an image has once, are no animal.
    once = [name for one, name in table.points if one == SINGLE]
    if 0 < len(once) < len(table.points):
        report.notes.append(
            f"{count_text(len(once), 'unique body part')} ({', '.join(once)}) of no animal: left out"
        )
        table = table.with_points([one != SINGLE for one, _ in table.points])
    animals = list(dict.fromkeys(animal for animal, _ in table.points))
    names = list(dict.fromkeys(part for _, part in table.points))
    values = np.full((len(table.keys), len(animals), len(names), 3), np.nan)
    for place, (animal, part) in enumerate(table.points):
        values[:, animals.index(animal), names.index(part)] = table.values[:, place]
    titles = [animal or "0" for animal in animals]
    found: dict[int, dict[str, np.ndarray]] = {}
    for key, of_frame in zip(table.keys, values, strict=True):
        frame = whole_number(str(key))
        if frame is None:
            raise _of_images(path, f"row {key!r:.60} is an image")
        if frame in found:
            raise InputError(f"{path}: frame {frame} occurs twice; delete one of its rows")
        found[frame] = dict(zip(titles, of_frame, strict=True))
    name = path.stem.split("DLC_", 1)[0] or path.stem
    return _Found(name, path.parent / f"{name}.mp4", Skeleton(tuple(names)), found)


def _of_sleap(path: Path, report: Report) -> _Found:
    kind = sleap.kind_of(path)
    labels = sleap.load(path)
    predicted = [one for one in labels.labeled_frames if one.instances]
    videos = {id(one.video): one.video for one in predicted}
    if len(videos) != 1:
        raise InputError(
            f"{path}: it has predictions on {len(videos)} videos; give a file for each"
        )
    video = next(iter(videos.values()))
    if isinstance(video.filename, list):
        raise _of_images(path, "it has points on images")
    skeleton = sleap.skeleton_in(path, labels, Report(path.name, [], []))
    points: dict[int, dict[str, np.ndarray]] = {}
    with foreign(path, "save it again with its tool"):
        for one in predicted:
            frame = int(one.frame_idx)
            of_frame = points.setdefault(frame, {})
            # what a person corrected takes the place of what was predicted
            animals = [*one.user_instances, *one.unused_predictions]
            if sum(instance.track is None for instance in animals) > 1:
                report.faults.append(
                    f"frame {frame} has {len(animals)} animals, and no tracks say which is which; track them first"
                )
            for place, instance in enumerate(animals):
                animal = instance.track.name if instance.track else str(place)
                if animal in of_frame:
                    report.faults.append(
                        f"frame {frame} has two animals called {animal!r:.60}; give each its own track"
                    )
                of_frame[animal] = sleap.points_of(instance, skeleton.names)
        size = (0, 0)
        shape = dict(video.backend_metadata).get("shape") or ()
        if len(shape) == 4:
            _, height, width, _ = shape
            size = (int(width), int(height))
        # a csv names none
        stored = f"{path.stem}.mp4" if kind == "csv" else video.filename
        file = Path(forward(stored))
    source = file if file.is_file() else path.parent / file.name
    return _Found(file.name, source, Skeleton(skeleton.names, skeleton.edges), points, size=size)


def _of_images(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: {what}, where frames of one video are needed; give predictions on a video"
    )
