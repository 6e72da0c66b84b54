"""CUB-200-2011: birds of 200 species with 15 parts.

Both sides of the published split have all species. Here test species are new, as in keypoint work
(Moskvyak et al., ICLR 2021): classes 1 to 100 train, 101 to 150 validate, 151 to 200 test: 5,864,
2,958 and 2,966 images. Parts are given in pixels from 1 and are stored from 0. Boxes, some of which
start at 0, and images are stored unchanged. `box` is annotated; `scale` is its longer side in
pixels, the reference length of PCK.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, exists, number, row
from data.prepared import Card
from kpjax.structures import Skeleton

BIRD = Skeleton(
    names=(
        "back",
        "beak",
        "belly",
        "breast",
        "crown",
        "forehead",
        "left_eye",
        "left_leg",
        "left_wing",
        "nape",
        "right_eye",
        "right_leg",
        "right_wing",
        "tail",
        "throat",
    ),
    edges=(
        (1, 5),
        (5, 4),
        (4, 9),
        (9, 0),
        (0, 13),
        (1, 14),
        (14, 3),
        (3, 2),
        (2, 13),
        (1, 6),
        (1, 10),
        (0, 8),
        (0, 12),
        (2, 7),
        (2, 11),
    ),
    flip=(0, 1, 2, 3, 4, 5, 10, 11, 12, 9, 6, 7, 8, 13, 14),
    groups={
        "head": (1, 4, 5, 6, 9, 10, 14),
        "trunk": (0, 2, 3, 13),
        "wing": (8, 12),
        "leg": (7, 11),
        "all": tuple(range(15)),
    },
)
PARTS = {str(number): name.replace("_", " ") for number, name in enumerate(BIRD.names, start=1)}
CLASSES = {"train": range(1, 101), "validation": range(101, 151), "test": range(151, 201)}
SPLIT_OF_CLASS = {str(number): split for split, numbers in CLASSES.items() for number in numbers}
Table = list[tuple[str, list[str]]]  # (file and line, cells)


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the birds, split by class.

    `folder` holds the tables, or has a folder `CUB_200_2011` that does.
    """
    root = folder / "CUB_200_2011" if (folder / "CUB_200_2011").is_dir() else folder
    birds: dict[str, list[Annotation]] = {split: [] for split in CLASSES}
    tables = {
        name: _table(root, name, cells, faults)
        for name, cells in {
            "images.txt": 2,
            "image_class_labels.txt": 2,
            "bounding_boxes.txt": 5,
            "parts/parts.txt": 2,
            "parts/part_locs.txt": 5,
        }.items()
    }
    if any(table is None for table in tables.values()) or not _known_parts(
        tables["parts/parts.txt"], faults
    ):
        return birds
    splits = dict(_splits(tables["image_class_labels.txt"], faults))
    boxes = dict(_boxes(tables["bounding_boxes.txt"], faults))
    parts = _parts(tables["parts/part_locs.txt"], faults)
    images = root / "images"
    for where, (identity, path) in tables["images.txt"]:
        absent = [
            name
            for name, known in (
                ("image_class_labels.txt", splits),
                ("bounding_boxes.txt", boxes),
                ("parts/part_locs.txt", parts),
            )
            if identity not in known
        ]
        if absent:
            faults.append(f"{where}: image {identity} is not in {absent[0]}; download it again")
        elif not np.isfinite(parts[identity]).all():
            count = int(np.isfinite(parts[identity]).all(1).sum())
            faults.append(
                f"parts/part_locs.txt: image {identity} has {count} of {len(PARTS)} parts; download it again"
            )
        elif boxes[identity] is not None and splits[identity] is not None:
            points, visible = parts[identity][:, :2] - 1, parts[identity][:, 2] == 1
            birds[splits[identity]].append(
                Annotation(
                    path.rpartition(".")[0],
                    images / path,
                    points,
                    visible,
                    box=boxes[identity],
                    scale=float(boxes[identity][2:].max()),
                )
            )
    return birds


def _table(root: Path, name: str, cells: int, faults: list[str]) -> Table | None:
    """Reads the rows of a table of cells separated by spaces, None (and a fault) if the file is
    missing.
    """
    if not exists(root / name, faults, name):
        return None
    rows = []
    lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
    for line, text in enumerate(lines, start=1):
        found = text.split(maxsplit=cells - 1)
        if len(found) == cells:
            rows.append((f"{name} line {line}", found))
        elif found:
            faults.append(f"{name} line {line}: expected {cells} cells, found {len(found)}")
    return rows


def _known_parts(table: Table, faults: list[str]) -> bool:
    """Returns whether the list of parts is the published one; adds a fault for each line that
    differs.
    """
    before = len(faults)
    for where, (part, name) in table:
        if PARTS.get(part) != name.strip():
            faults.append(
                f"{where}: expected "
                + (f"part {part} ({PARTS[part]})" if part in PARTS else f"{len(PARTS)} parts")
                + f", found part {part} ({name.strip()}); download it again"
            )
    if len(faults) == before and len(table) != len(PARTS):
        faults.append(
            f"parts/parts.txt: expected {len(PARTS)} parts, found {len(table)}; download it again"
        )
    return len(faults) == before


def _splits(table: Table, faults: list[str]) -> Iterator[tuple[str, str | None]]:
    for where, (identity, class_) in table:
        if class_ not in SPLIT_OF_CLASS:
            faults.append(
                f"{where}: expected a class from 1 to {len(SPLIT_OF_CLASS)}, found {class_}"
            )
        yield identity, SPLIT_OF_CLASS.get(class_)


def _boxes(table: Table, faults: list[str]) -> Iterator[tuple[str, np.ndarray | None]]:
    for where, (identity, *cells) in table:
        box = row(cells, where, faults)
        if box is not None and not (box[2:] > 0).all():
            faults.append(
                f"{where}: expected a box of positive width and height, found {box[2]:g} and {box[3]:g}"
            )
        yield identity, box


def _parts(table: Table, faults: list[str]) -> dict[str, np.ndarray]:
    """Reads x, y and flag (15, 3) of each image's parts, NaN for a part without a line."""
    rows = {part: row for row, part in enumerate(PARTS)}
    located: dict[str, np.ndarray] = {}
    for where, (identity, part, *cells) in table:
        if identity not in located:
            located[identity] = np.full((len(PARTS), 3), np.nan)
        if part not in rows:
            faults.append(
                f"{where}: expected a part from 1 to {len(PARTS)}, as in parts/parts.txt, found {part}; "
                "download both again"
            )
            continue
        if cells[2].strip() not in ("0", "1"):
            faults.append(f"{where}: expected flag 0 or 1, found {cells[2].strip()}")
        values = [number(cell, where, faults) for cell in cells]
        located[identity][rows[part]] = [0.0 if math.isnan(value) else value for value in values]
    return located


DATASET = downloaded_dataset(
    "cub200_2011",
    read,
    BIRD,
    Card(
        __doc__,
        where="unpack CUB_200_2011.tgz of the Caltech vision lab (data.caltech.edu)",
        licence="non-commercial research",
        homepage="https://data.caltech.edu",
        citation="Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001.",
    ),
    boxed=True,
    tune="validation",
)
