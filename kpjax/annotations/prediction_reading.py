"""Predicted points of one video, from the files that `predict` writes and from those of other tools.

- kpjax's csv, with the columns video, frame, instance, keypoint, x, y and score.
- DeepLabCut's and Lightning Pose's csv, and DeepLabCut's .h5: header rows bodyparts and coords with a likelihood.
- SLEAP's .slp with predicted instances, which a track or their order on a frame tells apart.
- COCO results `<name>.coco.json` with `<name>.images.json` beside them, as `predict` writes them.
"""
import itertools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from kpjax.annotations import sleap
from kpjax.annotations.hdf5_process import check_readable
from kpjax.annotations.names import forward
from kpjax.annotations.predictions import OK, UNREADABLE, PredictionTable, empty_table
from kpjax.annotations.tables import has_table_header, number, read_rows, read_table, whole_number
from kpjax.errors import InputError, summarise
from kpjax.files import read_content
from kpjax.structures import Skeleton

LARGEST = 1e6  # px, of a coordinate
MOST_FRAMES = 10_000_000  # between the first and the last one


class _Found(NamedTuple):
    """What a file says of a video."""

    name: str
    source: Path
    skeleton: Skeleton
    points: Mapping[int, Mapping[str, np.ndarray]]  # by frame, in the file's order, and animal: (K, 3) x, y, score
    times: Mapping[int, float]
    sizes: tuple[int, int] = (0, 0)


