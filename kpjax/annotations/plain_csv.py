"""Labels as one plain csv table, for spreadsheets and short scripts.

Long: a row for each point, with the columns `image` (or `video` and `frame`), `keypoint`, `x`, `y`, and optionally
`instance` (0), `visible` (1), `occluded` (0), `track`, `box_x`, `box_y`, `box_w`, `box_h`, `split` and `session`.
Wide: a row for each image and instance, with `<keypoint>_x` and `<keypoint>_y` for each keypoint.
Coordinates count from 0 at the centre of the top-left pixel, boxes from its outer corner. An empty cell is an
unlabelled point. A row without a keypoint names an unlabelled frame. Keypoints are in order of appearance, or in that
of a skeleton.json beside the table.
"""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.names import common_folder, forward, found_by_trailing_parts, with_sessions
from kpjax.annotations.project import STATED, Frame, Instance, Options, Project
from kpjax.annotations.skeleton_file import FILE as SKELETON_FILE
from kpjax.annotations.skeleton_file import read_skeleton, skeleton_text
from kpjax.annotations.tables import Rows, first_line, number, read_rows, rows_text, separator_of, whole_number
from kpjax.files import write_text

_FILE = "labels.csv"
_BOX = ("box_x", "box_y", "box_w", "box_h")
_POINT = ("keypoint", "x", "y", "visible", "occluded")
_KNOWN = ("image", "video", "frame", "instance", "track", "split", "session", *_BOX)
_PREDICTED = ("score", "status")  # columns that only predictions have


def recognises(path: Path) -> bool:
    """Returns whether a path is such a table, or a folder that holds one."""
    return bool(files_of(path))


