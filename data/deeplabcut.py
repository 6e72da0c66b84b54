"""Any single-animal DeepLabCut project: its `config.yaml` and the label tables under `labeled-data/<video>/`.

Mathis et al., DeepLabCut: markerless pose estimation of user-defined body parts with deep learning, Nature
Neuroscience 2018. The csv table is read; an .h5 one only where there is no csv, with pandas. Empty cells are points
without a label, frames without any label stay, pictures may be of several sizes and are stored as they are. Keypoints
are in the order of `config.yaml`, matched by name, or of the first table if there is no such file. `scale` is the
diagonal of the labelled points' box in pixels, the median of the split for frames with fewer than two.

A prepared data directory holds one project. There is no published split: frames are shuffled with a seed, see `read`.
"""
import csv
import random
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from data.annotations import Annotation, stored
from data.checking import all_faults, copies_across, number, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.errors import InputError
from kpjax.structures import Skeleton

TRAINING = 0.69  # of the frames: 80 of the 116 of DeepLabCut's open field mouse
HEADER = ("scorer", "individuals", "bodyparts", "coords")


class Project(NamedTuple):
    """What `config.yaml` says, or the tables where there is none."""

    root: Path
    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


class Table(NamedTuple):
    """A label table: the body part of each pair of columns, and its rows by the numbers of their lines."""

    path: Path
    parts: tuple[str, ...]
    keys: int  # cells before the coordinates: 1, or 3 for folder, video and picture
    rows: dict[int, list[str]]


def read(
    folder: Path, faults: list[str], *, train: float = TRAINING, seed: int = 42, test: Collection[str] | None = None
) -> dict[str, list[Annotation]]:
    """The frames of a project, shuffled and split.

    train: their count, or below 1 their fraction. test: names of frames (`video/picture`) that test instead of those
    drawn by chance.
    """
    frames: list[Annotation] = []
    if project := _project(folder, faults):
        for table in _tables(project.root, faults):
            frames += _frames(table, project, faults)
        if not frames and not faults:
            faults.append(f"{project.root / 'labeled-data'}: no CollectedData_*.csv with frames; label some and save")
    frames.sort(key=lambda frame: frame.name)
    if test is not None:
        if unknown := sorted(set(test) - {frame.name for frame in frames}):
            faults.append(f"test frame {unknown[0]} is not in the project; name frames as video/picture")
        return {"train": [frame for frame in frames if frame.name not in test],
                "test": [frame for frame in frames if frame.name in test]}
    random.Random(seed).shuffle(frames)
    count = round(train * len(frames)) if train < 1 else int(train)
    return {"train": frames[:count], "test": frames[count:]}


def check(folder: Path) -> list[str]:
    """All faults of a project, frames that occur in both splits under two names included."""
    return all_faults(read, folder) or copies_across(read(folder, []), folder)


def skeleton(folder: Path | None) -> Skeleton:
    """The body parts of a project as keypoints, with the lines of its config. Raises InputError if there is none."""
    if folder is None:
        raise InputError("deeplabcut: the skeleton is the project's own; name its folder with --manual-dir")
    faults: list[str] = []
    project = _project(folder, faults)
    if project is None:
        raise InputError(f"deeplabcut: {faults[0]}")
    return Skeleton(project.names, project.edges)


def _project(folder: Path, faults: list[str]) -> Project | None:
    """The project at `folder`, or the only one right below it."""
    roots = [folder] if (folder / "labeled-data").is_dir() else [path.parent for path in folder.glob("*/labeled-data")]
    if len(roots) != 1:
        faults.append(f"{folder} holds {len(roots)} folders with labeled-data; name one DeepLabCut project")
        return None
    config = roots[0] / "config.yaml"
    if not config.is_file():
        tables = _tables(roots[0], [])
        names = tuple(dict.fromkeys(part for table in tables[:1] for part in table.parts))
        if not names:
            faults.append(f"{roots[0]} has neither config.yaml nor a table under labeled-data; name a labelled project")
        return Project(roots[0], names, ()) if names else None
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8", errors="replace"))
    except yaml.YAMLError as error:
        faults.append(f"config.yaml cannot be read: {' '.join(str(error).split())}")
        return None
    names = content.get("bodyparts") if isinstance(content, dict) else None
    if names == "MULTI!" or (isinstance(content, dict) and content.get("multianimalproject")):
        faults.append("config.yaml: this is a multi-animal project, only those of one animal can be read")
        return None
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        faults.append(f"config.yaml: bodyparts is {names!r} where a list of different names belongs")
        return None
    names = tuple(str(name) for name in names)
    pairs = [pair for pair in content.get("skeleton") or [] if isinstance(pair, list) and len(pair) == 2]
    if unknown := [name for pair in pairs for name in pair if str(name) not in names]:
        faults.append(f"config.yaml: skeleton names {unknown[0]}, which is none of the bodyparts {', '.join(names)}")
        return None
    return Project(roots[0], names, tuple((names.index(str(a)), names.index(str(b))) for a, b in pairs))


