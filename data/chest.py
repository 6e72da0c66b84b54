"""X-rays of chests with six landmarks of the lungs, of the Shenzhen set.

Jaeger et al., Two Public Chest X-ray Datasets for Computer-aided Screening of Pulmonary Diseases, 2014; landmarks by
Zhu et al., You Only Learn Once: Universal Anatomical Landmark Detection, MICCAI 2021. Read are `pngs/` and `labels/` of
the latter, whose points are fractions of the image's width and height and have no names; those here go by where they
lie. Sorted by name, the first 195 of 279 train, the next 34 validate and the others test. The authors' code can leave
out nine of them (KNOWN_BAD); all are read here unless `read` is told otherwise.

The files state no spacing. `scale` is how long a pixel is of the image stretched to 512 x 512: an error divided by it
is one in pixels of that image, exactly so after `kpjax.images.transforms.stretch`. Left and right are the
image's. A mirror image is no valid X-ray: the heart is on one side.
"""
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.annotations import Annotation, stored
from data.checking import all_faults, first_of, number, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.structures import Skeleton

LUNGS = Skeleton(
    names=("left_apex", "left_lateral_base", "left_medial_base", "right_apex", "right_lateral_base",
           "right_medial_base"),
    edges=((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (2, 5)),
    groups={"apex": (0, 3), "lateral_base": (1, 4), "medial_base": (2, 5), "all": tuple(range(6))},
)
TRAINING, VALIDATION = 195, 34
SIDE = 512  # of the image in whose pixels errors are stated
KNOWN_BAD = tuple(f"CHNCXR_{number}_0" for number in (
    "0059", "0178", "0228", "0267", "0276", "0285", "0295", "0303", "0310"))
HOMES = ("", "chest")


def read(
    folder: Path, faults: list[str], *, training: int = TRAINING, validation: int = VALIDATION,
    leave_out: tuple[str, ...] = (),
) -> dict[str, list[Annotation]]:
    """The labelled images of the three splits. leave_out: names of images that are not read, as KNOWN_BAD."""
    labels = first_of(folder, HOMES, "labels")
    names = sorted(path.stem for path in labels.glob("CHNCXR_*.txt") if path.stem not in leave_out)
    if not names:
        faults.append(f"labels/CHNCXR_0001_0.txt and all others are missing, expected in {labels}")
    people = [_image(labels / f"{name}.txt", first_of(folder, HOMES, "pngs") / f"{name}.png", faults)
              for name in names]
    bounds = {"train": (0, training), "validation": (training, training + validation), "test": (training + validation,
                                                                                               None)}
    return {split: [one for one in people[first:end] if one] for split, (first, end) in bounds.items()}


def _image(path: Path, image: Path, faults: list[str]) -> Annotation | None:
    where = f"labels/{path.name}"
    rows = [line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines() if line.strip()]
    count = len(LUNGS.names)
    if not rows or rows[0] != [str(count)] or [len(row) for row in rows[1:]] != [2] * count:
        faults.append(f"{where}: a line with {count}, then {count} lines of two numbers belong here; fetch it again")
        return None
    before = len(faults)
    points = np.array([[number(cell, f"{where} line {line}", faults) for cell in row]
                       for line, row in enumerate(rows[1:], start=2)])
    if len(faults) > before:
        return None
    if not ((points >= 0) & (points <= 1)).all():
        point = int(np.argmin(((points >= 0) & (points <= 1)).all(1)))
        faults.append(f"{where} line {point + 2}: ({points[point, 0]:g}, {points[point, 1]:g}) where fractions of the "
                      "image's width and height, 0 to 1, belong")
        return None
    try:
        with Image.open(image) as pil_image:
            size = pil_image.size
    except FileNotFoundError:
        faults.append(f"pngs/{image.name} is missing, though it has labels; fetch the Shenzhen set")
        return None
    except OSError as error:
        faults.append(f"pngs/{image.name} cannot be read: {error}; fetch it again")
        return None
    return Annotation(path.stem, image, points * size, np.ones(count, bool),
                      scale=float(np.sqrt(size[0] * size[1])) / SIDE)


class Chest(KeypointBuilder):
    """One record for each X-ray: 6 landmarks; 195 train, 34 validate and 50 test."""

    name = "chest"
    keypoints = len(LUNGS.names)
    encoding = "png"
    read = staticmethod(read)

    def splits(self, folder):
        return stored(read_whole(self.read, folder, self.name))


DATASET = Dataset(
    name="chest",
    builder=Chest,
    skeleton=lambda folder: LUNGS,
    where="labels/ of MIRACLE-Center/YOLO_Universal_Anatomical_Landmark_Detection (GitHub, MIT) beside pngs/ of the "
          "Shenzhen chest X-ray set (U.S. National Library of Medicine)",
    check=partial(all_faults, read),
)