def read(path: Path, faults: list[str], options: Options = STATED) -> Project | None:
    """Reads a table, or the only table of a folder.

    Images are below the table's folder. Videos are there or below the option `video_root`, under as many of
    the last parts of their stored path as exist.
    """
    tables = files_of(path)
    if len(tables) != 1:
        faults.append(f"{path.name}: {len(tables)} tables of labels ({', '.join(table.name for table in tables[:8])}); "
                      "name one of them instead of the folder")
        return None
    file = tables[0]
    rows = read_rows(file, faults)
    if rows is None:
        return None
    if set(_PREDICTED) <= {column.lower() for column in rows.header}:
        faults.append(f"{file.name}: columns score and status mark predictions, which are not labels; correct the "
                      "points, then remove these two columns")
        return None
    labelled, frames, names, ignored = _read_points(rows, file.name, faults)
    notes = [f"columns that are not read: {', '.join(ignored)}"] if ignored else []
    if rows.separator != ",":
        notes.append(f"cells are separated by {'tabs' if rows.separator == chr(9) else 'semicolons'}")
    skeleton = read_skeleton(file.parent, names, notes, faults)
    if skeleton is None:
        return None
    graded = any(point.visible == "2" for one in labelled for point in one.points)
    if graded:
        notes.append("visible is 0, 1 or 2: 1 is taken to mean occluded, as in COCO")
    numbers = {key: number for number, key in enumerate(frames)}
    instances = [_instance(one, numbers[one.frame], skeleton.names, file.name, graded, faults) for one in labelled]
    return Project(file.parent, "csv", skeleton, tuple(_frames(file.parent, frames, rows, options.video_root)),
                   tuple(one for one in instances if one.visible.any()), tuple(notes))


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.csv and skeleton.json, and returns their paths. Names of images are those of their frames."""
    images = any(frame.number is None for frame in project.frames)
    videos = any(frame.number is not None for frame in project.frames)
    extra = [field for field in ("split", "session") if any(getattr(frame, field) for frame in project.frames)]
    tracked = ["track"] if any(one.track for one in project.instances) else []
    boxed = list(_BOX) if any(np.isfinite(one.box).all() for one in project.instances) else []
    columns = [*(["image"] if images or not videos else []), *(["video", "frame"] if videos else []), *extra,
               "instance", *tracked, *_POINT, *boxed]
    of_frame: list[list[Instance]] = [[] for _ in project.frames]
    for one in project.instances:
        of_frame[one.frame].append(one)
    rows = [columns]
    for frame, instances in zip(project.frames, of_frame, strict=True):
        cells = {"split": frame.split, "session": frame.session}
        if frame.number is None:
            cells["image"] = frame.name
        else:
            cells |= {"video": frame.name.rpartition("/")[0], "frame": frame.number}
        if not instances:
            rows.append([cells.get(column, "") for column in columns])
        for count, one in enumerate(instances):
            box = dict(zip(_BOX, one.box.tolist(), strict=True))
            for k in np.flatnonzero(one.visible > 0).tolist():
                x, y = one.keypoints[k].tolist()
                point = {"instance": count, "track": one.track, "keypoint": project.skeleton.names[k], "x": x, "y": y,
                         "visible": 1, "occluded": int(one.occluded[k])}
                rows.append([{**cells, **point, **box}.get(column, "") for column in columns])
    return [write_text(folder / _FILE, rows_text(rows)),
            write_text(folder / SKELETON_FILE, skeleton_text(project.skeleton))]


# Files

def files_of(path: Path) -> list[Path]:
    """Returns the table itself, or the tables in a folder that are not predictions."""
    if path.is_file():
        return [path] if path.suffix.lower() in (".csv", ".tsv", ".txt") and _looks_right(_columns(path)) else []
    columns = {file: _columns(file) for file in sorted(path.glob("*.csv"))}
    return [file for file, found in columns.items() if _looks_right(found) and not set(_PREDICTED) <= found]


def _columns(path: Path) -> set[str]:
    """Returns the names in the first line of a file in lower case; none if it cannot be read."""
    header = first_line(path) if path.is_file() else ""
    return {cell.strip().strip('"').lower() for cell in header.split(separator_of(header))}


def _looks_right(columns: set[str]) -> bool:
    if "image" not in columns and not {"video", "frame"} <= columns:
        # A table that lost a column is recognised, so that the missing column can be named.
        return {"keypoint", "x", "y"} <= columns
    return "keypoint" in columns or {"x", "y"} <= columns or any(
        column.endswith("_x") and column[:-2] + "_y" in columns for column in columns)


# Rows

class _Point(NamedTuple):
    line: int
    keypoint: str
    x: float
    y: float
    visible: str  # as written
    occluded: str  # as written


class _Labelled(NamedTuple):
    """Everything that a table says about one instance."""

    frame: tuple[str, str]  # image and "", or video and number
    track: str
    box: np.ndarray
    points: list[_Point]


def _read_points(
    rows: Rows, label: str, faults: list[str]
) -> tuple[list[_Labelled], dict[tuple[str, str], int], list[str], list[str]]:
    """Returns instances, each frame's first row, keypoints in order of appearance, and columns that are not read."""
    is_long = "keypoint" in {column.lower() for column in rows.header}
    known = (*_KNOWN, *_POINT) if is_long else _KNOWN
    columns = {column.lower() if column.lower() in known else column: at for at, column in enumerate(rows.header)}
    wide = [] if is_long else [column[:-2] for column in rows.header if column.endswith("_x")
                               and f"{column[:-2]}_y" in columns and column not in _BOX]
    used = {f"{name}_{field}" for name in wide for field in ("x", "y", "visible", "occluded")}
    ignored = [column for column in rows.header if column.lower() not in known and column not in used]
    missing = [column for column in ("x", "y") if is_long and column not in columns]
    if not is_long and not wide:
        missing.append("keypoint, and no pair <keypoint>_x and <keypoint>_y")
    if "image" not in columns and not {"video", "frame"} <= set(columns):
        missing.append("image (or video and frame)")
    if missing:
        faults.append(f"{label} line 1: no column {', '.join(missing)}; add it to the header and the rows")
        return [], {}, [], ignored
    labelled: dict[tuple[tuple[str, str], str], _Labelled] = {}
    frames, names, lines = {}, dict.fromkeys(wide), {}
    for at, (line, cells) in enumerate(rows.rows):
        where = f"{label} line {line}"
        key = _frame_key(cells, columns, where, faults)
        if key is None:
            continue
        frames.setdefault(key, at)
        instance = _cell(cells, columns, "instance") or "0"
        for name in wide or [_cell(cells, columns, "keypoint")]:
            prefix = "" if is_long else f"{name}_"
            x, y = (number(cells[columns[prefix + axis]], f"{where}, {prefix}{axis}", faults, rows.separator)
                    for axis in "xy")
            if not name:
                if not (math.isnan(x) and math.isnan(y)):
                    faults.append(f"{where}, keypoint: empty; name the point at ({x:g}, {y:g})")
                continue
            names.setdefault(name)
            what = f"{name} of instance {instance}" if is_long else f"instance {instance}"
            if (first := lines.setdefault((key, what), line)) != line:
                faults.append(f"{where}: {what} of {' '.join(key).strip()} is in line {first} too; delete one")
                break
            if (key, instance) not in labelled:
                track = _cell(cells, columns, "track") or ("" if instance.isdecimal() else instance)
                labelled[key, instance] = _Labelled(key, track, _box(cells, columns, where, rows, faults), [])
            labelled[key, instance].points.append(_Point(
                line, name, x, y, *(_cell(cells, columns, f"{prefix}{field}") for field in ("visible", "occluded"))))
    return list(labelled.values()), frames, list(names), ignored


