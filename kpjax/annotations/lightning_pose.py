"""Lightning Pose's folders: a table of labels with DeepLabCut's header, and perhaps boxes in `bbox.csv`.

Biderman et al., Lightning Pose: improved animal pose estimation via semi-supervised learning, Bayesian ensembling and
cloud-native open-source tools, Nature Methods 2024. One animal on an image; paths are relative to the table's folder.
"""
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpjax.annotations import deeplabcut
from kpjax.annotations.names import common_place
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.skeleton_file import FILE as SKELETON_FILE
from kpjax.annotations.skeleton_file import read_skeleton, skeleton_text
from kpjax.annotations.tables import Table, has_header, number, read_rows, read_table, table_text, text_of
from kpjax.errors import InputError

LABELS = "CollectedData.csv"
BOXES = "bbox.csv"
SIDES = ("x", "y", "h", "w")  # in the file's order
SEEN = 2.0  # in the column `visible`; 0 is a point that is left out, 1 one that is hidden and has no label


def recognises(path: Path) -> bool:
    """Whether it is a table with DeepLabCut's header, or a folder with one, that is no part of a DeepLabCut project."""
    return bool(_tables(Path(path))) and not deeplabcut.recognises(path)


def read(path: Path, faults: list[str]) -> Project | None:
    """The project in a table, or in the table of a folder; `CollectedData.csv` if there are several.

    Empty cells are points without a label, and so are those whose column `visible` is 0 (left out) or 1 (hidden).
    Lines and pairs to flip are those of a skeleton.json beside the table. A session is a folder of images.
    details: scorer.
    """
    path, notes = Path(path), []
    tables = _tables(path)
    chosen = [file for file in tables if file.name == LABELS] or tables
    if len(chosen) != 1:
        faults.append(f"{path}: {len(tables)} tables of labels ({', '.join(file.name for file in tables[:8])}); name "
                      "one of them instead of the folder")
        return None
    if len(tables) > 1:
        notes.append(f"{LABELS} is read, {', '.join(file.name for file in tables if file not in chosen)} are not")
    file = chosen[0]
    table = read_table(file, file.name, faults)
    if table is None:
        return None
    if "likelihood" in table.coordinates:
        faults.append(f"{file.name}: labels have no column likelihood; predictions train nothing, correct them in your "
                      "tool and save them as labels")
        return None
    values = _seen(table, file.name, notes, faults)
    names = list(dict.fromkeys(part for _, part in table.points))
    skeleton = read_skeleton(file.parent, names, notes, faults)
    if skeleton is None:
        return None
    several = len({individual for individual, _ in table.points}) > 1
    frames, instances, lines = _placed(table, file, faults), [], {}
    for count, (frame, line, row) in enumerate(zip(frames, table.lines, values, strict=True)):
        if (first := lines.setdefault(frame.name, line)) != line:
            faults.append(f"{file.name} line {line}: {frame.name} is labelled in line {first} already; keep one of the "
                          "two rows")
        instances += deeplabcut.instances_of_row(count, table.points, row, skeleton.names, several=several)
    instances = _with_boxes(instances, table.keys, file.parent / BOXES, notes, faults)
    return Project(file.parent, "lightning_pose", skeleton, tuple(frames), tuple(instances), tuple(notes),
                   {"scorer": table.scorer})


