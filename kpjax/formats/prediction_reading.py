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
from kpjax.formats.predictions import OK, UNREADABLE, UNSURE, PredictionTable, empty_table
from kpjax.formats.project import LARGEST, on_frame, refuse
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
# points from the first frame to the last; one wrong number of a frame gives more
_MOST = 100_000_000


class _Found(NamedTuple):
    """What a file says of a video."""

    name: str
    source: Path
    skeleton: Skeleton
    #: by frame, in the file's order, and animal: (K, 3) x, y, score; kpjax's own (K, 5), 1 where a
    #: point is outside, and where it is unsure
    points: Mapping[int, Mapping[str, np.ndarray]]
    times: Mapping[int, float] = {}
    sizes: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


def read_predictions(path: Path) -> PredictionTable:
    """Reads the predictions of one video, with a row for each frame from the first to the last.

    The step between frames is the largest that reaches all of the file. Frames that it lacks have
    the status `unreadable` and no points, as have points without coordinates; so has an animal that
    is not on a frame.
    """
    path, faults = Path(path), []
    if not path.is_file() or path.suffix.lower() in VIDEO_SUFFIXES:
        raise InputError(
            f"{path}: no file of predicted points; name a .csv, .h5 or .slp of {_KNOWN}"
        )
    if sleap.kind_of(path):
        found = _of_sleap(path, faults)
    elif path.suffix.lower() == ".h5" or has_table_header(path):
        found = _of_table(path, faults)
    else:
        found = _of_csv(path, faults)
    refuse(path, faults)
    frames = list(found.points)
    if not frames:
        raise InputError(f"{path}: there is no frame in it; predict again")
    steps = np.diff(frames)
    if (steps <= 0).any():
        at = int((steps <= 0).argmax())
        raise InputError(
            f"{path}: frame {frames[at + 1]} comes after frame {frames[at]}; sort the rows by frame"
        )
    step = int(np.gcd.reduce(steps)) if len(steps) else 1
    animals = {
        name: place
        for place, name in enumerate(
            dict.fromkeys(name for of_frame in found.points.values() for name in of_frame)
        )
    } or {"0": 0}
    rows = (frames[-1] - frames[0]) // step + 1
    if rows * len(animals) * len(found.skeleton.names) > _MOST:
        gap = f"frames {frames[0]} to {frames[-1]} would be {rows:,} rows"
        raise InputError(f"{path}: {gap}; correct the numbers of frames, or give it in parts")
    numbers = np.arange(frames[0], frames[-1] + 1, step)
    known = np.array([found.times.get(frame, np.nan) for frame in frames], np.float64)
    title = re.sub("[^A-Za-z0-9]+", "_", path.name.split(".")[0].split("DLC_")[-1])
    times = np.interp(numbers, frames, known) if np.isfinite(known).all() else None
    table = empty_table(
        found.source,
        [found.name] * rows,
        numbers,
        found.skeleton,
        title,
        times=times,
        instances=tuple(animals),
    )
    table = table._replace(notes=found.notes)
    table.sizes[:] = found.sizes
    for frame, of_frame in found.points.items():
        row = (frame - frames[0]) // step
        for animal, values in of_frame.items():
            within = np.abs(values) <= LARGEST  # nan is not
            there = within[:, :2].all(1)
            table.keypoints[row, animals[animal]] = np.where(there[:, None], values[:, :2], np.nan)
            table.scores[row, animals[animal]] = np.where(there & within[:, 2], values[:, 2], 0)
            table.outside[row, animals[animal]] = there & (values[:, 3:4] == 1).any(1)
            table.unsure[row, animals[animal]] = there & (values[:, 4:] == 1).any(1)
            table.status[row, animals[animal]] = OK if there.any() else UNREADABLE
    if found.sizes[0]:
        table.outside[:] = np.isfinite(table.keypoints).all(-1) & ~on_frame(
            table.keypoints, found.sizes
        )
    return table


def _of_csv(path: Path, faults: list[str]) -> _Found:
    """Returns the points of a long table: kpjax's, or movement's, whose rows may have one of x and y,
    and whose times are numbers of frames, or seconds from one to the next.
    """
    table = read_rows(path, faults, (*_COLUMNS, *_OTHER_COLUMNS, *_OF_MOVEMENT))
    has = {_OF_MOVEMENT.get(column, column) for column in table.columns}
    of_movement = "video" not in has and {"keypoint", "instance"} <= has >= {"time"}
    if "image" in has and "video" not in has:
        raise _of_images(path, "it has points")
    if not of_movement and (missing := table.lacks(*_COLUMNS)):
        raise InputError(
            f"{path}: no column {missing[0]}, as predictions of kpjax have; give a file of {_KNOWN}"
        )
    if of_movement:
        table = table._replace(
            rows=tuple(
                row._replace(
                    cells={_OF_MOVEMENT.get(key, key): row.cells[key] for key in row.cells}
                )
                for row in table.rows
            )
        )
    points: dict[int, dict[str, dict[str, tuple[float, ...]]]] = {}
    names, videos, times, last = {}, {}, {}, None
    step = _step_of_times(table) if of_movement else 1.0
    for row in table.rows:
        keypoint, space = row.get("keypoint"), row.get("space")
        time = row.number("time") if "time" in has else math.nan
        frame = _frame_at(row, time / step) if of_movement else row.frame()
        if frame is None or space not in ("", "x", "y"):
            continue
        if frame in points and frame != last and not of_movement:
            raise InputError(
                f"{row.where}: frame {frame} comes after frame {last}; sort the rows by frame"
            )
        videos[row.get("video")] = last = frame
        names.setdefault(keypoint)
        of_animal = points.setdefault(frame, {}).setdefault(row.cells.get("instance", "0"), {})
        column = {axis: "position" if space == axis else axis for axis in "xy"}
        values = *(row.number(column[axis]) for axis in "xy"), row.number("score")
        status = row.get("status")
        values = *values, status == "outside", status == UNSURE
        known = of_animal.get(keypoint)
        if known and not (space and math.isnan(known["xy".index(space)])):
            row.fault(f"{keypoint} of frame {frame} is there already; delete one")
        elif known:
            values = tuple(
                new if math.isnan(old) else old for old, new in zip(known, values, strict=True)
            )
        of_animal[keypoint] = values
        if not math.isnan(time):
            times[frame] = time
    if len(videos) > 1:
        faults.append(f"it has points of {len(videos)} videos; give a file for each")
    empty = (math.nan,) * 5
    arrays = {
        frame: {
            animal: np.array([of_animal.get(name, empty) for name in names]).reshape(-1, 5)
            for animal, of_animal in of_frame.items()
        }
        for frame, of_frame in (sorted(points.items()) if of_movement else points.items())
    }
    name = forward(next(iter(videos), "") or path.stem)
    source = f"{name}.mp4" if of_movement else PurePosixPath(name).name
    stamps = {} if of_movement and step == 1 else times
    return _Found(name, path.parent / source, Skeleton(tuple(names)), arrays, stamps)


