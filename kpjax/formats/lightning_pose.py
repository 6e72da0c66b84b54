"""Lightning Pose's folders: a table of labels with DeepLabCut's header, and perhaps boxes in
`bbox.csv`.

Biderman et al., Lightning Pose: improved animal pose estimation via semi-supervised learning,
Bayesian ensembling and cloud-native open-source tools, Nature Methods 2024. One animal on an image;
paths are relative to the table's folder.
"""

from pathlib import Path

import numpy as np

from kpjax.errors import InputError
from kpjax.files import write_text
from kpjax.formats import deeplabcut
from kpjax.formats.boxes_file import boxes_of_table
from kpjax.formats.names import (
    SKELETON,
    image_frames,
    only_file,
    read_skeleton,
    shown_files,
    skeleton_text,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Project, by_frame
from kpjax.formats.tables import (
    SCORER,
    Table,
    has_table_header,
    read_table,
    rows_text,
    table_text,
)

_LABELS = "CollectedData.csv"
_BOXES = "bbox.csv"
_SEEN = 2.0  # in the column `visible`; 0 is an omitted point, 1 a hidden one without a label


def files_of(path: Path) -> list[Path]:
    """Returns the tables with DeepLabCut's header at a path, in the folder that it is, or beside the
    config.yaml of Lightning Pose.
    """
    if path.suffix == ".yaml" and path.is_file() and deeplabcut.of_lightning_pose(path):
        path = path.parent
    return [file for file in shown_files(path, "*.csv") if has_table_header(file)]


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads a table, or the table of a folder; `CollectedData.csv` if there are several.

    Points in empty cells are unlabelled, as are those whose column `visible` is 0 (omitted) or 1
    (hidden). Edges and flip pairs are those of a skeleton.json beside the table. A session is a
    folder of images.
    """
    tables, notes = files_of(path), []
    file = only_file(
        path, [file for file in tables if file.name == _LABELS] or tables, "tables of labels"
    )
    table = read_table(file, file.name, faults)
    if len(tables) > 1:
        notes.append(
            f"{_LABELS} is read, {', '.join(other.name for other in tables if other != file)} are not"
        )
    if "likelihood" in table.coordinates:
        raise InputError(
            f"{file.name}: likelihood marks predictions, which train nothing; save them as labels"
        )
    if any(individual for individual, _ in table.points):
        raise InputError(
            f"{file.name}: it names individuals, as DeepLabCut does; name the folder with config.yaml"
        )
    values = table.values[..., :2].copy()
    if "visible" in table.coordinates:
        flags = table.values[..., 2]
        wrong = ~np.isnan(flags) & ~np.isin(flags, (0, 1, _SEEN))
        for row, column in np.argwhere(wrong | ((flags == _SEEN) & np.isnan(values[..., 0]))):
            said = (
                "where 0, 1 or 2 belongs; correct the cell"
                if wrong[row, column]
                else ("and x and y are empty; give both, or visible 0")
            )
            faults.append(
                f"{file.name} line {table.lines[row]}, {table.points[column][1]}: visible is "
                f"{flags[row, column]:g} {said}"
            )
        values[np.isin(flags, (0, 1))] = np.nan
        notes.append(
            f"visible: {(flags == 0).sum()} omitted and {(flags == 1).sum()} hidden points have no label"
        )
    skeleton = read_skeleton(
        file.parent, list(dict.fromkeys(part for _, part in table.points)), notes, faults
    )
    # Images are below the table's folder, or its parent if the table was moved.
    keys = [str(key) for key in table.keys]
    found = [
        frame._replace(session="".join(key.split("/")[-2:-1]))
        for frame, key in zip(
            image_frames(keys, file.parent, [file.parent, file.parent.parent]), keys, strict=True
        )
    ]
    frames, instances = [], []
    deeplabcut.add_rows(
        table._replace(values=values),
        file.name,
        found,
        skeleton.names,
        frames,
        instances,
        {},
        faults,
    )
    if (beside := file.parent / _BOXES).is_file():
        boxes = {
            key: next(iter(box.values()))
            for (key, _), box in boxes_of_table(beside, faults).items()
        }
        instances = [one._replace(box=boxes.get(keys[one.frame], one.box)) for one in instances]
        if boxes and (without := sum(np.isnan(one.box).any() for one in instances)):
            notes.append(f"{_BOXES} has no box for {without} of {len(instances)} instances")
    return Project(
        file.parent, "lightning_pose", skeleton, tuple(frames), tuple(instances), tuple(notes)
    )


def write(project: Project, folder: Path) -> list[Path]:
    """Writes CollectedData.csv, skeleton.json and, if there are boxes, bbox.csv, and returns their
    paths.

    Names of images are those of their frames. Unlabelled images come last: pandas takes an empty
    first row for a part of the header. Raises InputError for several instances on a frame.
    """
    of_frame = by_frame(project)
    if crowded := [
        frame.name for frame, found in zip(project.frames, of_frame, strict=True) if len(found) > 1
    ]:
        raise InputError(
            f"{crowded[0]}: several animals, Lightning Pose holds one; choose another format"
        )
    rows = sorted(zip(project.frames, of_frame, strict=True), key=lambda row: not row[1])
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    values = [found[0].keypoints if found else empty for _, found in rows]
    keys = tuple(frame.name for frame, _ in rows)
    table = Table(
        SCORER,
        tuple(("", name) for name in project.skeleton.names),
        ("x", "y"),
        keys,
        np.stack(values),
    )
    texts = {_LABELS: table_text(table), SKELETON: skeleton_text(project.skeleton)}
    boxes = [
        (frame.name, *found[0].box[[0, 1, 3, 2]].tolist())
        for frame, found in rows
        if found and np.isfinite(found[0].box).all()
    ]
    if boxes:
        texts[_BOXES] = rows_text([["", "x", "y", "h", "w"], *boxes])
    return [write_text(folder / name, text) for name, text in texts.items()]
