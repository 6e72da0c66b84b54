"""AFLW with five points, in the release of cropped faces that accompanies IMM.

Points are listed as (row, column) and are stored as (x, y). Images vary in size and are stored
unchanged. `scale` is the distance between the eyes in pixels.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, numbers, read_matlab
from data.faces import FIVE_POINTS, between_eyes, listed_names
from data.parts import with_tune
from data.prepared import Card

PARTS = ("train", "test")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the faces of both lists."""
    return {part: _faces(folder, part, faults) for part in PARTS}


def _faces(folder: Path, part: str, faults: list[str]) -> list[Annotation]:
    names = listed_names(folder / f"aflw_{part}_images.txt", faults)
    path = folder / f"aflw_{part}_keypoints.mat"
    content = read_matlab(path, ("gt", "hw"), faults)
    if content is None or not names:
        return []
    points = numbers(
        content["gt"], (len(names), 5, 2), f"{path.name} gt ({len(names)} listed images)", faults
    )
    sizes = numbers(
        content["hw"], (len(names), 2), f"{path.name} hw ({len(names)} listed images)", faults
    )
    if points is None or sizes is None:
        return []
    return [
        Annotation(
            name,
            folder / "output" / name,
            rows[:, ::-1],
            np.ones(5, bool),
            (int(width), int(height)),
        )
        for name, rows, (height, width) in zip(names, points, sizes, strict=True)
    ]


DATASET = downloaded_dataset(
    "aflw",
    read,
    FIVE_POINTS,
    Card(
        __doc__,
        where=(
            "the archive aflw_release-2 that tomasjakab/imm (GitHub) links to: output/ and the "
            "lists and .mat files beside it"
        ),
        licence="AFLW's terms, research use",
        homepage="https://github.com/tomasjakab/imm",
        citation=(
            "Köstinger et al., Annotated Facial Landmarks in the Wild, 2011; Jakab et al., "
            "Unsupervised Learning of Object Landmarks through Conditional Image Generation, "
            "NeurIPS 2018."
        ),
    ),
    parts=with_tune,
    reference=between_eyes,
)
