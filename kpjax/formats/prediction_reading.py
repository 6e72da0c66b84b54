"""Predicted points of videos and images, from the files that `predict` writes and from those of
other tools.

- kpjax's csv, with the columns video and frame, or image, and instance, keypoint, x, y and score.
- DeepLabCut's, Lightning Pose's and EKS's csv, and DeepLabCut's .h5: header rows bodyparts and
coords with a likelihood; a row is a frame of the video after which the file is called, or an image.
- What sleap-io reads with predicted instances, which a track or their order on a frame tells apart:
  SLEAP's .slp, its csv and its analysis .h5, JABS, NWB.
- COCO results, beside the file that lists their images.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.errors import count_text
from kpjax.files import foreign
from kpjax.formats import coco, sleap
from kpjax.formats.deeplabcut import SINGLE
from kpjax.formats.names import forward, json_of
from kpjax.formats.predictions import OK, PredictionTable, empty_table
from kpjax.formats.project import LARGEST, Report, refuse
from kpjax.formats.tables import (
    has_table_header,
    read_rows,
    read_table,
    whole_number,
)
from kpjax.images.reading import VIDEO_SUFFIXES

_COLUMNS = ("keypoint", "x", "y", "score")
_OTHER_COLUMNS = ("video", "frame", "image", "instance")
_KNOWN = "kpjax, DeepLabCut, Lightning Pose, EKS or SLEAP, or COCO results"
_EMPTY = [math.nan] * 3
# by frame, animal and keypoint: x, y and score
_Points = dict[int, dict[str, dict[str, list[float]]]]


class _Found(NamedTuple):
    """What a file says of a video, or of images."""

    name: str
    source: Path
    skeleton: Skeleton
    points: Mapping[int, Mapping[str, np.ndarray]]  # (K, 3) x, y, score by frame and animal
    images: Sequence[str] = ()  # their names, whose places stand for numbers of frames


def read_predictions(path: Path, beside: Path | None = None) -> tuple[PredictionTable, ...]:
    """Reads predictions: a table for each video, with a row for each frame that the file has, in
    order, and one for all images.

    Animals without any point on a frame have the status `unreadable`. Animals that no track tells
    apart are called after their order on a frame.

    beside: of COCO results, a project that may list their images. Raises InputError for anything
    else.
    """
    path = Path(path)
    report = Report("", [], [])
    if not path.is_file() or path.suffix.lower() in VIDEO_SUFFIXES:
        raise InputError(
            f"{path}: no file of predicted points; name a .csv, .h5, .slp or .json of {_KNOWN}"
        )
    if sleap.kind_of(path):
        found = _of_sleap(path, report)
    elif path.suffix.lower() == ".json":
        found = _of_coco(path, beside, report)
    elif path.suffix.lower() == ".h5" or has_table_header(path):
        found = [_of_table(path, report)]
    else:
        found = _of_csv(path, report)
    refuse(path, report.faults)
    found = [one for one in found if one.points]
    if not found:
        raise InputError(f"{path}: there is no frame in it; predict again")
    return tuple(_table_of(path, one, report.notes) for one in found)


def _table_of(path: Path, found: _Found, notes: Sequence[str]) -> PredictionTable:
    """Returns what a file says of a video, or of images, as a table."""
    frames = sorted(found.points)
    names = dict.fromkeys(name for frame in frames for name in found.points[frame])
    animals = {name: place for place, name in enumerate(names or ["0"])}
    stem = path.name.split(".")[0]
    title = re.sub("[^A-Za-z0-9]+", "_", stem.split("DLC_")[-1])
    table = empty_table(
        found.source,
        found.images or [found.name] * len(frames),
        np.array(frames),
        found.skeleton,
        title,
        files=[Path(name) for name in found.images],
        instances=tuple(animals),
    )
    values = np.full((len(frames), len(animals), len(found.skeleton.names), 3), np.nan)
    for row, frame in enumerate(frames):
        for animal, one in found.points[frame].items():
            values[row, animals[animal]] = one
    there = (np.abs(values[..., :2]) <= LARGEST).all(-1)  # nan is not
    scored = there & (np.abs(values[..., 2]) <= LARGEST)
    return table._replace(
        notes=tuple(notes),
        keypoints=np.where(there[..., None], values[..., :2], np.nan),
        scores=np.where(scored, values[..., 2], 0),
        status=np.where(there.any(-1), OK, table.status),
    )


def _of_csv(path: Path, report: Report) -> list[_Found]:
    """Returns the points of kpjax's table."""
    table = read_rows(path, report, (*_COLUMNS, *_OTHER_COLUMNS))
    missing = table.lacks(*_COLUMNS, "image" if "image" in table.columns else "video")
    if missing:
        raise InputError(
            f"{path}: no column {missing[0]}, which predictions of kpjax have; give a file of {_KNOWN}"
        )
    of_file: dict[str | None, _Points] = {}  # by video; None of images
    images: dict[str, int] = {}
    names = dict.fromkeys(row.get("keypoint") for row in table.rows)
    for row in table.rows:
        video, frame = row.place() or ("", None)
        if not video:
            continue
        if frame is None:
            frame = images.setdefault(video, len(images))
            video = None
        animals = of_file.setdefault(video, {}).setdefault(frame, {})
        of_animal = animals.setdefault(row.cells.get("instance", "0"), {})
        keypoint = row.get("keypoint")
        if keypoint in of_animal:
            row.fault(f"{keypoint} of frame {frame} is there already; delete one")
        of_animal[keypoint] = [row.number(column) for column in _COLUMNS[1:]]
    found = []
    for video, of_frames in of_file.items():
        points = {}
        for frame, animals in of_frames.items():
            points[frame] = {
                animal: np.array([of_animal.get(name, _EMPTY) for name in names])
                for animal, of_animal in animals.items()
            }
        name = forward(video or path.stem)
        source = path.parent / PurePosixPath(name).name
        listed = () if video else tuple(images)
        found.append(_Found(name, source, Skeleton(tuple(names)), points, images=listed))
    return found


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
    keys = [str(key) for key in table.keys]
    frames = [whole_number(key) for key in keys]
    images = keys if None in frames else []
    found: dict[int, dict[str, np.ndarray]] = {}
    again = [key for key, times in Counter(keys).items() if times > 1]
    if again:
        raise InputError(f"{path}: frame {again[0]} occurs twice; delete one of its rows")
    for place, (frame, of_frame) in enumerate(zip(frames, values, strict=True)):
        found[place if images else frame] = dict(zip(titles, of_frame, strict=True))
    name = path.stem.split("DLC_", 1)[0] or path.stem
    source = path.parent / f"{name}.mp4"
    return _Found(name, source, Skeleton(tuple(names)), found, images=images)


