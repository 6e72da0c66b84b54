"""Boxes around the animals on frames with several, from COCO, Lightning Pose or a plain table.

A box is (x, y, width, height) of its edges in pixels of the frame, pixel 0 spanning 0 to 1.

- COCO json with `images` and `annotations`. Boxes of crowds are left out; those of one image count
from 0.
- A csv with columns x, y, w, h in any order (or width and height, box_x, ...), and `image`, or
  `video` and `frame`, or the image's path in the first column, as in `bbox.csv` of Lightning Pose.
  `instance` names the animals of a frame.
"""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from kpjax.errors import InputError
from kpjax.files import foreign
from kpjax.formats.names import forward, json_of
from kpjax.formats.project import Report, is_box, refuse
from kpjax.formats.tables import Key, read_rows

BOXES = "give a file with a box for each animal and frame: COCO json, or csv with video, frame, instance, x, y, w, h"
_SIDES = (("x", "box_x"), ("y", "box_y"), ("w", "width", "box_w"), ("h", "height", "box_h"))
_KEYS = ("image", "video", "frame", "instance")
Boxes = dict[Key, dict[str, np.ndarray]]


def read_boxes(path: Path) -> Boxes:
    """Reads the boxes (4,) float64 of a file, by image or frame and name of the instance. Raises
    InputError that names all wrong rows, or if there is no box or known format."""
    path = Path(path)
    report = Report("", [], [])
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a file with boxes")
    read = _of_coco if path.suffix.lower() == ".json" else boxes_of_table
    with foreign(path):
        found = read(path, report)
    refuse(path, report.faults)
    if not found:
        raise InputError(f"{path}: there is no box in it; give a file with a box for each animal")
    return found


def boxes_of(file: Path, frames: Sequence[Key]) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads the names of the I animals and (N, I, 4) float64 boxes of N frames, nan where there is
    none, from a file.

    An image or a video is found by the last parts of its path: the file may have more or fewer
    folders. Raises InputError if that leaves two of them, or two of the file's, for one.
    """
    boxes = read_boxes(file)
    by_name = defaultdict(dict)
    for path, number in boxes:
        by_name[PurePosixPath(path).name, number is None][path] = None
    given = {path for path, _ in frames}
    owners: dict[str, str] = {}  # which of the given ones a path of the file was found for

    @functools.cache
    def stored(path: str, is_image: bool) -> str | None:
        known = by_name.get((PurePosixPath(path).name, is_image), ())
        if path in known:
            return path
        fitting = [one for one in known if one not in given and _end_alike(one, path)]
        if len(fitting) > 1:
            raise InputError(
                f"{file}: {path} may be {fitting[0]} or {fitting[1]}; name a parent folder"
            )
        if not fitting:
            return None
        owner = owners.setdefault(fitting[0], path)
        if owner != path:
            raise InputError(f"{file}: {fitting[0]} may be {owner} or {path}; name a parent folder")
        return fitting[0]

    found = []
    for path, number in frames:
        key = (stored(path, number is None), number)
        found.append(boxes.get(key, {}))
    if not any(found):
        paths = list(dict.fromkeys(path for path, _ in boxes))
        known = ", ".join(paths[:3])
        raise InputError(
            f"{file}: no box belongs to one of the {len(frames)} frames ({frames[0][0]}, ...); it "
            f"has boxes of {known}"
        )
    instances = tuple(dict.fromkeys(name for of_frame in found for name in of_frame))
    stacked = np.full((len(found), len(instances), 4), np.nan)
    for row, of_frame in enumerate(found):
        for place, name in enumerate(instances):
            if name in of_frame:
                stacked[row, place] = of_frame[name]
    return instances, stacked


def _end_alike(path: str, other: str) -> bool:
    """Returns whether one of two paths is the end of the other."""
    path = f"/{path}"
    other = f"/{other}"
    return path.endswith(other) or other.endswith(path)


def _of_coco(path: Path, report: Report) -> Boxes:
    found: Boxes = {}
    with foreign(path, "give a whole COCO file, with images and annotations"):
        content = json_of(path)
        images = content["images"]
        boxed = []
        for one in content["annotations"]:
            if one.get("bbox") and not one.get("iscrowd"):
                boxed.append(one)
        names = {image["id"]: forward(image["file_name"]) for image in images}
        if len(names) < len(images):
            raise InputError(f"{path}: two images have the same id; give every image its own")
        categories = {one.get("category_id") for one in boxed}
        if len(categories) > 1:
            raise InputError(
                f"{path}: it has boxes of several categories; keep those of the animals"
            )
        for one in boxed:
            name = names[one["image_id"]]
            box = _checked(one["bbox"], report.at(f"a box of {name}"))
            if box is None:
                continue
            of_image = found.setdefault((name, None), {})
            of_image[str(len(of_image))] = box
    return found


def boxes_of_table(path: Path, report: Report) -> Boxes:
    """Reads a table of boxes.

    report: Receives all wrong rows. Raises InputError if its header says too little.
    """
    known = {*_KEYS, *itertools.chain(*_SIDES)}
    table = read_rows(path, report, known)
    columns = list(table.columns)
    sides = []
    missing = []
    for names in _SIDES:
        there = [name for name in names if name in columns]
        if there:
            sides.append(there[0])
        else:
            missing.append(names[0])
    if missing:
        raise InputError(
            f"{path.name} line 1: its header is {','.join(columns)} and lacks {', '.join(missing)}; name the columns "
            "image (or video and frame), instance, x, y, w, h"
        )
    found: Boxes = {}
    column = "image" if {"image", "video"} & {*columns} else columns[0]
    for row in table.rows:
        before = len(report.faults)
        sizes = [row.number(side) for side in sides]
        if len(report.faults) > before or all(map(math.isnan, sizes)):
            continue
        box = _checked(sizes, row.report)
        key = row.place(column)
        if box is None or key is None:
            continue
        of_frame = found.setdefault(key, {})
        instance = str(len(of_frame))
        if "instance" in columns:
            instance = row.get("instance")
        if instance in of_frame:
            row.fault(f"a second box of instance {instance!r} on the same frame; rename one")
        of_frame[instance] = box
    return found


def _checked(box: Sequence[float], report: Report) -> np.ndarray | None:
    """Returns a box of four numbers; None, with a fault, for anything else."""
    found = np.array(box, np.float64)
    if is_box(found):
        return found
    report.fault(f"{list(box)!s:.60} where x, y and a positive width and height belong; correct it")
    return None