def read_predictions(path: Path) -> PredictionTable:
    """Reads the predictions of one video, with a row for each frame from the first to the last.

    The step between frames is the smallest in the file. Frames that it lacks have the status `unreadable` and no
    points, as have points without coordinates; so has an animal that is not on a frame.

    Raises InputError for a file of another kind, of images, of several videos, without a score, whose frames are out of
    order, and that names all rows that are wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a file of predicted points")
    ending = path.suffix.lower()
    if ending == ".slp":
        found = _of_sleap(path)
    elif ending == ".json":
        found = _of_coco(path)
    elif ending == ".h5" or (ending == ".csv" and has_table_header(path)):
        found = _of_table(path)
    elif ending == ".csv":
        found = _of_csv(path)
    else:
        raise InputError(f"{path}: predictions are .csv, .h5, .slp or .coco.json; name one of these")
    return _dense(found, path)


def _dense(found: _Found, path: Path) -> PredictionTable:
    frames = list(found.points)
    if not frames:
        raise InputError(f"{path}: there is no frame in it; predict again")
    steps = np.diff(frames)
    if (steps <= 0).any():
        at = int((steps <= 0).argmax())
        raise InputError(f"{path}: frame {frames[at + 1]} comes after frame {frames[at]}; sort the rows by frame, each "
                         "once")
    step = int(np.gcd.reduce(steps)) if len(steps) else 1
    if (frames[-1] - frames[0]) // step >= MOST_FRAMES:
        raise InputError(f"{path}: frames {frames[0]} to {frames[-1]}; no video is so long, correct the numbers")
    numbers = np.arange(frames[0], frames[-1] + 1, step)
    animals = tuple(dict.fromkeys(name for of_frame in found.points.values() for name in of_frame)) or ("0",)
    known = np.array([found.times.get(frame, np.nan) for frame in frames], np.float64)
    title = re.sub("[^A-Za-z0-9]+", "_", path.name.split(".")[0].split("DLC_")[-1])
    times = np.interp(numbers, frames, known) if np.isfinite(known).all() else None
    table = empty_table(found.source, [found.name] * len(numbers), numbers, found.skeleton, title, times=times,
                        instances=animals, boxes=None)
    table.sizes[:] = found.sizes
    for frame, of_frame in found.points.items():
        row = (frame - frames[0]) // step
        for animal, values in of_frame.items():
            at = animals.index(animal)
            there = np.isfinite(values[:, :2]).all(1) & (np.abs(values[:, :2]) <= LARGEST).all(1)
            table.keypoints[row, at] = np.where(there[:, None], values[:, :2], np.nan)
            table.scores[row, at] = np.where(there, np.nan_to_num(values[:, 2]), 0)
            table.status[row, at] = OK if there.any() else UNREADABLE
    if found.sizes[0]:
        table.outside[:] = ~((table.keypoints >= -0.5) & (table.keypoints <= np.array(found.sizes) - 0.5)).all(-1)
        table.outside[~np.isfinite(table.keypoints).all(-1)] = False
    return table


def _of_csv(path: Path) -> _Found:
    faults: list[str] = []
    rows = read_rows(path, faults)
    header = () if rows is None else tuple(name.lower() for name in rows.header)
    if rows is not None and "image" in header and "video" not in header:
        raise InputError(f"{path}: it has points of images; frames of a video in their order are needed")
    if rows is not None and (missing := [name for name in ("video", "frame", "keypoint", "x", "y", "score")
                                         if name not in header]):
        raise InputError(f"{path}: no column {missing[0]}; predictions have video, frame, keypoint, x, y and score")
    if rows is None:
        raise InputError(f"{path}: {summarise(faults)}")
    column = {name: at for at, name in enumerate(header)}
    points: dict[int, dict[str, dict[str, tuple[float, ...]]]] = {}
    names: dict[str, int] = {}
    videos: dict[str, None] = {}
    times: dict[int, float] = {}
    last = None
    for line, cells in rows.rows:
        frame = whole_number(cells[column["frame"]])
        if frame is None:
            faults.append(f"line {line}, frame: {cells[column['frame']]!r:.40} where a number from 0 belongs")
            continue
        videos[cells[column["video"]]] = None
        if frame in points and frame != last:
            raise InputError(f"{path}: frame {frame} comes after frame {last} in line {line}; sort the rows by frame")
        last = frame
        animal = cells[column["instance"]] if "instance" in column else "0"
        keypoint = cells[column["keypoint"]]
        names.setdefault(keypoint, len(names))
        values = tuple(number(cells[column[name]], f"line {line}, {name}", faults, rows.separator)
                       for name in ("x", "y", "score"))
        of_animal = points.setdefault(frame, {}).setdefault(animal, {})
        if keypoint in of_animal:
            faults.append(f"line {line}: {keypoint} of frame {frame} is there already; delete one")
        of_animal[keypoint] = values
        if "time" in column:
            times[frame] = number(cells[column["time"]], f"line {line}, time", faults, rows.separator)
    if faults:
        raise InputError(f"{path}: {summarise(faults)}")
    if len(videos) > 1:
        raise InputError(f"{path}: it has points of {len(videos)} videos; give a file for each")
    count, order = len(names), list(names)
    arrays = {frame: {animal: np.array([of_animal.get(name, (math.nan,) * 3) for name in order]).reshape(count, 3)
                      for animal, of_animal in of_frame.items()} for frame, of_frame in points.items()}
    name = forward(next(iter(videos), path.stem))
    return _Found(name, path.parent / PurePosixPath(name).name, Skeleton(tuple(order)), arrays, times)


def _of_table(path: Path) -> _Found:
    faults: list[str] = []
    table = read_table(path, path.name, faults)
    if table is None or faults:
        raise InputError(f"{path}: {summarise(faults)}")
    if table.coordinates != ("x", "y", "likelihood"):
        raise InputError(f"{path}: it has labels, no predictions (no likelihood); name a file of predicted points")
    numbers = [whole_number(str(key).removesuffix(".0")) for key in table.keys]
    if None in numbers:
        raise InputError(f"{path}: row {table.keys[numbers.index(None)]!r:.60} is an image; frames of a video in their "
                         "order are needed")
    if repeated := [one for one, other in itertools.pairwise(numbers) if other == one]:
        raise InputError(f"{path}: frame {repeated[0]} is there twice; keep one of its rows")
    individuals = list(dict.fromkeys(individual for individual, _ in table.points))
    names = list(dict.fromkeys(part for _, part in table.points))
    points: dict[int, dict[str, np.ndarray]] = {}
    for frame, values in zip(numbers, table.values, strict=True):
        if frame in points:
            raise InputError(f"{path}: frame {frame} is there twice; sort the rows by frame, each once")
        of_frame = points[frame] = {name or "0": np.full((len(names), 3), np.nan) for name in individuals}
        for (individual, part), value in zip(table.points, values, strict=True):
            of_frame[individual or "0"][names.index(part)] = value
    name = path.stem.split("DLC_", 1)[0] or path.stem
    return _Found(name, path.parent / f"{name}.mp4", Skeleton(tuple(names)), points, {})


def _of_sleap(path: Path) -> _Found:
    sio = sleap.library()
    check_readable(path)
    try:
        labels = sio.load_slp(str(path), open_videos=False)
    except Exception as error:  # HDF5 and sleap-io raise many kinds on a damaged file
        raise InputError(f"{path} cannot be read as a SLEAP file ({' '.join(str(error).split())[:200]}); save it again "
                         "with SLEAP") from None
    predicted = [one for one in labels.labeled_frames if one.predicted_instances]
    videos = {id(one.video): one.video for one in predicted}
    if len(videos) != 1 or len(labels.skeletons) != 1:
        raise InputError(f"{path}: it has predictions on {len(videos)} videos, of {len(labels.skeletons)} skeletons; "
                         "give a file for each")
    video, stored = next(iter(videos.values())), labels.skeletons[0]
    if isinstance(video.filename, list):
        raise InputError(f"{path}: it has points of images; frames of a video in their order are needed")
    points: dict[int, dict[str, np.ndarray]] = {}
    for one in sorted(predicted, key=lambda one: int(one.frame_idx)):
        of_frame = points.setdefault(int(one.frame_idx), {})
        for place, instance in enumerate(one.predicted_instances):
            xy = np.array(instance.points["xy"], np.float64)
            scores = np.array(instance.points["score"], np.float64)
            _add(of_frame, instance.track.name if instance.track else str(place), np.column_stack([xy, scores]), path,
                 int(one.frame_idx))
    names = tuple(stored.node_names)
    edges = tuple((int(a), int(b)) for a, b in stored.edge_inds)
    shape = video.backend_metadata.get("shape") if isinstance(video.backend_metadata, dict) else None
    size = (int(shape[2]), int(shape[1])) if shape and len(shape) == 4 else (0, 0)
    file = PurePosixPath(forward(video.filename))
    return _Found(file.name, Path(file), Skeleton(names, edges), points, {}, size)


def _add(of_frame: dict[str, np.ndarray], animal: str, values: np.ndarray, path: Path, frame: int) -> None:
    """Adds an animal to those of a frame. Raises InputError if there is one of that name."""
    if animal in of_frame:
        raise InputError(f"{path}: frame {frame} has two animals called {animal!r:.60}; give each its own track")
    of_frame[animal] = values


def _of_coco(path: Path) -> _Found:
    beside = path.with_name(path.name.removesuffix(".coco.json") + ".images.json")
    if not path.name.endswith(".coco.json") or not beside.is_file():
        raise InputError(f"{path}: results are read as <name>.coco.json with <name>.images.json beside it, as predict "
                         "writes them")
    try:
        results, listed = (json.loads(read_content(file)) for file in (path, beside))
        names = tuple(listed["categories"][0]["keypoints"])
        edges = tuple((a - 1, b - 1) for a, b in listed["categories"][0].get("skeleton", ()))
        images = {one["id"]: one for one in listed["images"]}
        if any("frame" not in one for one in images.values()):
            raise InputError(f"{path}: it has points of images; frames of a video in their order are needed")
        points: dict[int, dict[str, np.ndarray]] = {int(one["frame"]): {} for one in images.values()}
        for one in results:
            values = np.asarray(one["keypoints"], np.float64).reshape(len(names), 3)
            values[values[:, 2] == 0] = np.nan
            of_frame = points[int(images[one["image_id"]]["frame"])]
            frame = int(images[one["image_id"]]["frame"])
            _add(of_frame, str(one.get("track", one.get("track_id", len(of_frame)))), values, path, frame)
        first: Mapping[str, Any] = next((one for one in images.values() if one["width"]), {"width": 0, "height": 0})
        times = {int(one["frame"]): float(one["time"]) for one in images.values() if "time" in one}
        name = str(listed["images"][0]["file_name"])
        return _Found(name, path.parent / PurePosixPath(name).name, Skeleton(names, edges), points, times,
                      (int(first["width"]), int(first["height"])))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no results of `predict` ({' '.join(repr(error).split())[:80]}); predict again"
                         ) from None