def _step_of_times(table: Rows) -> float:
    """Returns the step between the times of movement's table; 1 where they are numbers of frames."""
    times = np.unique([number(row.get("time"), "", []) for row in table.rows])
    whole = len(times) < 2 or not np.isfinite(times).all() or (times == times.round()).all()
    return 1.0 if whole else float(np.diff(times).min())


def _frame_at(row: Row, steps: float) -> int | None:
    """Returns the number of a frame, after so many steps; None, with a fault, without a time."""
    if math.isfinite(steps):
        return round(steps)
    row.fault("no time; give that of the frame", "time")
    return None


def _of_table(path: Path, faults: list[str]) -> _Found:
    table = read_table(path, path.name, faults)
    if table.coordinates != ("x", "y", "likelihood"):
        raise InputError(
            f"{path}: it has labels, no predictions (no likelihood); name a file of predicted points"
        )
    # Corners of a cage, which an image has once, are no animal.
    single, notes = [place for place, (one, _) in enumerate(table.points) if one == SINGLE], ()
    if 0 < len(single) < len(table.points):
        once = ", ".join(table.points[place][1] for place in single)
        notes = (f"{count_text(len(single), 'unique body part')} ({once}) of no animal: left out",)
        table = table._replace(
            points=tuple(point for point in table.points if point[0] != SINGLE),
            values=np.delete(table.values, single, axis=1),
        )
    animals, names = (list(dict.fromkeys(column)) for column in zip(*table.points, strict=True))
    values = np.full((len(table.keys), len(animals), len(names), 3), np.nan)
    for place, (animal, part) in enumerate(table.points):
        values[:, animals.index(animal), names.index(part)] = table.values[:, place]
    points: dict[int, dict[str, np.ndarray]] = {}
    for key, of_frame in zip(table.keys, values, strict=True):
        frame = whole_number(str(key))
        if frame is None:
            raise _of_images(path, f"row {key!r:.60} is an image")
        if frame in points:
            raise InputError(
                f"{path}: frame {frame} occurs twice; sort the rows by frame, each once"
            )
        points[frame] = {
            animal or "0": found for animal, found in zip(animals, of_frame, strict=True)
        }
    name = path.stem.split("DLC_", 1)[0] or path.stem
    return _Found(name, path.parent / f"{name}.mp4", Skeleton(tuple(names)), points, notes=notes)


def _of_sleap(path: Path, faults: list[str]) -> _Found:
    kind, labels = sleap.kind_of(path), sleap.load(path)
    predicted = sorted(
        (one for one in labels.labeled_frames if one.predicted_instances),
        key=lambda one: one.frame_idx,
    )
    videos = {id(one.video): one.video for one in predicted}
    if len(videos) != 1:
        raise InputError(
            f"{path}: it has predictions on {len(videos)} videos; give a file for each"
        )
    video = next(iter(videos.values()))
    if isinstance(video.filename, list):
        raise _of_images(path, "it has points")
    skeleton = sleap.skeleton_in(path, labels, [])
    points: dict[int, dict[str, np.ndarray]] = {}
    with foreign(path, "save it again with its tool"):
        for one in predicted:
            frame = int(one.frame_idx)
            of_frame = points.setdefault(frame, {})
            for place, instance in enumerate(one.predicted_instances):
                animal = instance.track.name if instance.track else str(place)
                if animal in of_frame:
                    faults.append(
                        f"frame {frame} has two animals called {animal!r:.60}; give each its own track"
                    )
                of_frame[animal] = sleap.points_of(instance, skeleton.names)
                if np.isinf(of_frame[animal]).any():
                    faults.append(
                        f"frame {frame}: a number of {animal!r:.60} is infinite; correct or delete it"
                    )
        shape = dict(video.backend_metadata).get("shape")
        size = (int(shape[2]), int(shape[1])) if shape and len(shape) == 4 else (0, 0)
        # a csv names none
        file = Path(forward(f"{path.stem}.mp4" if kind == "csv" else video.filename))
    source = file if file.is_file() else path.parent / file.name
    return _Found(file.name, source, Skeleton(skeleton.names, skeleton.edges), points, sizes=size)


def _of_images(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: {what}; points of images are given where frames of a video in their order are needed"
    )