def _tables(root: Path, faults: list[str]) -> list[Table]:
    """The tables of all videos, those with a damaged header left out."""
    tables = []
    for video in sorted(path for path in (root / "labeled-data").iterdir() if path.is_dir()):
        found = sorted(video.glob("CollectedData_*.csv")) or sorted(video.glob("CollectedData_*.h5"))
        for path in found:
            lines = _lines_of_csv(path) if path.suffix == ".csv" else _lines_of_h5(path, faults)
            if lines and (table := _table(path, lines, faults)):
                tables.append(table)
    return tables


def _lines_of_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return list(csv.reader(file))


def _lines_of_h5(path: Path, faults: list[str]) -> list[list[str]] | None:
    """An .h5 table as the cells that its csv would have."""
    try:
        import pandas
        frame = pandas.read_hdf(path, "df_with_missing")
    except ImportError as error:
        faults.append(f"{path.name} needs pandas and tables ({error}); install the extra kpjax[dlc], or save the "
                      "labels as csv with DeepLabCut")
        return None
    except Exception as error:  # pandas raises many kinds on a damaged file, or on one of another version
        faults.append(f"{path.name} cannot be read: {error}; save the labels as csv with DeepLabCut")
        return None
    keys = [list(key) if isinstance(key, tuple) else [key] for key in frame.index]
    margin = [""] * (len(keys[0]) - 1 if keys else 0)
    header = [[level, *margin, *map(str, frame.columns.get_level_values(level))] for level in frame.columns.names]
    cells = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in frame.to_numpy(np.float64)]
    return header + [[*map(str, key), *row] for key, row in zip(keys, cells, strict=True)]


def _table(path: Path, lines: Sequence[Sequence[str]], faults: list[str]) -> Table | None:
    head = {line[0]: line for line in lines[:4] if line and line[0] in HEADER}
    if missing := [row for row in ("bodyparts", "coords") if row not in head]:
        faults.append(f"{path.name}: header row {missing[0]} is missing; save the labels anew with DeepLabCut")
        return None
    coordinates = list(head["coords"])
    keys = coordinates.index("x") if "x" in coordinates else 1
    parts = head["bodyparts"][keys:]
    if "individuals" in head and len(set(head["individuals"][keys:])) > 1:
        faults.append(f"{path.name}: {len(set(head['individuals'][keys:]))} individuals, only one animal can be read")
        return None
    if coordinates[keys:] != ["x", "y"] * (len(parts) // 2) or list(parts[::2]) != list(parts[1::2]) or not parts:
        faults.append(f"{path.name}: header rows bodyparts and coords must name x and y of each part in turn")
        return None
    if repeated := [name for name in parts[::2] if parts[::2].count(name) > 1]:
        faults.append(f"{path.name}: body part {repeated[0]!r} occurs twice in the header; give each a name of its own")
        return None
    rows = {at: list(line) for at, line in enumerate(lines, start=1) if at > len(head) and any(line)}
    return Table(path, tuple(parts[::2]), keys, rows)


def _frames(table: Table, project: Project, faults: list[str]) -> list[Annotation]:
    label = f"{table.path.parent.name}/{table.path.name}"
    if unknown := [part for part in table.parts if part not in project.names]:
        faults.append(f"{label}: body part {unknown[0]!r} is unknown; config.yaml has {', '.join(project.names)}")
        return []
    slots = [project.names.index(part) for part in table.parts]
    width, frames = table.keys + 2 * len(slots), []
    for line, row in table.rows.items():
        if len(row) != width:
            faults.append(f"{label} line {line}: {len(row)} columns where {width} belong")
            continue
        name = "/".join("/".join(row[:table.keys]).replace("\\", "/").split("/")[-2:])
        cells = [row[table.keys + 2 * part:][:2] for part in range(len(slots))]
        keypoints, visible = np.zeros((len(project.names), 2)), np.zeros(len(project.names), bool)
        before = len(faults)
        for slot, pair in zip(slots, cells, strict=True):
            given = [cell for cell in pair if cell.strip()]
            if len(given) == 1:
                faults.append(f"{label} line {line}, {project.names[slot]}: one of x and y is empty; give both or none")
            elif given:
                keypoints[slot] = [number(cell, f"{label} line {line}, {project.names[slot]}", faults) for cell in pair]
                visible[slot] = True
        if len(faults) == before:
            frames.append(Annotation(name, project.root / "labeled-data" / name, keypoints, visible))
    return frames


class DeepLabCut(KeypointBuilder):
    """One record for each frame of the project: as many points as it has body parts."""

    name = "deeplabcut"
    encoding = "png"

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name))


DATASET = Dataset(
    name="deeplabcut",
    builder=DeepLabCut,
    skeleton=skeleton,
    where="a DeepLabCut project of your own, or examples/openfield-Pranav-2018-10-30 of its repository on GitHub",
    check=check,
)
