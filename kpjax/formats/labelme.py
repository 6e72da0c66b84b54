"""LabelMe's labels: a json for each image, with its points and perhaps rectangles around animals.

Points of one `group_id` are of one animal. A point without one belongs to the smallest rectangle
without one around it; without rectangles, all such points of an image are of one animal. Pixels
count from the corner of the first. sleap-io reads no LabelMe.
"""

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.files import foreign
from kpjax.formats.coco import read_start
from kpjax.formats.names import (
    forward,
    image_frames,
    json_of,
    read_skeleton,
    shown_files,
    with_sessions,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Project, instance_of

_WORDS = (b'"shapes"', b'"imagePath"')


def files_of(path: Path) -> list[Path]:
    """Returns LabelMe's files at a path, two levels down at most; those that end early, too, if
    another is whole.
    """
    shapes, images = _WORDS
    found = {
        file: images in content
        for file in shown_files(path, "*.json", "*/*.json", "*/*/*.json")
        if (content := read_start(file)).lstrip()[:1] == b"{" and shapes in content
    }
    return [*found] if any(found.values()) else []


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads all files of a folder, or one of them.

    Images lie where their file says, or beside it. Keypoints are in order of appearance, or in that
    of a skeleton.json in the folder. Shapes that are neither points nor rectangles are left out,
    with a note.
    """
    root, notes, skipped = (path if path.is_dir() else path.parent), [], Counter()
    stored, sizes, shapes, names = [], [], [], {}
    for file in files_of(path):
        with foreign(file.name, "save it again with LabelMe"):
            content = json_of(file)
            image = file.parent.relative_to(root) / forward(content["imagePath"])
            stored.append(Path(os.path.normpath(image)).as_posix())
            sizes.append(
                (int(content.get("imageWidth") or 0), int(content.get("imageHeight") or 0))
            )
            shapes.append((file.name, content["shapes"]))
            for one in content["shapes"]:
                kind = one.get("shape_type", "polygon")
                if kind == "point":
                    names.setdefault(str(one["label"]))
                elif kind != "rectangle":
                    skipped[kind] += 1
    skeleton = read_skeleton(root, list(names), notes, faults)
    frames = [
        frame._replace(size=size)
        for frame, size in zip(image_frames(stored, root, [root]), sizes, strict=True)
    ]
    instances = []
    for number, (label, found) in enumerate(shapes):
        with foreign(label, "save it again with LabelMe"):
            boxes = _boxes(found)
            animals: dict[Any, np.ndarray] = {}
            for one in (one for one in found if one.get("shape_type") == "point"):
                point = np.array(one["points"][0], np.float64)
                owner = _owner(one.get("group_id"), point, boxes)
                points = animals.setdefault(owner, np.full((len(skeleton.names), 2), np.nan))
                place = skeleton.names.index(str(one["label"]))
                if np.isfinite(points[place]).all():
                    faults.append(
                        f"{label}: {one['label']!r} occurs twice; tell animals apart by their group id"
                    )
                if not np.isfinite(point).all():
                    faults.append(
                        f"{label}: x or y of {one['label']!r} is no number; place it again"
                    )
                points[place] = point
        instances += [
            instance_of(number, points, box=boxes.get(owner)) for owner, points in animals.items()
        ]
    if skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in skipped.items())
        notes.append(f"shapes that are neither points nor rectangles, left out: {kinds}")
    return Project(
        root,
        "labelme",
        skeleton,
        tuple(with_sessions(frames)),
        tuple(instances),
        tuple(notes),
        tool="LabelMe",
    )


def _boxes(shapes: list[dict[str, Any]]) -> dict[Any, np.ndarray]:
    """Returns (4,) x, y, width, height of each rectangle by its group id, or by its place among those
    without one."""
    boxes = {}
    for place, one in enumerate(one for one in shapes if one.get("shape_type") == "rectangle"):
        corners, group = np.array(one["points"], np.float64), one.get("group_id")
        edges = np.concatenate([corners.min(0), np.ptp(corners, axis=0)])
        boxes[("rectangle", place) if group is None else group] = edges
    return boxes


def _owner(group: int | None, point: np.ndarray, boxes: dict[Any, np.ndarray]) -> Any:
    """Returns the key of the animal that a point belongs to; None of the only one."""
    around = {
        key: math.prod(box[2:])
        for key, box in boxes.items()
        if isinstance(key, tuple) and ((box[:2] <= point) & (point <= box[:2] + box[2:])).all()
    }
    return min(around, key=around.get, default=None) if group is None else group
