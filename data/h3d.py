"""Hand-3D-Studio (H3D): real hands recorded by many cameras, in RegDA's copy, cropped to 1.5 times
the hand.

Only hands without an object are read. As in RegDA, the split is random over frames, so frames of
one take are on both sides. Images are stored unchanged. Every point counts as visible. `scale` is
the diagonal of the points' box in pixels.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation, fifth_held_out
from data.checking import downloaded_dataset, entries, numbers, read_json
from data.hands import HAND
from data.parts import with_tune
from data.prepared import Card

FOLDER = "H3D_crop"


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the hands without an object, split by RegDA's rule."""
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    hands = []
    content = read_json(root / "annotation.json", faults)
    for number, entry in entries(
        content, ("name", "keypoint2d", "without_object"), "annotation.json", faults
    ):
        where = f"annotation.json entry {number} ({entry['name']})"
        free = numbers(entry["without_object"], (), f"{where} without_object", faults)
        keypoints = numbers(entry["keypoint2d"], (21, 2), f"{where} keypoint2d", faults)
        if free is not None and keypoints is not None and free == 1:
            hands.append(
                Annotation(
                    str(entry["name"]), root / str(entry["name"]), keypoints, np.ones(21, bool)
                )
            )
    train, test = fifth_held_out(hands)
    return {"train": train, "test": test}


DATASET = downloaded_dataset(
    "h3d",
    read,
    HAND,
    Card(
        __doc__,
        where="unpack H3D_crop.tar, which the thuml Transfer-Learning-Library (GitHub) links to",
        licence="research use only",
        homepage="https://github.com/thuml/Transfer-Learning-Library",
        citation=(
            "Zhao et al., Hand-3D-Studio: A New Multi-view System for 3D Hand Reconstruction, "
            "ICASSP 2020."
        ),
    ),
    parts=with_tune,
)
