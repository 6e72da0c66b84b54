"""The CAT dataset: heads of cats in photographs, with nine points.

There is no published split. Work on landmarks splits by folder: here CAT_00 to CAT_03 train, the
others test. Ear tips beyond the border stay labelled. Images are stored unchanged. `scale` is the
distance between the eyes in pixels.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, row
from data.faces import between_eyes
from data.parts import with_tune
from data.prepared import Card
from kpjax.structures import Skeleton

# Left is the viewer's left in the image.
CAT = Skeleton(
    names=(
        "left_eye",
        "right_eye",
        "mouth",
        "left_ear_outer",
        "left_ear_tip",
        "left_ear_inner",
        "right_ear_inner",
        "right_ear_tip",
        "right_ear_outer",
    ),
    edges=((0, 1), (0, 2), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (5, 0), (6, 1)),
    flip=(1, 0, 2, 8, 7, 6, 5, 4, 3),
    groups={"eyes": (0, 1), "mouth": (2,), "ears": (3, 4, 5, 6, 7, 8), "all": tuple(range(9))},
)
TRAINING = tuple(f"CAT_{number:02d}" for number in range(4))
TESTING = tuple(f"CAT_{number:02d}" for number in range(4, 7))
SUFFIX = ".cat"


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the cats of all folders CAT_00 to CAT_06 below `folder`, at any depth."""
    parts = {
        part.name: part
        for part in sorted(folder.rglob("CAT_*"))
        if part.is_dir() and part.name in TRAINING + TESTING
    }
    if folder.name in TRAINING + TESTING:
        parts[folder.name] = folder
    if not parts:
        faults.append(f"{TRAINING[0]} to {TESTING[-1]} are missing; unpack both archives")
    return {
        split: [cat for name in names if name in parts for cat in _cats(parts[name], faults)]
        for split, names in (("train", TRAINING), ("test", TESTING))
    }


def _cats(folder: Path, faults: list[str]) -> list[Annotation]:
    images = {file.name: file for file in sorted(folder.glob("*.jpg"))}
    described = {
        file.name.removesuffix(SUFFIX): file for file in sorted(folder.glob("*.jpg" + SUFFIX))
    }
    faults += [
        f"{folder.name}/{name} has no {name}{SUFFIX}; add it (one is published separately) or delete the image"
        for name in images
        if name not in described
    ]
    faults += [
        f"{folder.name}/{name}{SUFFIX} has no image; delete it"
        for name in described
        if name not in images
    ]
    cats = []
    for name, image in images.items():
        if (
            name in described
            and (points := _points(described[name], folder.name, faults)) is not None
        ):
            cats.append(Annotation(f"{folder.name}/{image.stem}", image, points, np.ones(9, bool)))
    return cats


def _points(path: Path, folder: str, faults: list[str]) -> np.ndarray | None:
    """Reads the points (9, 2) of a file: one line with their count, then x and y of each."""
    where = f"{folder}/{path.name}"
    count, *cells = path.read_text(encoding="ascii", errors="replace").split() or [""]
    if count != "9":
        faults.append(
            f"{where}: expected 9, the number of points, at the start, found {count or 'nothing'}"
        )
    elif len(cells) != 18:
        faults.append(
            f"{where}: expected 18 coordinates after the 9, found {len(cells)}; correct it"
        )
    elif (points := row(cells, where, faults)) is not None:
        return points.reshape(9, 2)
    return None


DATASET = downloaded_dataset(
    "cats",
    read,
    CAT,
    Card(
        __doc__,
        where=(
            "CAT_DATASET_01.zip, CAT_DATASET_02.zip and 00000003_015.jpg.cat, which replaces "
            "00000003_019.jpg.cat in CAT_00 (archive.org/details/CAT_DATASET)"
        ),
        licence="research use",
        homepage="https://archive.org/details/CAT_DATASET",
        citation="Zhang, Sun and Tang, Cat Head Detection, ECCV 2008.",
    ),
    parts=with_tune,
    reference=between_eyes,
)
