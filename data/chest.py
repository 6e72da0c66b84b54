"""Chest X-rays with six landmarks of the lungs: the Shenzhen set.

The folder holds `pngs/` and `labels/`. Its points are fractions of the image's width
and height, without names; the names here are by location. Sorted by name, the first 195 of 279
train, the next 34 validate and the others test.

The files state no pixel spacing. `scale` is the length of a pixel of the image stretched to 512 x
512. An error divided by it is in pixels of that image, exactly so after
`kpjax.images.transforms.Stretch`. Left and right are the image's. A mirrored chest X-ray is not
valid: the heart is on one side.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from data.annotations import Annotation
from data.checking import downloaded_dataset, first_of, row
from data.prepared import Card
from kpjax.images.reading import BROKEN
from kpjax.structures import Skeleton

LUNGS = Skeleton(
    names=(
        "left_apex",
        "left_lateral_base",
        "left_medial_base",
        "right_apex",
        "right_lateral_base",
        "right_medial_base",
    ),
    edges=((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (2, 5)),
    groups={"apex": (0, 3), "lateral_base": (1, 4), "medial_base": (2, 5), "all": tuple(range(6))},
)
TRAINING, VALIDATION = 195, 34
SIDE = 512  # errors are stated in pixels of an image of this side
FOLDERS = ("", "chest")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the labelled images of the three splits. `folder` holds `pngs/` and `labels/`."""
    labels = first_of(folder, FOLDERS, "labels")
    names = sorted(path.stem for path in labels.glob("CHNCXR_*.txt"))
    if not names:
        faults.append(f"labels/CHNCXR_0001_0.txt and all others are missing, expected in {labels}")
    people = [
        _image(labels / f"{name}.txt", first_of(folder, FOLDERS, "pngs") / f"{name}.png", faults)
        for name in names
    ]
    splits = {
        "train": people[:TRAINING],
        "validation": people[TRAINING : TRAINING + VALIDATION],
        "test": people[TRAINING + VALIDATION :],
    }
    return {split: [one for one in found if one] for split, found in splits.items()}


def _image(path: Path, image: Path, faults: list[str]) -> Annotation | None:
    where = f"labels/{path.name}"
    rows = [
        line.split()
        for line in path.read_text(encoding="ascii", errors="replace").splitlines()
        if line.strip()
    ]
    count = len(LUNGS.names)
    if not rows or rows[0] != [str(count)] or [len(cells) for cells in rows[1:]] != [2] * count:
        faults.append(
            f"{where}: expected a line with {count}, then {count} lines of two numbers; download it again"
        )
        return None
    places = [
        row(cells, f"{where} line {line}", faults) for line, cells in enumerate(rows[1:], start=2)
    ]
    if any(place is None for place in places):
        return None
    points = np.array(places)
    if not ((points >= 0) & (points <= 1)).all():
        point = int(np.argmin(((points >= 0) & (points <= 1)).all(1)))
        faults.append(
            f"{where} line {point + 2}: expected fractions of the image's width and height, 0 to 1, found "
            f"({points[point, 0]:g}, {points[point, 1]:g})"
        )
        return None
    try:
        with Image.open(image) as pil_image:
            size = pil_image.size
    except FileNotFoundError:
        faults.append(f"pngs/{image.name} is missing, but it has labels; download the Shenzhen set")
        return None
    except BROKEN as error:
        faults.append(f"pngs/{image.name} cannot be read: {error}; download it again")
        return None
    return Annotation(
        path.stem,
        image,
        points * size,
        np.ones(count, bool),
        scale=float(np.sqrt(size[0] * size[1])) / SIDE,
    )


DATASET = downloaded_dataset(
    "chest",
    read,
    LUNGS,
    Card(
        __doc__,
        where=(
            "labels/ of MIRACLE-Center/YOLO_Universal_Anatomical_Landmark_Detection (GitHub) "
            "beside pngs/ of the Shenzhen chest X-ray set (U.S. National Library of Medicine)"
        ),
        licence="labels MIT; images of the U.S. National Library of Medicine, under its terms",
        homepage="https://github.com/MIRACLE-Center/YOLO_Universal_Anatomical_Landmark_Detection",
        citation=(
            "Jaeger et al., Two Public Chest X-ray Datasets for Computer-aided Screening of "
            "Pulmonary Diseases, 2014; landmarks by Zhu et al., You Only Learn Once: Universal "
            "Anatomical Landmark Detection, MICCAI 2021."
        ),
    ),
    encoding="png",
    tune="validation",
)
