"""Labels as one plain csv table, for spreadsheets and short scripts.

Long: a row for each point, with the columns `image` (or `video` and `frame`), `keypoint`, `x`, `y`,
and optionally `instance` (0), `visible` (1), `occluded` (0), `track`, `box_x`, `box_y`, `box_w`,
`box_h`, `split` and `session`.
Wide: a row for each image and instance, with `<keypoint>_x` and `<keypoint>_y` for each keypoint.
Coordinates count from 0 at the centre of the top-left pixel, boxes from its outer corner. An empty
cell is an unlabelled point. A row without a keypoint names an unlabelled frame. Keypoints are in
order of appearance, or in that of a skeleton.json beside the table.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError
from kpjax.files import write_text
from kpjax.formats import names as naming
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import (
    UNLABELLED,
    Frame,
    Project,
    Report,
    by_frame,
    instance_of,
)
from kpjax.formats.tables import (
    ONE_OF_TWO,
    Key,
    Row,
    Rows,
    first_line,
    read_rows,
    rows_text,
    separator_of,
)

_FILE = "labels.csv"
_BOX = ("box_x", "box_y", "box_w", "box_h")
_POINT = ("keypoint", "x", "y", "visible", "occluded")
_KNOWN = ("image", "video", "frame", "instance", "track", "split", "session", *_BOX)
_PREDICTED = ("score", "status")  # columns that only predictions have
Point = tuple[float, float, str, str]  # x, y, visible and occluded, each "", 0 or 1
_NO_POINT: Point = (math.nan, math.nan, "0", "")


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a table, or the only table of a folder.

    Images are below the table's folder. Videos are there or below the option `video_root`, under as
    many of the last parts of their stored path as exist.
    """
    file = naming.only_file(path, files_of(path), "tables of labels")
    rows = read_rows(file, report, (*_KNOWN, *_POINT, *_PREDICTED))
    if not rows.lacks(*_PREDICTED):
        raise InputError(
            f"{file.name}: columns score and status are not labels; correct the points and remove both"
        )
    animals, frames, names = _read_rows(rows, report.at(file.name))
    skeleton = naming.read_skeleton(file.parent, names, report)
    numbers, instances = {key: at for at, key in enumerate(frames)}, []
    for one in animals:
        found = [one.points.get(name, _NO_POINT) for name in skeleton.names]
        points = [UNLABELLED if visible == "0" else (x, y) for x, y, visible, _ in found]
        hidden = [flag == "1" for *_, flag in found]
        instances.append(
            instance_of(
                numbers[one.frame],
                np.array(points, np.float64),
                occluded=np.array(hidden),
                box=one.box,
                track=one.track,
            )
        )
    placed = _frames(file.parent, frames, options.video_folder)
    return Project(file.parent, "csv", skeleton, placed, instances)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.csv and skeleton.json, and returns their paths.

    Names of images are those of their frames.
    """
    rows = []
    for frame, instances in zip(project.frames, by_frame(project), strict=True):
        place = {"split": frame.split, "session": frame.session}
        if frame.number is None:
            place["image"] = frame.name
        else:
            place |= {"video": frame.name.rpartition("/")[0], "frame": frame.number}
        rows += [] if instances else [place]
        for count, one in enumerate(instances):
            sides = dict(zip(_BOX, one.box.tolist(), strict=True)) if one.boxed else {}
            animal = {**place, **sides, "instance": count, "track": one.track, "visible": 1}
            for k in np.flatnonzero(one.seen).tolist():
                x, y = one.keypoints[k].tolist()
                point = {"keypoint": project.skeleton.names[k], "x": x, "y": y}
                rows.append({**animal, **point, "occluded": int(one.occluded[k])})
    first = ("image", "video", "frame", "split", "session", "instance", "track")
    columns = [
        column
        for column in (*first, *_POINT, *_BOX)
        if column in ("instance", *_POINT) or any(row.get(column, "") != "" for row in rows)
    ]
    rows = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    return [
        write_text(folder / _FILE, rows_text(rows)),
        write_text(folder / naming.SKELETON, naming.skeleton_text(project.skeleton)),
    ]


def files_of(path: Path) -> list[Path]:
    """Returns the table itself, or the tables in a folder that are not predictions."""
    found = []
    for file in naming.shown_files(path, "*.csv"):
        header = first_line(file)
        columns = {cell.strip().strip('"').lower() for cell in header.split(separator_of(header))}
        placed = "image" in columns or {"video", "frame"} <= columns
        # A long table that lost a column is recognised, so that the missing column can be named.
        long = {"keypoint", "x", "y"} <= columns or (
            placed and ("keypoint" in columns or {"x", "y"} <= columns)
        )
        wide = placed and any(
            name.endswith("_x") and name[:-2] + "_y" in columns for name in columns
        )
        found += [file] * ((long or wide) and (path.is_file() or not set(_PREDICTED) <= columns))
    return found


class _Animal(NamedTuple):
    """Everything that a table says about one instance."""

    frame: Key
    track: str
    box: np.ndarray
    points: dict[str, Point]


def _read_rows(rows: Rows, report: Report) -> tuple[list[_Animal], dict[Key, Row], list[str]]:
    """Returns instances, the first row of each frame, and keypoints in order of appearance."""
    is_long, columns = "keypoint" in rows.columns, rows.columns
    paired = [one[:-2] for one in columns if one.endswith("_x") and f"{one[:-2]}_y" in columns]
    wide = [] if is_long else [name for name in paired if name != "box"]
    used = {*_KNOWN, *(_POINT if is_long else ())}
    used |= {f"{name}_{field}" for name in wide for field in _POINT[1:]}
    if ignored := [column for column in columns if column and column not in used]:
        report.notes.append(f"columns that are not read: {', '.join(ignored)}")
    missing = rows.lacks("x", "y") if is_long else []
    if not is_long and not wide:
        missing.append("keypoint, and no pair <keypoint>_x and <keypoint>_y")
    if rows.lacks("image") and rows.lacks("video", "frame"):
        missing.append("image (or video and frame)")
    if missing:
        raise InputError(
            f"{report.place} line 1: no column {', '.join(missing)}; add it to the header and the rows"
        )
    animals: dict[tuple[Key, str], _Animal] = {}
    frames, names, firsts = {}, dict.fromkeys(wide), {}
    for row in rows.rows:
        if (key := row.place()) is None:
            continue
        frames.setdefault(key, row)
        instance = row.get("instance") or row.get("track") or "0"
        for owner, fields in (
            (key, ("video", "split", "session")),
            ((key, instance), ("track", *_BOX)),
        ):
            first = firsts.setdefault(owner, row)
            for field in fields:
                if row.get(field) not in ("", first.get(field)):
                    line = first.report.place.removeprefix(report.place)
                    row.fault(
                        f"{row.get(field)!r}, but {first.get(field)!r} in{line}; make them equal",
                        field,
                    )
        for name in wide or [row.get("keypoint")]:
            point = _point(row, name, "" if is_long else f"{name}_")
            if not name:
                continue
            names.setdefault(name)
            what = f"{name} of instance {instance}" if is_long else f"instance {instance}"
            if (first := firsts.setdefault((key, instance, what), row)) is not row:
                line = first.report.place.removeprefix(report.place)
                row.fault(f"{what} is in{line} too; delete one")
                break
            if (key, instance) not in animals:
                track = row.get("track") or ("" if instance.isdecimal() else instance)
                box = np.array([row.number(name) for name in _BOX])
                animals[key, instance] = _Animal(key, track, box, {})
            animals[key, instance].points[name] = point
    return list(animals.values()), frames, list(names)


def _point(row: Row, name: str, prefix: str) -> Point:
    """Returns a point; nan, with a fault, if its cells contradict."""
    x, y = (row.number(prefix + axis) for axis in "xy")
    flags = []
    for field in ("visible", "occluded"):
        cell = row.get(prefix + field)
        flags.append({"true": "1", "false": "0"}.get(cell.lower(), cell.removesuffix(".0")))
        if name and flags[-1] not in ("", "0", "1"):
            row.fault(f"{cell!r} where 0 or 1 belongs; correct the cell", f"{name}, {field}")
            return _NO_POINT
    if math.isinf(x) or math.isinf(y):
        pass  # a fault already
    elif not name and not (math.isnan(x) and math.isnan(y)):
        row.fault(f"empty; name the point at ({x:g}, {y:g})", "keypoint")
    elif math.isnan(x) != math.isnan(y):
        row.fault(ONE_OF_TWO, name)
    return x, y, *flags


def _frames(root: Path, rows: Mapping[Key, Row], video_root: Path | None) -> list[Frame]:
    images = iter(naming.image_frames([name for name, at in rows if at is None], root, [root]))
    beside = [root, *filter(None, [video_root])]
    videos = dict.fromkeys(name for name, at in rows if at is not None)
    paths = {name: naming.found_by_trailing_parts(name, beside) or root / name for name in videos}
    found, short = [], naming.recordings({row.get("video") for row in rows.values()})
    for (name, at), row in rows.items():
        if at is None:
            frame = next(images)._replace(session=short.get(row.get("video"), ""))
        else:
            frame = Frame(f"{name}/{at}", paths[name], at, session=name)
        split = naming.split_of(row.get("split"), row.report)
        session = row.get("session") or frame.session
        found.append(frame._replace(split=split, session=session))
    return found
