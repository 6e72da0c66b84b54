"""Labels as one plain table, which a spreadsheet or ten lines of a program can write.

Long: a row for each point, with the columns `image` (or `video` and `frame`), `keypoint`, `x`, `y`, and perhaps
`instance` (0), `visible` (1), `occluded` (0), `track`, `box_x`, `box_y`, `box_w`, `box_h`, `split` and `session`.
Wide: a row for each image and instance, with `<keypoint>_x` and `<keypoint>_y` for each keypoint.
Coordinates count from 0 at the centre of the top-left pixel, boxes from its outer corner; an empty cell is a point
without a label. A row with no keypoint names a frame without labels. Keypoints are in the order in which they appear,
or in that of a skeleton.json beside the table.
"""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.names import common_place, forward, found_by_trailing_parts, with_sessions
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.skeleton_file import FILE as SKELETON_FILE
from kpjax.annotations.skeleton_file import read_skeleton, skeleton_text
from kpjax.annotations.tables import Rows, number, read_rows, separator_of, text_of

# The rows of a plain table of labels as the points that they tell of, long or wide


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

    frame: tuple[str, str]  # image and "", or video and number
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
    """(image, "") or (video, number); None, and a fault, if a row names neither."""
    if image := cell_of(cells, columns, "image"):
        return forward(image), ""
    video, frame = cell_of(cells, columns, "video"), cell_of(cells, columns, "frame")
    if not video and "video" not in columns:
        faults.append(f"{where}, image: empty; name the image, or delete the row")
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


FILE = "labels.csv"
PREDICTED = ("score", "status")  # columns that only predictions have


def recognises(path: Path) -> bool:
    """Whether it is such a table, or a folder with one."""
    return bool(_tables(path))


def read(path: Path, faults: list[str], *, video_root: Path | None = None) -> Project | None:
    """The project in a table, or in the only table of a folder.

    Images lie below the table's folder; videos there or below `video_root`, under as many of the last parts of their
    path as are found.
    """
    tables = _tables(path)
    if len(tables) != 1:
        faults.append(f"{path.name}: {len(tables)} tables of labels ({', '.join(table.name for table in tables[:8])}); "
                      "name one of them instead of the folder")
        return None
    file = tables[0]
    rows = read_rows(file, faults)
    if rows is None:
        return None
    lower = [column.lower() for column in rows.header]
    if set(PREDICTED) <= set(lower):
        faults.append(f"{file.name}: columns score and status are those of predictions, which are no labels; correct "
                      "the points, then take these two columns out")
        return None
    read_points = long_points if "keypoint" in lower else wide_points
    labelled, frames, names, ignored = read_points(rows, file.name, faults)
    notes = [f"columns that are not read: {', '.join(ignored)}"] if ignored else []
    if rows.separator != ",":
        notes.append(f"cells are separated by {'tabs' if rows.separator == chr(9) else 'semicolons'}")
    skeleton = read_skeleton(file.parent, names, notes, faults)
    if skeleton is None:
        return None
    scale = any(point.visible == "2" for one in labelled for point in one.points)
    if scale:
        notes.append("visible is 0, 1 or 2: 1 is taken to mean occluded, as in COCO")
    located = _located(file.parent, frames, rows, video_root)
    numbers = {key: number for number, key in enumerate(frames)}
    instances = []
    for one in labelled:
        made = _instance(one, numbers[one.frame], skeleton.names, file.name, scale, faults)
        if made.visible.any():
            instances.append(made)
    return Project(file.parent, "csv", skeleton, tuple(located), tuple(instances), tuple(notes))


def write(project: Project, folder: Path) -> list[Path]:
    """Writes labels.csv and skeleton.json, and returns their paths. Names of images are those of their frames."""
    images = any(frame.number is None for frame in project.frames)
    videos = any(frame.number is not None for frame in project.frames)
    extra = [field for field in ("split", "session") if any(getattr(frame, field) for frame in project.frames)]
    tracked = ["track"] if any(one.track for one in project.instances) else []
    boxed = list(BOX) if any(np.isfinite(one.box).all() for one in project.instances) else []
    columns = [*(["image"] if images or not videos else []), *(["video", "frame"] if videos else []), *extra,
               "instance", *tracked, *POINT, *boxed]
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
            box = dict(zip(BOX, one.box.tolist(), strict=True))
            for k in np.flatnonzero(one.visible > 0).tolist():
                x, y = one.keypoints[k].tolist()
                point = {"instance": count, "track": one.track, "keypoint": project.skeleton.names[k], "x": x, "y": y,
                         "visible": 1, "occluded": int(one.occluded[k])}
                rows.append([{**cells, **point, **box}.get(column, "") for column in columns])
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in ((FILE, text_of(rows)), (SKELETON_FILE, skeleton_text(project.skeleton))):
        temporary = folder / f".{name}.writing"
        temporary.write_text(text, encoding="utf-8")
        written.append(temporary.replace(folder / name))
    return written


