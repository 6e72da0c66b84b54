"""Frames of faces from YouTube videos with the 68 points of iBUG, as Udacity's facial keypoint project publishes them.

Wolf, Hassner and Maoz, Face Recognition in Unconstrained Videos with Matched Background Similarity, CVPR 2011. The
files are PNG with an alpha channel under names that end in .jpg; they are decoded by content and stored without it.
In the published split every person is on both sides, so test errors are optimistic. `scale` is the distance between
the outer corners of the eyes in pixels, the normaliser of the NME.
"""
import csv
from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, stored
from data.checking import all_faults, number, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.structures import Skeleton

PARTS = {"train": "training", "test": "test"}
OUTER_CORNERS = (36, 45)
RUNS = {"jaw": (0, 17), "right_brow": (17, 22), "left_brow": (22, 27), "bridge": (27, 31), "nostrils": (31, 36),
        "right_eye": (36, 42), "left_eye": (42, 48), "outer_lip": (48, 60), "inner_lip": (60, 68)}
CLOSED = ("right_eye", "left_eye", "outer_lip", "inner_lip")
MIRRORED = {  # runs of points and the runs that they become in a mirror, one by one
    (*range(17),): (*range(16, -1, -1),), (*range(17, 22),): (*range(26, 21, -1),), (27, 28, 29, 30): (27, 28, 29, 30),
    (31, 32, 33, 34, 35): (35, 34, 33, 32, 31), (36, 37, 38, 39, 40, 41): (45, 44, 43, 42, 47, 46),
    (48, 49, 50, 51, 52, 53, 54): (54, 53, 52, 51, 50, 49, 48), (55, 56, 57, 58, 59): (59, 58, 57, 56, 55),
    (60, 61, 62, 63, 64): (64, 63, 62, 61, 60), (65, 66, 67): (67, 66, 65)}


def _face() -> Skeleton:
    """The face of 68 points. Left and right are the person's."""
    mirror = {a: b for run, other in MIRRORED.items() for a, b in zip(run, other, strict=True)}
    mirror |= {b: a for a, b in mirror.items()}
    lines = [(k, k + 1) for first, end in RUNS.values() for k in range(first, end - 1)]
    return Skeleton(
        names=tuple(f"{name}_{k - first}" for name, (first, end) in RUNS.items() for k in range(first, end)),
        edges=(*lines, *((RUNS[name][1] - 1, RUNS[name][0]) for name in CLOSED)),
        flip=tuple(mirror[k] for k in range(68)),
        groups={"jaw": tuple(range(17)), "brows": tuple(range(17, 27)), "nose": tuple(range(27, 36)),
                "eyes": tuple(range(36, 48)), "mouth": tuple(range(48, 68)), "all": tuple(range(68))})


FACE = _face()


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """The faces of both tables. `folder` holds the tables, or has a folder `data` that does."""
    root = folder / "data" if (folder / "data").is_dir() else folder
    return {split: _faces(root, part, faults) for split, part in PARTS.items()}


def _faces(root: Path, part: str, faults: list[str]) -> list[Annotation]:
    table = root / f"{part}_frames_keypoints.csv"
    if not table.is_file():
        faults.append(f"{table.name} is missing, expected at {table}")
        return []
    faces = []
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            if line == 1 or not row:
                continue
            where = f"{table.name} line {line} ({row[0]})"
            if len(row) != 137:
                faults.append(f"{where}: {len(row)} columns where a file name and 136 coordinates belong")
                continue
            before = len(faults)
            values = [number(cell, f"{where} column {column}", faults) for column, cell in enumerate(row[1:])]
            if len(faults) == before:
                faces.append(Annotation(f"{part}/{row[0]}", root / part / row[0], np.array(values).reshape(68, 2),
                                        np.ones(68, bool)))
    return faces


def between_eyes(keypoints: np.ndarray, visible: np.ndarray) -> float:
    """The distance between the outer corners of the eyes, 0 if one of them is not visible."""
    right, left = OUTER_CORNERS
    if not (visible[right] and visible[left]):
        return 0.0
    return float(np.linalg.norm(keypoints[right] - keypoints[left]))


class YoutubeFaces(KeypointBuilder):
    """One record for each frame: 68 points, train and test as published."""

    name = "youtube_faces"
    keypoints = len(FACE.names)
    encoding = "png"

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name), between_eyes)


DATASET = Dataset(
    name="youtube_faces",
    builder=YoutubeFaces,
    skeleton=lambda folder: FACE,
    where="the folder data of github.com/udacity/P1_Facial_Keypoints (MIT; the people shown have not licensed their "
          "likeness)",
    check=partial(all_faults, read),
)
