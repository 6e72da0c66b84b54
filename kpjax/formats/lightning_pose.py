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
from kpjax.formats.project import Project, Report, by_frame
from kpjax.formats.tables import (
    SCORER,
    Table,
    has_table_header,
    read_table,
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


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a table, or the table of a folder; `CollectedData.csv` if there are several.

    Points in empty cells are unlabelled, as are those whose column `visible` is 0 (omitted) or 1
    (hidden). Edges and flip pairs are those of a skeleton.json beside the table. A session is a
    folder of images.
    """
    tables = files_of(path)
    named = [file for file in tables if file.name == _LABELS] or tables
    file = only_file(path, named, "tables of labels")
    root = file.parent
    report = report.at(file.name)
    table = read_table(file, report)
    others = [other.name for other in tables if other != file]
    if others:
        report.notes.append(f"{_LABELS} is read, {', '.join(others)} are not")
    if "likelihood" in table.coordinates:
        raise InputError(
            f"{file.name}: likelihood marks predictions, which train nothing; save them as labels"
        )
    if any(individual for individual, _ in table.points):
        raise InputError(
            f"{file.name}: it names individuals, as DeepLabCut does; name the folder with config.yaml"
        )
    if "visible" in table.coordinates:
        table = table._replace(values=_visible(table, report))
    appeared = dict.fromkeys(part for _, part in table.points)
    skeleton = read_skeleton(root, appeared, report)
    # Images are below the table's folder, or its parent if the table was moved.
    keys = [str(key) for key in table.keys]
    placed = image_frames(keys, root, [root, root.parent])
    found = []
    for frame, key in zip(placed, keys, strict=True):
        session = "".join(key.split("/")[-2:-1])
        found.append(frame._replace(session=session))
    frames = []
    instances = []
    deeplabcut.add_rows(table, found, skeleton.names, frames, instances, report)
    doubts = []
    beside = root / _BOXES
    if beside.is_file():
        boxes = {}
        for (key, _), of_image in boxes_of_table(beside, report).items():
            boxes[key] = next(iter(of_image.values()))
        instances = [one._replace(box=boxes.get(keys[one.frame], one.box)) for one in instances]
        without = sum(not one.boxed for one in instances)
        if without:
            doubts.append(
                f"{_BOXES} has no box of {without} of {len(instances)} labelled images of {file.name}: write their "
                "names as there"
            )
    return Project(root, "lightning_pose", skeleton, frames, instances, doubts=doubts)


def _visible(table: Table, report: Report) -> np.ndarray:
    """Returns the coordinates of a table, nan where its column `visible` says that a point has no
    label."""
    values = table.values[..., :2]
    flags = table.values[..., 2]
    wrong = ~np.isnan(flags) & ~np.isin(flags, (0, 1, _SEEN))
    for row, column in np.argwhere(wrong):
        place = report.within(f"{table.keys[row]}, {table.points[column][1]}, visible")
        place.fault(f"{flags[row, column]:g} where 0, 1 or 2 belongs; correct the cell")
    omitted = flags == 0
    hidden = flags == 1
    report.notes.append(
        f"visible: {omitted.sum()} omitted and {hidden.sum()} hidden points have no label"
    )
    unlabelled = omitted | hidden
    return np.where(unlabelled[..., None], np.nan, values)


def write(project: Project, folder: Path) -> list[Path]:
    """Writes CollectedData.csv and skeleton.json of a project of one animal an image, and returns their
    paths.

    Names of images are those of their frames. Unlabelled images come last: pandas takes an empty
    first row for a part of the header.
    """
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    rows = list(zip(project.frames, by_frame(project), strict=True))
    rows.sort(key=lambda row: not row[1])
    values = np.stack([found[0].keypoints if found else empty for _, found in rows])
    points = tuple(("", name) for name in project.skeleton.names)
    table = Table(SCORER, points, ("x", "y"), tuple(frame.name for frame, _ in rows), values)
    return [
        write_text(folder / _LABELS, table_text(table)),
        write_text(folder / SKELETON, skeleton_text(project.skeleton)),
    ]
