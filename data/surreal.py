"""SURREAL: synthetic people, in RegDA's copy, cropped to 1.5 times the person.

The 16 points are RegDA's selection of the 24 joints of SMPL: its right side is SMPL's left, and its
shoulders are SMPL's collars. Images are stored unchanged. Every point counts as visible. `scale` is
the diagonal of the points' box in pixels.
"""

import random
from pathlib import Path

import numpy as np

from data.annotations import Annotation, fifth_held_out
from data.bodies import BODY
from data.checking import downloaded_dataset, entries, numbers, read_json
from data.prepared import Card

SMPL_JOINTS = np.array([7, 4, 1, 2, 5, 8, 0, 9, 12, 15, 20, 18, 13, 14, 19, 21])
RUNS = (0, 1, 2)


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads three splits from three folders.

    As in RegDA, train is the first folder without its held-out part, and test is the held-out part
    of the last.
    """
    train, _ = fifth_held_out(_people(folder / "train", faults))
    _, test = fifth_held_out(_people(folder / "test", faults))
    validation = _people(folder / "val", faults)
    random.Random(42).shuffle(validation)
    return {"train": train, "validation": validation, "test": test}


def _people(folder: Path, faults: list[str]) -> list[Annotation]:
    people = []
    for run in RUNS:
        file = f"{folder.name}/run{run}.json"
        content = read_json(folder / f"run{run}.json", faults)
        for number, entry in entries(content, ("name", "keypoint2d"), file, faults):
            where = f"{file} entry {number} ({entry['name']}) keypoint2d"
            keypoints = numbers(entry["keypoint2d"], (24, 2), where, faults)
            if keypoints is not None:
                people.append(
                    Annotation(
                        f"run{run}/{entry['name']}",
                        folder / f"run{run}" / str(entry["name"]),
                        keypoints[SMPL_JOINTS],
                        np.ones(16, bool),
                    )
                )
    return people


DATASET = downloaded_dataset(
    "surreal",
    read,
    BODY,
    Card(
        __doc__,
        where=(
            "unpack train, val and test, which the thuml Transfer-Learning-Library (GitHub) links "
            "to"
        ),
        licence="SURREAL's terms (di.ens.fr/willow/research/surreal)",
        homepage="https://www.di.ens.fr/willow/research/surreal",
        citation="Varol et al., Learning from Synthetic Humans, CVPR 2017.",
    ),
    tune="validation",
)