def _cell(cells: Sequence[str], columns: dict[str, int], name: str) -> str:
    return cells[columns[name]] if name in columns else ""


def _frame_key(cells: Sequence[str], columns: dict[str, int], where: str, faults: list[str]) -> tuple[str, str] | None:
    """Returns (image, "") or (video, number); None, with a fault, if a row names neither."""
    if image := _cell(cells, columns, "image"):
        return forward(image), ""
    video, frame = _cell(cells, columns, "video"), _cell(cells, columns, "frame")
    if not video:
        field = "video" if "video" in columns else "image"
        faults.append(f"{where}, {field}: empty; name the {field}, or delete the row")
    elif (number_of_frame := whole_number(frame)) is None:
        faults.append(f"{where}, frame: {frame!r:.60} where the number of a frame belongs, counted from 0; correct it")
    else:
        return forward(video), str(number_of_frame)
    return None


def _box(cells: Sequence[str], columns: dict[str, int], where: str, rows: Rows, faults: list[str]) -> np.ndarray:
    if not all(name in columns for name in _BOX):
        return np.full(4, np.nan)
    box = np.array([number(cells[columns[name]], f"{where}, {name}", faults, rows.separator) for name in _BOX])
    if np.isnan(box).any() and not np.isnan(box).all():
        faults.append(f"{where}, {_BOX[int(np.isnan(box).argmax())]}: empty; give all four numbers of the box or none")
    elif not np.isnan(box).any() and not (box[2:] > 0).all():
        faults.append(f"{where}, box_w, box_h: {box[2]:g} and {box[3]:g}; both must be positive")
    return np.where(np.isnan(box).any(), np.nan, box)


# Frames and instances

def _frames(root: Path, frames: dict[tuple[str, str], int], rows: Rows, video_root: Path | None) -> list[Frame]:
    columns = {column.lower(): at for at, column in enumerate(rows.header)}
    images = [tuple(name.lstrip("/").split("/")) for name, frame in frames if not frame]
    folder, dropped = common_folder(images, [root]) if images else (root, 0)
    videos = {name: found_by_trailing_parts(name, [root, *([video_root] if video_root else [])]) or root / name
              for name, frame in frames if frame}
    found = []
    for (name, frame), at in frames.items():
        split, session = (_cell(rows.rows[at][1], columns, field) for field in ("split", "session"))
        if frame:
            found.append(Frame(f"{name}/{frame}", videos[name], int(frame), (0, 0), session or name, split))
        else:
            path = folder.joinpath(*name.lstrip("/").split("/")[dropped:])
            found.append(Frame(path.relative_to(root).as_posix(), path, None, (0, 0), session, split))
    return with_sessions(found)


def _instance(
    one: _Labelled, frame: int, names: Sequence[str], label: str, graded: bool, faults: list[str]
) -> Instance:
    """Returns an instance. graded: `visible` is 0, 1 (occluded) or 2."""
    keypoints, visible = np.full((len(names), 2), np.nan), np.zeros(len(names), np.float32)
    occluded = np.zeros(len(names), bool)
    for point in one.points:
        where = f"{label} line {point.line}, {point.keypoint}"
        flags = [{"true": "1", "false": "0"}.get(text.lower(), text.removesuffix(".0"))
                 for text in (point.visible, point.occluded)]
        known = ["", "0", "1", "2"]
        if flags[0] not in known or flags[1] not in known[:3]:
            field = "visible" if flags[0] not in known else "occluded"
            faults.append(f"{where}, {field}: {getattr(point, field)!r} where 0 or 1 belongs; correct the cell")
        elif math.isinf(point.x) or math.isinf(point.y):
            continue  # `number` reported it
        elif math.isnan(point.x) != math.isnan(point.y):
            faults.append(f"{where}: one of x and y is empty; give both or none")
        elif math.isnan(point.x) and flags[0] in ("1", "2"):
            faults.append(f"{where}: visible is {flags[0]} and x and y are empty; give both, or visible 0")
        elif not math.isnan(point.x) and flags[0] != "0":
            k = names.index(point.keypoint)
            keypoints[k], visible[k] = (point.x, point.y), 1
            occluded[k] = flags[1] == "1" or (graded and flags[0] == "1")
    return Instance(frame, keypoints, visible, occluded, one.box, one.track)