# Tables


def _tables(path: Path) -> list[Path]:
    """The table that is meant, or those in a folder that are not predictions."""
    if path.is_file():
        return [path] if path.suffix.lower() in (".csv", ".tsv") and _looks_right(_columns(path)) else []
    columns = {file: _columns(file) for file in sorted(path.glob("*.csv"))}
    return [file for file, found in columns.items() if _looks_right(found) and not set(PREDICTED) <= found]


def _columns(path: Path) -> set[str]:
    """The names in the first line of a file in small letters; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            header = file.readline(1_000_000).decode("utf-8-sig", errors="replace")
    except OSError:
        return set()
    return {cell.strip().strip('"').lower() for cell in header.split(separator_of(header))}


def _looks_right(columns: set[str]) -> bool:
    if "image" not in columns and not {"video", "frame"} <= columns:
        # A table that lost a column is still one: it is then told what is missing.
        return {"keypoint", "x", "y"} <= columns
    return "keypoint" in columns or {"x", "y"} <= columns or any(
        column.endswith("_x") and column[:-2] + "_y" in columns for column in columns)


def _located(root: Path, frames: dict[tuple[str, str], int], rows: Rows, video_root: Path | None) -> list[Frame]:
    """The frames with the paths of their files."""
    columns = {column.lower(): at for at, column in enumerate(rows.header)}
    images = [tuple(name.lstrip("/").split("/")) for name, frame in frames if not frame]
    folder, dropped = common_place(images, [root]) if images else (root, 0)
    videos = {name: found_by_trailing_parts(name, [root, *([video_root] if video_root else [])]) or root / name
              for name, frame in frames if frame}
    located = []
    for (name, frame), at in frames.items():
        cells = rows.rows[at][1]
        split, session = (cell_of(cells, columns, field) for field in ("split", "session"))
        if frame:
            located.append(Frame(f"{name}/{frame}", videos[name], int(frame), (0, 0), session or name, split))
        else:
            path = folder.joinpath(*name.lstrip("/").split("/")[dropped:])
            located.append(Frame(path.relative_to(root).as_posix(), path, None, (0, 0), session, split))
    return with_sessions(located)


def _instance(one: Labelled, frame: int, names: Sequence[str], label: str, scale: bool, faults: list[str]) -> Instance:
    """scale: `visible` is 0, 1 (occluded) or 2."""
    keypoints, visible = np.full((len(names), 2), np.nan), np.zeros(len(names), np.float32)
    occluded = np.zeros(len(names), bool)
    for point in one.points:
        where = f"{label} line {point.line}, {point.keypoint}"
        flags = [{"true": "1", "false": "0"}.get(text.lower(), text.removesuffix(".0"))
                 for text in (point.visible, point.occluded)]
        known = ["", "0", "1", "2"]
        if flags[0] not in known or flags[1] not in known[:3]:
            field = "visible" if flags[0] not in known else "occluded"
            faults.append(f"{where}, {field}: {getattr(point, field)!r} where 0 or 1 belongs; mend the cell")
        elif math.isinf(point.x) or math.isinf(point.y):
            continue  # told where the cell was read
        elif math.isnan(point.x) != math.isnan(point.y):
            faults.append(f"{where}: one of x and y is empty; give both or none")
        elif math.isnan(point.x) and flags[0] in ("1", "2"):
            faults.append(f"{where}: visible is {flags[0]} and x and y are empty; give both, or visible 0")
        elif not math.isnan(point.x) and flags[0] != "0":
            k = names.index(point.keypoint)
            keypoints[k], visible[k] = (point.x, point.y), 1
            occluded[k] = flags[1] == "1" or (scale and flags[0] == "1")
    return Instance(frame, keypoints, visible, occluded, one.box, one.track)
