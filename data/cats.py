"""The CAT dataset: heads of cats in photographs, with nine points.

Zhang, Sun and Tang, Cat Head Detection, ECCV 2008. There is no published split: folders CAT_00 to CAT_03 train, the
others test, as work on landmarks divides them by folder. Ear tips that the border cuts off lie outside and are not
visible. Images are stored as they are. `scale` is the distance of the eyes in pixels.
"""
from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, stored
from data.checking import all_faults, number, read_whole
from data.faces import between_eyes
from data.prepared import Dataset, KeypointBuilder
from kpjax.structures import Skeleton

# Left is the viewer's left in the image.
CAT = Skeleton(
    names=("left_eye", "right_eye", "mouth", "left_ear_outer", "left_ear_tip", "left_ear_inner", "right_ear_inner",
           "right_ear_tip", "right_ear_outer"),
    edges=((0, 1), (0, 2), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (5, 0), (6, 1)),
    flip=(1, 0, 2, 8, 7, 6, 5, 4, 3),
    groups={"eyes": (0, 1), "mouth": (2,), "ears": (3, 4, 5, 6, 7, 8), "all": tuple(range(9))},
)
TRAINING = tuple(f"CAT_{number:02d}" for number in range(4))
TESTING = tuple(f"CAT_{number:02d}" for number in range(4, 7))
SUFFIX = ".cat"


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """The cats of all folders CAT_.. that are there, anywhere below this one."""
    places = {place.name: place for place in sorted(folder.rglob("CAT_*"))
              if place.is_dir() and place.name in TRAINING + TESTING}
    if folder.name in TRAINING + TESTING:
        places[folder.name] = folder
    if not places:
        faults.append(f"none of {TRAINING[0]} to {TESTING[-1]} is there; unpack both archives")
    return {split: [cat for name in names if name in places for cat in _cats(places[name], faults)]
            for split, names in (("train", TRAINING), ("test", TESTING))}


def _cats(place: Path, faults: list[str]) -> list[Annotation]:
    images = {file.name: file for file in sorted(place.glob("*.jpg"))}
    described = {file.name.removesuffix(SUFFIX): file for file in sorted(place.glob("*.jpg" + SUFFIX))}
    faults += [f"{place.name}/{name} has no {name}{SUFFIX}; add it (one is published apart) or delete the image"
               for name in images if name not in described]
    faults += [f"{place.name}/{name}{SUFFIX} has no image; delete it"
               for name in described if name not in images]
    cats = []
    for name, image in images.items():
        if name in described and (points := _points(described[name], place.name, faults)) is not None:
            cats.append(Annotation(f"{place.name}/{image.stem}", image, points, np.ones(9, bool)))
    return cats


def _points(path: Path, folder: str, faults: list[str]) -> np.ndarray | None:
    """The points (9, 2) of a file that has their count and then x and y of each, in one line."""
    where, before = f"{folder}/{path.name}", len(faults)
    count, *cells = path.read_text(encoding="ascii", errors="replace").split() or [""]
    if count != "9":
        faults.append(f"{where}: it starts with {count or 'nothing'} where the number of points, 9, belongs")
    elif len(cells) != 18:
        faults.append(f"{where}: {len(cells)} numbers after the 9 where 18 belong, x and y of each point; mend it")
    else:
        points = np.array([number(cell, where, faults) for cell in cells]).reshape(9, 2)
        return points if len(faults) == before else None
    return None


class Cats(KeypointBuilder):
    """One record for each cat: nine points, folders CAT_00 to CAT_03 train, CAT_04 to CAT_06 test."""

    name = "cats"
    keypoints = len(CAT.names)

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name), between_eyes)


DATASET = Dataset(
    name="cats",
    builder=Cats,
    skeleton=lambda folder: CAT,
    where="CAT_DATASET_01.zip, CAT_DATASET_02.zip and 00000003_015.jpg.cat, which belongs in CAT_00 in place of "
          "00000003_019.jpg.cat (archive.org/details/CAT_DATASET); research use",
    check=partial(all_faults, read),
)