def _of_coco(path: Path, beside: Path | None, report: Report) -> list[_Found]:
    """Returns the points of COCO results; images are listed in a file beside them, or in a project.

    Raises InputError if no file lists all of them.
    """
    results = json_of(path)
    with foreign(path, "give COCO results: a list of image_id, category_id, keypoints and score"):
        wanted = {one["image_id"] for one in results}
        categories = {one["category_id"] for one in results}
    listing = path.with_name(path.name.removesuffix(".json").removesuffix(".coco") + ".images.json")
    files = [listing, *coco.files_of(path.parent), *(coco.files_of(beside) if beside else ())]
    for file in filter(Path.is_file, files):
        content = json_of(file)
        with foreign(file, "give the file that lists the images of the results"):
            images = {one["id"]: one for one in content["images"]}
            named = {one["id"]: one.get("keypoints") for one in content["categories"]}
        if wanted <= set(images) and len(categories) == 1 and named.get(min(categories)):
            break
    else:
        raise InputError(
            f"{path}: no file beside it, nor of the project, lists the images and the one category of these "
            "results; put it there"
        )
    names = tuple(map(str, named[min(categories)]))
    of_file: dict[str | None, dict[int, dict[str, np.ndarray]]] = {}
    numbers: dict[str, int] = {}
    with foreign(path, "give COCO results: a list of image_id, category_id, keypoints and score"):
        for one in results:
            image = images[one["image_id"]]
            name, frame = str(image["file_name"]), image.get("frame")
            if frame is None:
                frame, name = numbers.setdefault(name, len(numbers)), None
            of_frame = of_file.setdefault(name, {}).setdefault(int(frame), {})
            animal = str(one.get("track", len(of_frame)))
            values = np.array(one["keypoints"], np.float64).reshape(len(names), 3)
            values[values[:, 2] <= 0] = np.nan  # as filler is written
            of_frame[animal] = values
    return [
        _Found(
            name or path.stem,
            path.parent / PurePosixPath(name or path.stem).name,
            Skeleton(names),
            points,
            images=() if name else tuple(numbers),
        )
        for name, points in of_file.items()
    ]


def _of_sleap(path: Path, report: Report) -> list[_Found]:
    kind = sleap.kind_of(path)
    labels = sleap.load(path)
    skeleton = sleap.skeleton_in(path, labels, Report(path.name, [], []))
    skeleton = Skeleton(skeleton.names, skeleton.edges)
    found = []
    images: dict[str, int] = {}
    of_images: dict[int, dict[str, np.ndarray]] = {}
    for video in labels.videos:
        listed = isinstance(video.filename, list)
        points = of_images if listed else {}
        with foreign(path, "save it again with its tool"):
            for one in labels.labeled_frames:
                if one.video is not video or not one.instances:
                    continue
                frame = int(one.frame_idx)
                if listed:
                    name = forward(video.filename[frame])
                    frame = images.setdefault(name, len(images))
                of_frame = points.setdefault(frame, {})
                # what a person corrected takes the place of what was predicted
                animals = [*one.user_instances, *one.unused_predictions]
                for place, instance in enumerate(animals):
                    animal = instance.track.name if instance.track else str(place)
                    if animal in of_frame:
                        report.faults.append(
                            f"frame {frame} has two animals called {animal!r:.60}; give each its own track"
                        )
                    of_frame[animal] = sleap.points_of(instance, skeleton.names)
            if listed:
                continue
            # a csv names none
            stored = f"{path.stem}.mp4" if kind == "csv" else video.filename
        file = Path(forward(stored))
        source = file if file.is_file() else path.parent / file.name
        found.append(_Found(file.name, source, skeleton, points))
    of_all = _Found(path.stem, path, skeleton, of_images, images=tuple(images))
    return [*found, of_all]
