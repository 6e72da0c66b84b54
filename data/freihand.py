"""FreiHAND: real right hands, each image with four versions of its background.

As in RegDA, the four versions of a sample are four examples, cropped to 1.5 times the hand and
mirrored. Its split is random over all of them: versions of one hand are on both sides, so test
scores are optimistic. Crops are stored as JPEG of quality 95. Every point counts as visible, also
where it projects outside the crop. `scale` is the diagonal of the points' box in pixels of the
crop.
"""

from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, fifth_held_out
from data.checking import Splits, downloaded_dataset, numbers, read_json
from data.hands import HAND, cut_hand
from data.parts import with_tune
from data.prepared import Card

SIDE = 224
# in RegDA's order; their positions in the order of file numbers
VERSIONS = {"gs": 0, "auto": 3, "sample": 2, "hom": 1}


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads all four versions of every sample, split by RegDA's rule."""
    cameras, points = (read_json(folder / f"training_{what}.json", faults) for what in ("K", "xyz"))
    if not isinstance(cameras, list) or not isinstance(points, list):
        return {"train": [], "test": []}
    if len(cameras) != len(points):
        faults.append(
            f"training_K.json has {len(cameras)} entries and training_xyz.json {len(points)}; "
            "download both again"
        )
        return {"train": [], "test": []}
    projected = {}
    for number, (camera, point) in enumerate(zip(cameras, points, strict=True)):
        camera = numbers(camera, (3, 3), f"training_K.json entry {number}", faults)
        point = numbers(point, (21, 3), f"training_xyz.json entry {number}", faults)
        if camera is None or point is None:
            continue
        if (point[:, 2] <= 0).any():
            faults.append(
                f"training_xyz.json entry {number}: expected positive depths, found {point[:, 2].min():g}"
            )
            continue
        homogeneous = point @ camera.T
        projected[number] = homogeneous[:, :2] / homogeneous[:, 2:]
    images = [
        Annotation(
            f"{number + version * len(points):08d}",
            folder / "training" / "rgb" / f"{number + version * len(points):08d}.jpg",
            keypoints,
            np.ones(21, bool),
            (SIDE, SIDE),
            partial(cut_hand, mirror=True),
        )
        for version in VERSIONS.values()
        for number, keypoints in projected.items()
    ]
    train, test = fifth_held_out(images)
    return {"train": train, "test": test}


def with_tuning_of_samples(splits: Splits) -> Splits:
    """Returns the splits with a share of the training samples, in all their versions, as "tune"."""
    samples = sum(map(len, splits.values())) // len(VERSIONS)
    return with_tune(splits, lambda hand: str(int(hand.name) % samples))


DATASET = downloaded_dataset(
    "freihand",
    read,
    HAND,
    Card(
        __doc__,
        where="unpack FreiHAND_pub_v2.zip from lmb.informatik.uni-freiburg.de/projects/freihand",
        licence="research use only",
        homepage="https://lmb.informatik.uni-freiburg.de/projects/freihand",
        citation=(
            "Zimmermann et al., FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape "
            "from Single RGB Images, ICCV 2019."
        ),
    ),
    parts=with_tuning_of_samples,
)
