"""The rows of a plain table of labels as the points that they tell of, long or wide."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kpjax.projects.csv_rows import Rows, number
from kpjax.projects.names import forward

BOX = ("box_x", "box_y", "box_w", "box_h")
POINT = ("keypoint", "x", "y", "visible", "occluded")
KNOWN = ("image", "video", "frame", "instance", "track", "split", "session", *BOX)


class Point(NamedTuple):
    """A cell pair of the table. All fields are as written, but for x and y."""

    line: int
    keypoint: str
    x: float
    y: float
    visible: str
    occluded: str


class Labelled(NamedTuple):
    """All that the table says of one instance."""

    frame: tuple[str, str]  # picture and "", or video and number
    name: str
    track: str
    box: np.ndarray
    points: list[Point]


Points = tuple[list[Labelled], dict[tuple[str, str], int], list[str], list[str]]
# (instances, the first row of each frame, names of keypoints as they appear, columns that are not read)


def long_points(rows: Rows, label: str, faults: list[str]) -> Points:
    """A row is a point. label: what faults call the file."""
    columns = {column.lower(): at for at, column in enumerate(rows.header)}
    ignored = [column for column in rows.header if column.lower() not in (*KNOWN, *POINT)]
    missing = [column for column in ("keypoint", "x", "y") if column not in columns]
    if "image" not in columns and not {"video", "frame"} <= set(columns):
        missing.append("image (or video and frame)")
    if missing:
        faults.append(f"{label} line 1: no column {', '.join(missing)}; add it to the header and the rows")
        return [], {}, [], ignored
    labelled: dict[tuple[tuple[str, str], str], Labelled] = {}
    frames, names, lines = {}, {}, {}
    for at, (line, cells) in enumerate(rows.rows):
        key = _frame_key(cells, columns, f"{label} line {line}", faults)
        if key is None:
            continue
        frames.setdefault(key, at)
        keypoint, instance = cells[columns["keypoint"]], cell_of(cells, columns, "instance") or "0"
        x, y = (number(cells[columns[axis]], f"{label} line {line}, {axis}", rows, faults) for axis in "xy")
        if not keypoint:
            if not math.isnan(x) or not math.isnan(y):
                faults.append(f"{label} line {line}, keypoint: empty; name the point that lies at ({x:g}, {y:g})")
            continue
        names.setdefault(keypoint, None)
        if (first := lines.setdefault((key, instance, keypoint), line)) != line:
            faults.append(f"{label} line {line}: {keypoint} of instance {instance} of {' '.join(key).strip()} is in "
                          f"line {first} too; delete one")
            continue
        if (key, instance) not in labelled:
            track = cell_of(cells, columns, "track") or ("" if instance.isdecimal() else instance)
            labelled[key, instance] = Labelled(key, instance, track,
                                                _box(cells, columns, f"{label} line {line}", rows, faults), [])
        labelled[key, instance].points.append(Point(
            line, keypoint, x, y, cell_of(cells, columns, "visible"), cell_of(cells, columns, "occluded")))
    return list(labelled.values()), frames, list(names), ignored


def wide_points(rows: Rows, label: str, faults: list[str]) -> Points:
    """A row is an instance. label: what faults call the file."""
    columns = {column.lower() if column.lower() in KNOWN else column: at for at, column in enumerate(rows.header)}
    names = [column[:-2] for column in rows.header
             if column.endswith("_x") and f"{column[:-2]}_y" in columns and column not in BOX]
    used = {f"{name}_{field}" for name in names for field in ("x", "y", "visible", "occluded")}
    ignored = [column for column in rows.header if column.lower() not in KNOWN and column not in used]
    if not names:
        faults.append(f"{label} line 1: no column keypoint, and no pair <keypoint>_x and <keypoint>_y; add it to the "
                      "header and the rows")
        return [], {}, [], ignored
    labelled: dict[tuple[tuple[str, str], str], Labelled] = {}
    frames = {}
    for at, (line, cells) in enumerate(rows.rows):
        where = f"{label} line {line}"
        key = _frame_key(cells, columns, where, faults)
        if key is None:
            continue
        frames.setdefault(key, at)
        instance = cell_of(cells, columns, "instance") or "0"
        if (key, instance) in labelled:
            faults.append(f"{where}: instance {instance} of {' '.join(key).strip()} is in line "
                          f"{labelled[key, instance].points[0].line} too; delete one")
            continue
        track = cell_of(cells, columns, "track") or ("" if instance.isdecimal() else instance)
        points = [Point(line, name, *(number(cells[columns[f"{name}_{axis}"]], f"{where}, {name}_{axis}", rows, faults)
                                       for axis in "xy"),
                         cell_of(cells, columns, f"{name}_visible"), cell_of(cells, columns, f"{name}_occluded"))
                  for name in names]
        labelled[key, instance] = Labelled(key, instance, track, _box(cells, columns, where, rows, faults), points)
    return list(labelled.values()), frames, names, ignored


def cell_of(cells: Sequence[str], columns: dict[str, int], name: str) -> str:
    """A cell by the name of its column, empty if there is no such column."""
    return cells[columns[name]] if name in columns else ""


def _frame_key(cells: Sequence[str], columns: dict[str, int], where: str, faults: list[str]) -> tuple[str, str] | None:
    """(picture, "") or (video, number); None, and a fault, if a row names neither."""
    if image := cell_of(cells, columns, "image"):
        return forward(image), ""
    video, frame = cell_of(cells, columns, "video"), cell_of(cells, columns, "frame")
    if not video and "video" not in columns:
        faults.append(f"{where}, image: empty; name the picture, or delete the row")
    elif not video:
        faults.append(f"{where}, video: empty; name the video, or delete the row")
    elif not frame.removesuffix(".0").isdecimal():
        faults.append(f"{where}, frame: {frame!r} where the number of a frame belongs, counted from 0; mend it")
    else:
        return forward(video), str(int(frame.removesuffix(".0")))
    return None


def _box(cells, columns, where: str, rows: Rows, faults: list[str]) -> np.ndarray:
    if not all(name in columns for name in BOX):
        return np.full(4, np.nan)
    box = np.array([number(cells[columns[name]], f"{where}, {name}", rows, faults) for name in BOX])
    if np.isnan(box).any() and not np.isnan(box).all():
        faults.append(f"{where}, {BOX[int(np.isnan(box).argmax())]}: empty; give all four numbers of the box or none")
    elif not np.isnan(box).any() and not (box[2:] > 0).all():
        faults.append(f"{where}, box_w, box_h: {box[2]:g} and {box[3]:g}; both must be positive")
    return np.where(np.isnan(box).any(), np.nan, box)
