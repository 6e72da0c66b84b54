"""Labels as one plain csv table, for spreadsheets and short scripts.

Long: a row for each point, with the columns `image` (or `video` and `frame`), `keypoint`, `x`, `y`,
and optionally `instance` (0), `visible` (1), `occluded` (0), `track`, `box_x`, `box_y`, `box_w`,
`box_h`, `split` and `session`.
Wide: a row for each image and instance, with `<keypoint>_x` and `<keypoint>_y` for each keypoint.
Coordinates count from 0 at the centre of the top-left pixel, boxes from its outer corner. An empty
cell is an unlabelled point. A row without a keypoint names an unlabelled frame. Keypoints are in
the natural order of their names, or in that of a skeleton.json beside the table.
"""

import math
from collections.abc import Collection, Mapping
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
# columns that only predictions have, and errors of a run
_FOUND_BY_A_NETWORK = (("score", "status"), ("score", "true_x"))
_TRUTH = {"true": "1", "false": "0"}  # as spreadsheets write them
Point = tuple[float, float, str, str]  # x, y, visible and occluded, each "", 0 or 1
_NO_POINT: Point = (math.nan, math.nan, "0", "")


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a table, or the only table of a folder.

    Images are below the table's folder. Videos are there or below the option `video_root`, under as
    many of the last parts of their stored path as exist.
    """
    file = naming.only_file(path, files_of(path), "tables of labels")
    if said := found_by_a_network(columns_of(file)):
        raise InputError(
            f"{file.name}: points with {said} are not labels; correct them and remove these columns"
        )
    rows = read_rows(file, report, (*_KNOWN, *_POINT))
    doubts: list[str] = []
    animals, frames, names = _read_rows(rows, report.at(file.name), doubts)
    skeleton = naming.read_skeleton(file.parent, names, report)
    numbers = {key: at for at, key in enumerate(frames)}
    instances = []
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
    return Project(file.parent, "csv", skeleton, placed, instances, doubts=doubts)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.csv and skeleton.json of a project of images, and returns their paths.

    Names of images are those of their frames.
    """
    names = project.skeleton.names
    rows = [["image", "session", "instance", "keypoint", "x", "y"]]
    for frame, instances in zip(project.frames, by_frame(project), strict=True):
        place = [frame.name, frame.session]
        if not instances:
            rows.append([*place, "", "", "", ""])
        for count, one in enumerate(instances):
            for k in np.flatnonzero(one.seen).tolist():
                rows.append([*place, count, names[k], *one.keypoints[k].tolist()])
    return [
        write_text(folder / _FILE, rows_text(rows)),
        write_text(folder / naming.SKELETON, naming.skeleton_text(project.skeleton)),
    ]


def files_of(path: Path) -> list[Path]:
    """Returns the table itself, or the tables in a folder that are not predictions."""
    found = []
    for file in naming.shown_files(path, "*.csv"):
        columns = columns_of(file)
        named = "keypoint" in columns
        # predictions, errors of a run, and boxes of animals lie beside labels, and are none
        is_other = found_by_a_network(columns) or (_has_boxes_alone(columns) and not named)
        if path.is_dir() and is_other:
            continue
        placed = "image" in columns or {"video", "frame"} <= columns
        has_points = {"x", "y"} <= columns
        # A long table that lost a column is recognised, so that the missing column can be named.
        is_long = (placed and (named or has_points)) or (named and has_points)
        is_wide = placed and bool(_pairs_in(columns))
        if is_long or is_wide:
            found.append(file)
    return found


def columns_of(file: Path) -> set[str]:
    """Returns the names of a table's columns, in lower case."""
    header = first_line(file)
    names = header.split(separator_of(header))
    return {name.strip().strip('"').lower() for name in names}


def found_by_a_network(columns: Collection[str]) -> str:
    """Returns the columns that say so, in words; "" for a table of labels."""
    for others in _FOUND_BY_A_NETWORK:
        if set(others) <= set(columns):
            return " and ".join(others)
    return ""


def lacks_to_be_labels(path: Path) -> str:
    """Returns what a table of points lacks to be one of labels, the first one of a folder; "" where
    there is no table of points."""
    for file in naming.shown_files(path, "*.csv"):
        columns = columns_of(file)
        if said := found_by_a_network(columns):
            return (
                f"{file.name} has points with {said}, which are not labels: correct them, and save them "
                f"without these columns as {_FILE}"
            )
        if {"x", "y"} <= columns or _pairs_in(columns):
            return (
                f"{file.name} has the columns {', '.join(sorted(columns))}, and a table of labels has "
                "image, keypoint, x, y"
            )
    return ""


def _has_boxes_alone(columns: Collection[str]) -> bool:
    sides = {"w", "h"} <= set(columns) or {"width", "height"} <= set(columns)
    return sides and not _pairs_in(columns)


