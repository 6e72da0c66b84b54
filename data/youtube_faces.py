"""Frames of faces from YouTube videos with the 68 points of iBUG, published by Udacity's facial
keypoint project.

The files are PNG with an alpha channel, though their names end in .jpg. They are decoded by content
and stored without alpha. In the published split every person is on both sides; here both tables are
read together, and train, tune and test have other persons. `scale` is the distance between the
outer corners of the eyes in pixels, the normaliser of the NME.
"""

import csv
from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, exists, number
from data.faces import between_outer_corners
from data.parts import by_unit
from data.prepared import Card
from kpjax.formats.faces import FACE

TABLES = ("training", "test")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the faces of both tables and deals them out by person.

    `folder` or its folder `data` holds the tables.
    """
    root = folder / "data" if (folder / "data").is_dir() else folder
    return by_unit([face for table in TABLES for face in _faces(root, table, faults)], person)


def person(face: Annotation) -> str:
    """Returns whom a face shows: "Ann_Lee" of "test/Ann_Lee_21.jpg"."""
    return face.name.partition("/")[2].rpartition("_")[0]


def _faces(root: Path, part: str, faults: list[str]) -> list[Annotation]:
    table = root / f"{part}_frames_keypoints.csv"
    if not exists(table, faults):
        return []
    faces = []
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            if line == 1 or not row:
                continue
            where = f"{table.name} line {line} ({row[0]})"
            if len(row) != 137:
                faults.append(
                    f"{where}: expected a file name and 136 coordinates, found {len(row)} columns"
                )
                continue
            before = len(faults)
            values = [
                number(cell, f"{where} column {column}", faults)
                for column, cell in enumerate(row[1:])
            ]
            if len(faults) == before:
                faces.append(
                    Annotation(
                        f"{part}/{row[0]}",
                        root / part / row[0],
                        np.array(values).reshape(68, 2),
                        np.ones(68, bool),
                    )
                )
    return faces


DATASET = downloaded_dataset(
    "youtube_faces",
    read,
    FACE,
    Card(
        __doc__,
        where="the folder data of github.com/udacity/P1_Facial_Keypoints",
        licence="MIT; the people shown have not licensed their likeness",
        homepage="https://github.com/udacity/P1_Facial_Keypoints",
        citation=(
            "Wolf, Hassner and Maoz, Face Recognition in Unconstrained Videos with Matched "
            "Background Similarity, CVPR 2011."
        ),
    ),
    reference=between_outer_corners,
    encoding="png",
)
