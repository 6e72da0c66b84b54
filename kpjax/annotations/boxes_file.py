"""Where the animals are, for predictions on frames with several: boxes from COCO, Lightning Pose or a plain table.

A box is (x, y, width, height) of its edges in pixels of the frame, a pixel at 0 spanning 0 to 1.

- COCO json with `images` and `annotations`; boxes of crowds are left out, those of one image count from 0.
- `<video>_bbox.csv` of Lightning Pose: a row for each frame of the video, columns x, y, h, w.
- any other csv with columns x, y, w, h in any order (also width and height, box_x, ...), and `image`, or `video` and
  `frame`, or the image's path in the first column, as `bbox.csv` of Lightning Pose has it. `instance` tells several
  animals of one frame apart.
"""
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from kpjax.annotations.names import forward
from kpjax.errors import InputError, summarise

SIDES = {"x": ("x", "box_x"), "y": ("y", "box_y"), "width": ("w", "width", "box_w"), "height": ("h", "height", "box_h")}
OF_VIDEO = "_bbox"  # the end of the name of a table with a row for each frame
Key = tuple[str, int | None]  # an image's path, or a video's and the number of a frame


class Boxes(NamedTuple):
    """The boxes of one file."""

    path: Path
    of: Mapping[Key, Mapping[str, np.ndarray]]  # by image or frame and name of the instance: (4,) float64


def read_boxes(path: Path) -> Boxes:
    """The boxes in a file. Raises InputError that names all rows that are wrong, for a file without boxes, and for one
    in none of these formats."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"--boxes: {path} is no UTF-8; save the table as UTF-8") from None
    except OSError as error:
        raise InputError(f"--boxes: {path} cannot be read ({error.strerror}); name a file with boxes") from None
    faults: list[str] = []
    found = _of_coco(text, path, faults) if path.suffix.lower() == ".json" else _of_table(text, path, faults)
    if faults:
        raise InputError(f"{path}: {len(faults)} faults: {summarise(faults)}")
    if not found:
        raise InputError(f"{path}: there is no box in it; give a file with a box for each animal")
    return Boxes(path, found)


def boxes_of_images(boxes: Boxes, names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """(names of the instances, (N, I, 4) float64, nan where there is no box) of some images.

    An image is found by the last parts of its path: the file may know more or fewer folders. Raises InputError if no
    image has a box, or if two entries of the file could mean the same one.
    """
    by_last: dict[str, list[tuple[tuple[str, ...], Key]]] = {}
    for key in boxes.of:
        if key[1] is None:
            parts = PurePosixPath(key[0]).parts
            by_last.setdefault(parts[-1], []).append((parts, key))
    rows = [_entry(name, by_last, boxes) for name in names]
    if not any(rows):
        shown = ", ".join(list(by_last)[:3]) or "frames of videos only"
        raise InputError(f"{boxes.path}: none of its boxes is of one of the {len(names)} images ({names[0]}, ...); "
                         f"it has {shown}")
    return _stacked(rows)


def boxes_of_video(boxes: Boxes, name: str, numbers: Sequence[int] | np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The same of some frames of a video, which is found by its file's name, with or without the ending.

    Raises InputError if no frame has a box.
    """
    last = PurePosixPath(name).name
    videos = {video for video, number in boxes.of
              if number is not None and PurePosixPath(video).name in (last, PurePosixPath(last).stem)}
    rows = [next((boxes.of[video, int(number)] for video in videos if (video, int(number)) in boxes.of), {})
            for number in numbers]
    if not any(rows):
        known = sorted({video for video, number in boxes.of if number is not None})
        raise InputError(f"{boxes.path}: it has no box of a frame of {name} that is asked for; it has "
                         f"{'frames of ' + ', '.join(known[:3]) if known else 'images only'}")
    return _stacked(rows)


def _entry(name: str, by_last, boxes: Boxes) -> Mapping[str, np.ndarray]:
    """The boxes of the entry that shares most of the last parts of an image's path, {} without one."""
    wanted = PurePosixPath(name).parts
    fitting = []
    for parts, key in by_last.get(wanted[-1], ()):
        both = min(len(parts), len(wanted))
        if parts[-both:] == wanted[-both:]:
            fitting.append((both, key))
    most = max((shared for shared, _ in fitting), default=0)
    best = [key for shared, key in fitting if shared == most]
    if len(best) > 1:
        raise InputError(f"{boxes.path}: {name} may be {best[0][0]} or {best[1][0]}; give images by a folder further "
                         "up")
    return boxes.of[best[0]] if best else {}