def _pairs_in(columns: Collection[str]) -> list[str]:
    """Returns the names with a column of x and one of y."""
    names = [column.removesuffix("_x") for column in columns if column.endswith("_x")]
    return [name for name in names if f"{name}_y" in columns]


class _Animal(NamedTuple):
    """Everything that a table says about one instance."""

    frame: Key
    track: str
    box: np.ndarray
    points: dict[str, Point]


def _read_rows(
    rows: Rows, report: Report, doubts: list[str]
) -> tuple[list[_Animal], dict[Key, Row], list[str]]:
    """Returns instances, the first row of each frame, and the names of keypoints."""
    columns = rows.columns
    is_long = "keypoint" in columns
    used = {*_KNOWN}
    wide = []
    if is_long:
        used |= {*_POINT}
    else:
        wide = [name for name in _pairs_in(columns) if name != "box"]
        used |= {f"{name}_{field}" for name in wide for field in _POINT[1:]}
    ignored = [column for column in columns if column and column not in used]
    if ignored:
        report.notes.append(f"columns that are not read: {', '.join(ignored)}")
    halves = [column for column in ignored if column.endswith(("_x", "_y"))]
    if halves:
        doubts.append(
            f"{report.place}: no column of the other coordinate beside {', '.join(halves)}: not read; correct the "
            "header"
        )
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
    frames = {}
    names = set(wide)
    firsts = {}
    for row in rows.rows:
        key = row.place()
        if key is None:
            continue
        frames.setdefault(key, row)
        instance = row.get("instance") or row.get("track") or "0"
        of_frame = ("video", "split", "session")
        of_animal = ("track", *_BOX)
        for owner, fields in ((key, of_frame), ((key, instance), of_animal)):
            first = firsts.setdefault(owner, row)
            line = first.report.place.removeprefix(report.place)
            for field in fields:
                cell = row.get(field)
                expected = first.get(field)
                if cell not in ("", expected):
                    row.fault(f"{cell!r}, but {expected!r} in{line}; make them equal", field)
        for name in wide or [row.get("keypoint")]:
            point = _point(row, name, "" if is_long else f"{name}_")
            if not name:
                continue
            names.add(name)
            what = f"{name} of instance {instance}" if is_long else f"instance {instance}"
            first = firsts.setdefault((key, instance, what), row)
            if first is not row:
                line = first.report.place.removeprefix(report.place)
                row.fault(f"{what} is in{line} too; delete one")
                break
            if (key, instance) not in animals:
                track = row.get("track") or ("" if instance.isdecimal() else instance)
                box = np.array([row.number(name) for name in _BOX])
                animals[key, instance] = _Animal(key, track, box, {})
            animals[key, instance].points[name] = point
    return list(animals.values()), frames, naming.in_natural_order(names)


def _point(row: Row, name: str, prefix: str) -> Point:
    """Returns a point; nan, with a fault, if its cells contradict."""
    x = row.number(f"{prefix}x")
    y = row.number(f"{prefix}y")
    flags = []
    for field in ("visible", "occluded"):
        cell = row.get(prefix + field)
        flag = _TRUTH.get(cell.lower(), cell.removesuffix(".0"))
        if name and flag not in ("", "0", "1"):
            row.fault(f"{cell!r} where 0 or 1 belongs; correct the cell", f"{name}, {field}")
            return _NO_POINT
        flags.append(flag)
    if math.isinf(x) or math.isinf(y):
        pass  # a fault already
    elif not name and not (math.isnan(x) and math.isnan(y)):
        row.fault(f"empty; name the point at ({x:g}, {y:g})", "keypoint")
    elif math.isnan(x) != math.isnan(y):
        row.fault(ONE_OF_TWO, name)
    elif math.isnan(x) and flags[0] == "1":
        row.fault("visible is 1 and x and y are empty; give both, or visible 0", name)
    return x, y, *flags


def _frames(root: Path, rows: Mapping[Key, Row], video_root: Path | None) -> list[Frame]:
    stored = [name for name, at in rows if at is None]
    images = iter(naming.image_frames(stored, root, [root]))
    beside = [root] if video_root is None else [root, video_root]
    videos = dict.fromkeys(name for name, at in rows if at is not None)
    paths = {name: naming.found_by_trailing_parts(name, beside) or root / name for name in videos}
    short = naming.recordings({row.get("video") for row in rows.values()})
    found = []
    for (name, at), row in rows.items():
        if at is None:
            session = short.get(row.get("video"), "")
            frame = next(images)._replace(session=session)
        else:
            frame = Frame(f"{name}/{at}", paths[name], at, session=name)
        split = naming.split_of(row.get("split"), row.report)
        session = row.get("session") or frame.session
        found.append(frame._replace(split=split, session=session))
    return found
