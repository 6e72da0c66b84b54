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
from kpjax.formats.project import Frame, Project, by_frame, instance_of
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


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads a table, or the only table of a folder.

    Images are below the table's folder. Videos are there or below the option `video_root`, under as
    many of the last parts of their stored path as exist.
    """
    file = naming.only_file(path, files_of(path), "tables of labels")
    rows = read_rows(file, faults, (*_KNOWN, *_POINT, *_PREDICTED))
    if not rows.lacks(*_PREDICTED):
        raise InputError(
            f"{file.name}: columns score and status are not labels; correct the points and remove both"
        )
    animals, frames, names, notes = _read_rows(rows, file.name)
    if rows.separator != ",":
        notes.append(
            f"cells are separated by {'tabs' if rows.separator == chr(9) else 'semicolons'}"
        )
    skeleton = naming.read_skeleton(file.parent, names, notes, faults)
    graded = any(flag == "2" for one in animals for *_, flag, _ in one.points.values())
    if graded:
        notes.append("visible is 0, 1 or 2: 1 is taken to mean occluded, as in COCO")
    numbers, instances = {key: at for at, key in enumerate(frames)}, []
    for one in animals:
        keypoints, occluded = (
            np.full((len(skeleton.names), 2), np.nan),
            np.zeros(len(skeleton.names), bool),
        )
        for place, name in enumerate(skeleton.names):
            x, y, visible, hidden = one.points.get(name, (math.nan, math.nan, "0", ""))
            if not math.isnan(x + y) and visible != "0":
                keypoints[place] = x, y
                occluded[place] = hidden == "1" or (graded and visible == "1")
        instances.append(
            instance_of(
                numbers[one.frame], keypoints, occluded=occluded, box=one.box, track=one.track
            )
        )
    return Project(
        file.parent,
        "csv",
        skeleton,
        tuple(_frames(file.parent, frames, options.video_folder)),
        tuple(one for one in instances if one.visible.any()),
        tuple(notes),
    )


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.csv and skeleton.json, and returns their paths.

    Names of images are those of their frames.
    """
    rows = []
    for frame, instances in zip(project.frames, by_frame(project), strict=True):
        place = (
            {"image": frame.name}
            if frame.number is None
            else {"video": frame.name.rpartition("/")[0], "frame": frame.number}
        )
        place |= {"split": frame.split, "session": frame.session}
        rows += [] if instances else [place]
        for count, one in enumerate(instances):
            box = (
                dict(zip(_BOX, one.box.tolist(), strict=True)) if np.isfinite(one.box).all() else {}
            )
            for k in np.flatnonzero(one.visible > 0).tolist():
                x, y = one.keypoints[k].tolist()
                rows.append(
                    {
                        **place,
                        **box,
                        "instance": count,
                        "track": one.track,
                        "keypoint": project.skeleton.names[k],
                        "x": x,
                        "y": y,
                        "visible": 1,
                        "occluded": int(one.occluded[k]),
                    }
                )
    columns = [
        column
        for column in (
            "image",
            "video",
            "frame",
            "split",
            "session",
            "instance",
            "track",
            *_POINT,
            *_BOX,
        )
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
    points: dict[str, tuple[float, float, str, str]]  # x, y, visible and occluded of each keypoint


def _read_rows(
    rows: Rows, label: str
) -> tuple[list[_Animal], dict[Key, Row], list[str], list[str]]:
    """Returns instances, the first row of each frame, keypoints in order of appearance, and
    notes."""
    is_long = "keypoint" in rows.columns
    wide = (
        []
        if is_long
        else [
            column[:-2]
            for column in rows.columns
            if column.endswith("_x") and f"{column[:-2]}_y" in rows.columns and column not in _BOX
        ]
    )
    used = {
        *_KNOWN,
        *(_POINT if is_long else (f"{name}_{field}" for name in wide for field in _POINT[1:])),
    }
    ignored = [column for column in rows.columns if column and column not in used]
    notes = [f"columns that are not read: {', '.join(ignored)}"] if ignored else []
    missing = (
        rows.lacks("x", "y")
        if is_long
        else []
        if wide
        else ["keypoint, and no pair <keypoint>_x and <keypoint>_y"]
    )
    missing += (
        ["image (or video and frame)"]
        if rows.lacks("image") and rows.lacks("video", "frame")
        else []
    )
    if missing:
        raise InputError(
            f"{label} line 1: no column {', '.join(missing)}; add it to the header and the rows"
        )
    animals: dict[tuple[Key, str], _Animal] = {}
    frames, names, places, firsts = {}, dict.fromkeys(wide), {}, {}
    for row in rows.rows:
        if (key := row.place()) is None:
            continue
        frames.setdefault(key, row)
        instance = row.get("instance") or row.get("track") or "0"
        for owner, columns in (
            (key, ("video", "split", "session")),
            ((key, instance), ("track", *_BOX)),
        ):
            first = firsts.setdefault(owner, row)
            for column in columns:
                if row.get(column) not in ("", first.get(column)):
                    row.fault(
                        f"{row.get(column)!r}, but {first.get(column)!r} in{first.where.removeprefix(label)}; "
                        "make them equal",
                        column,
                    )
        for name in wide or [row.get("keypoint")]:
            point = _point(row, name, "" if is_long else f"{name}_")
            if not name:
                continue
            names.setdefault(name)
            what = f"{name} of instance {instance}" if is_long else f"instance {instance}"
            if (first := places.setdefault((key, what), row.where)) != row.where:
                row.fault(
                    f"{what} of {' '.join(str(part) for part in key if part is not None)} is in"
                    f"{first.removeprefix(label)} too; delete one"
                )
                break
            if (key, instance) not in animals:
                track = row.get("track") or ("" if instance.isdecimal() else instance)
                animals[key, instance] = _Animal(key, track, _box(row), {})
            animals[key, instance].points[name] = point
    return list(animals.values()), frames, list(names), notes


def _point(row: Row, name: str, prefix: str) -> tuple[float, float, str, str]:
    """Returns x, y, visible ("", 0, 1 or 2) and occluded of a point; nan, with a fault, if they
    contradict.
    """
    x, y = (row.number(prefix + axis) for axis in "xy")
    flags = []
    for field, known in (("visible", ("", "0", "1", "2")), ("occluded", ("", "0", "1"))):
        cell = row.get(prefix + field)
        flags.append({"true": "1", "false": "0"}.get(cell.lower(), cell.removesuffix(".0")))
        if name and flags[-1] not in known:
            row.fault(f"{cell!r} where 0 or 1 belongs; correct the cell", f"{name}, {field}")
            return math.nan, math.nan, "0", ""
    if math.isinf(x) or math.isinf(y):  # a fault already
        return math.nan, math.nan, *flags
    if not name and not (math.isnan(x) and math.isnan(y)):
        row.fault(f"empty; name the point at ({x:g}, {y:g})", "keypoint")
    elif math.isnan(x) != math.isnan(y):
        row.fault(ONE_OF_TWO, name)
    elif math.isnan(x) and flags[0] in ("1", "2"):
        row.fault(f"visible is {flags[0]} and x and y are empty; give both, or visible 0", name)
    return x, y, *flags


def _box(row: Row) -> np.ndarray:
    if not set(_BOX) <= set(row.cells):
        return np.full(4, np.nan)
    box = np.array([row.number(name) for name in _BOX])
    if np.isnan(box).any() and not np.isnan(box).all():
        row.fault(
            "empty; give all four numbers of the box or none", _BOX[int(np.isnan(box).argmax())]
        )
    elif not np.isnan(box).any() and not (box[2:] > 0).all():
        row.fault(f"{box[2]:g} and {box[3]:g}; both must be positive", "box_w, box_h")
    return np.where(np.isnan(box).any(), np.nan, box)


def _frames(root: Path, rows: Mapping[Key, Row], video_root: Path | None) -> list[Frame]:
    images = iter(naming.image_frames([name for name, at in rows if at is None], root, [root]))
    beside = [root, *filter(None, [video_root])]
    videos = {
        name: naming.found_by_trailing_parts(name, beside) or root / name
        for name in dict.fromkeys(name for name, at in rows if at is not None)
    }
    found, short = [], naming.recordings({row.get("video") for row in rows.values()})
    for (name, at), row in rows.items():
        frame = (
            next(images) if at is None else Frame(f"{name}/{at}", videos[name], at, (0, 0), name)
        )
        if (split := row.get("split").lower()) not in ("", *naming.SPLITS):
            row.fault(
                f"{split!r} where train, validation or test belongs; correct the cell", "split"
            )
        found.append(
            frame._replace(
                split=naming.SPLITS.get(split, ""),
                session=row.get("session")
                or (short.get(row.get("video"), "") if at is None else name),
            )
        )
    return naming.with_sessions(found)