def _stacked(rows: Sequence[Mapping[str, np.ndarray]]) -> tuple[tuple[str, ...], np.ndarray]:
    instances = tuple(dict.fromkeys(name for row in rows for name in row))
    if all(name.isdigit() for name in instances):
        instances = tuple(sorted(instances, key=int))
    found = np.full((len(rows), len(instances), 4), np.nan)
    for number, row in enumerate(rows):
        for column, name in enumerate(instances):
            if name in row:
                found[number, column] = row[name]
    return instances, found


def _of_coco(text: str, path: Path, faults: list[str]) -> dict[Key, dict[str, np.ndarray]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: this is no whole json file ({error}); write it again") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in
                                                ("images", "annotations")):
        raise InputError(f"{path}: images and annotations are needed, as COCO has them; a list of detections alone "
                         "does not name its images")
    names = {image.get("id"): forward(str(image.get("file_name", ""))) for image in content["images"]
             if isinstance(image, dict)}
    found: dict[Key, dict[str, np.ndarray]] = {}
    for number, annotation in enumerate(content["annotations"]):
        where = f"annotations[{number}]"
        if not isinstance(annotation, dict) or not names.get(annotation.get("image_id")):
            faults.append(f"{where}: its image_id is in no entry of images; mend or delete it")
        elif "bbox" in annotation and not annotation.get("iscrowd"):
            box = _checked(annotation["bbox"], where, faults)
            row = found.setdefault((names[annotation["image_id"]], None), {})
            if box is not None:
                row[str(len(row))] = box
    return found


def _of_table(text: str, path: Path, faults: list[str]) -> dict[Key, dict[str, np.ndarray]]:
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    sides = {side: next((header.index(name) for name in names if name in header), None)
             for side, names in SIDES.items()}
    if missing := [names[0] for side, names in SIDES.items() if sides[side] is None]:
        raise InputError(f"{path}: its header is {','.join(header) or 'empty'} and lacks {', '.join(missing)}; name "
                         "the columns image (or video and frame), instance, x, y, w, h")
    column = {name: header.index(name) for name in ("image", "video", "frame", "instance") if name in header}
    per_frame = path.stem.endswith(OF_VIDEO) and not {"image", "video"} & set(column)
    if "video" in column and "frame" not in column:
        raise InputError(f"{path}: there is a column video and none called frame; add the number of each frame from 0")
    if not per_frame and not column and min(sides.values()) == 0:
        raise InputError(f"{path}: nothing says of which image a box is; add a column image, or video and frame")
    found: dict[Key, dict[str, np.ndarray]] = {}
    for number, line in enumerate(lines[1:]):
        where = f"row {number + 2}"
        if len(line) < len(header):
            faults.append(f"{where}: {len(line)} cells, the header has {len(header)}; complete it")
            continue
        cells = [line[place].strip() for place in sides.values()]
        if all(cell.lower() in ("", "nan") for cell in cells):
            continue
        box = _checked(cells, where, faults)
        if per_frame:
            key = path.stem.removesuffix(OF_VIDEO), number
        elif "video" in column and line[column["video"]].strip():
            frame = line[column["frame"]].strip()
            if not frame.isdigit():
                faults.append(f"{where}, frame: {frame!r} is no number of a frame; count from 0")
                continue
            key = forward(line[column["video"]]), int(frame)
        else:
            key = forward(line[column.get("image", 0)]), None
        if not key[0]:
            faults.append(f"{where}: the name of its image is empty; fill it in")
        elif box is not None:
            row = found.setdefault(key, {})
            instance = line[column["instance"]].strip() if "instance" in column else str(len(row))
            if instance in row:
                faults.append(f"{where}: a second box of instance {instance!r} on the same frame; give each its own "
                              "name")
            row[instance] = box
    return found


def _checked(numbers: Sequence, where: str, faults: list[str]) -> np.ndarray | None:
    """A box of four numbers, None and a fault for anything else."""
    try:
        x, y, width, height = (float(number) for number in numbers)
    except (TypeError, ValueError):
        faults.append(f"{where}: {numbers!r} is no box; four numbers x, y, width, height are needed")
        return None
    if not all(math.isfinite(number) for number in (x, y, width, height)) or min(width, height) <= 0:
        faults.append(f"{where}: x {x:g}, y {y:g}, width {width:g}, height {height:g}; width and height must be "
                      "positive")
        return None
    return np.array([x, y, width, height])