def write(project: Project, folder: Path) -> list[Path]:
    """Writes CollectedData.csv, skeleton.json and, if there are boxes, bbox.csv, and returns their paths.

    Names of images are those of their frames. Images without a label come last: pandas takes a first row that is
    empty for a part of the header. Raises InputError for several instances on a frame.
    """
    of_frame: dict[int, Instance] = {}
    for one in project.instances:
        if one.frame in of_frame:
            raise InputError(f"{project.frames[one.frame].name}: several instances are labelled, Lightning Pose holds "
                             "one; choose another format")
        of_frame[one.frame] = one
    order = sorted(range(len(project.frames)), key=lambda number: number not in of_frame)
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    values = [of_frame[number].keypoints if number in of_frame else empty for number in order]
    keys = tuple(project.frames[number].name for number in order)
    table = Table(str(project.details.get("scorer") or "converted"), tuple(("", name) for name in
                  project.skeleton.names), ("x", "y"), keys, tuple(range(len(keys))), np.stack(values))
    texts = {LABELS: table_text(table), SKELETON_FILE: skeleton_text(project.skeleton)}
    boxed = [(project.frames[number].name, of_frame[number].box) for number in order if number in of_frame]
    if rows := [[name, x, y, height, width] for name, (x, y, width, height) in boxed if np.isfinite([x, width]).all()]:
        texts[BOXES] = text_of([["", *SIDES], *([row[0], *map(float, row[1:])] for row in rows)])
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts.items():
        temporary = folder / f".{name}.writing"
        temporary.write_text(text, encoding="utf-8")
        written.append(temporary.replace(folder / name))
    return written


def _tables(path: Path) -> list[Path]:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path] if path.suffix == ".csv" else []
    return [file for file in files if has_header(file)]


def _seen(table: Table, label: str, notes: list[str], faults: list[str]) -> np.ndarray:
    """Coordinates (rows, points, 2), nan where `visible` says that a point has no label."""
    points = table.values[..., :2].copy()
    if "visible" not in table.coordinates:
        return points
    flags = table.values[..., 2]
    known = np.isnan(flags) | np.isin(flags, (0, 1, SEEN))
    for row, column in np.argwhere(~known):
        faults.append(f"{label} line {table.lines[row]}, {table.points[column][1]}: visible is {flags[row, column]:g} "
                      "where 0, 1 or 2 belongs; mend the cell")
    for row, column in np.argwhere((flags == SEEN) & np.isnan(points[..., 0])):
        faults.append(f"{label} line {table.lines[row]}, {table.points[column][1]}: visible is 2 and x and y are empty;"
                      " give both, or visible 0")
    hidden = np.isin(flags, (0, 1))
    points[hidden] = np.nan
    notes.append(f"visible: {(flags == 0).sum()} points are left out and {(flags == 1).sum()} are hidden: without a "
                 "label")
    return points


def _placed(table: Table, file: Path, faults: list[str]) -> list[Frame]:
    """A frame for each row: images lie below the table's folder, or that of a moved project."""
    parts = [tuple(str(key).lstrip("/").split("/")) for key in table.keys]
    folder, dropped = common_place(parts, [file.parent, file.parent.parent])
    frames = []
    for names in parts:
        path = folder.joinpath(*names[dropped:])
        below = path.relative_to(file.parent) if path.is_relative_to(file.parent) else path.relative_to(folder)
        frames.append(Frame(below.as_posix(), path, None, (0, 0), names[-2] if len(names) > 1 else ""))
    return frames


def _with_boxes(
    instances: Sequence[Instance], keys: Sequence[str | int], file: Path, notes: list[str], faults: list[str]
) -> list[Instance]:
    """The instances with the boxes of their images."""
    rows = read_rows(file, faults) if file.is_file() else None
    if rows is None:
        return list(instances)
    header = [name.lower() for name in rows.header]
    if missing := [side for side in SIDES if side not in header[1:]]:
        faults.append(f"{file.name}: column {missing[0]} is missing; the columns are the image, x, y, h and w")
        return list(instances)
    boxes = {}
    for line, cells in rows.rows:
        x, y, height, width = (number(cells[header.index(side, 1)], f"{file.name} line {line}, {side}", rows, faults)
                               for side in SIDES)
        if not (width > 0 and height > 0):
            faults.append(f"{file.name} line {line}: h is {height:g} and w {width:g} where a box has an extent; mend "
                          "the row")
        boxes[cells[0].replace("\\", "/")] = np.array([x, y, width, height])
    found = [one._replace(box=boxes[str(keys[one.frame])]) if str(keys[one.frame]) in boxes else one
             for one in instances]
    without = sum(np.isnan(one.box).any() for one in found)
    notes += [f"{file.name} has no box for {without} of {len(found)} instances"] if without else []
    return found
