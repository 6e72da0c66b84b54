"""FreiHAND: real right hands, each image with four versions of its background.

Zimmermann et al., FreiHAND: A Dataset for Markerless Capture of Hand Pose and Shape from Single RGB Images, ICCV 2019.
As in RegDA, the four versions of a sample are four examples, cropped to 1.5 times the hand and mirrored. Its split is
random over all of them: versions of one hand are on both sides, so test scores are optimistic. Crops are stored as JPEG
of quality 95. Every point counts as visible, also where it projects outside the crop. `scale` is the diagonal of the
points' box in pixels of the crop.
"""
from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, fifth_held_out, stored
from data.checking import all_faults, numbers, read_json, read_whole
from data.hands import HAND, cut_hand
from data.parts import with_tune
from data.prepared import Dataset, KeypointBuilder

SIDE = 224
VERSIONS = {"gs": 0, "auto": 3, "sample": 2, "hom": 1}  # in RegDA's order; their positions in the order of file numbers


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads all four versions of every sample, split by RegDA's rule."""
    cameras, points = (read_json(folder / f"training_{what}.json", faults) for what in ("K", "xyz"))
    if not isinstance(cameras, list) or not isinstance(points, list):
        return {"train": [], "test": []}
    if len(cameras) != len(points):
        faults.append(f"training_K.json has {len(cameras)} entries and training_xyz.json {len(points)}; "
                      "download both again")
        return {"train": [], "test": []}
    projected = {}
    for number, (camera, point) in enumerate(zip(cameras, points, strict=True)):
        camera = numbers(camera, (3, 3), f"training_K.json entry {number}", faults)
        point = numbers(point, (21, 3), f"training_xyz.json entry {number}", faults)
        if camera is None or point is None:
            continue
        if (point[:, 2] <= 0).any():
            faults.append(f"training_xyz.json entry {number}: expected positive depths, found {point[:, 2].min():g}")
            continue
        homogeneous = point @ camera.T
        projected[number] = homogeneous[:, :2] / homogeneous[:, 2:]
    images = [
        Annotation(f"{number + version * len(points):08d}",
                   folder / "training" / "rgb" / f"{number + version * len(points):08d}.jpg", keypoints,
                   np.ones(21, bool), (SIDE, SIDE), partial(cut_hand, mirror=True))
        for version in VERSIONS.values() for number, keypoints in projected.items()]
    train, test = fifth_held_out(images)
    return {"train": train, "test": test}


class FreiHand(KeypointBuilder):
    """One record per version of each training sample: 21 points; RegDA's split, 3,200 test."""

    name = "freihand"
    keypoints = len(HAND.names)

    def splits(self, folder):
        splits = read_whole(read, folder, self.name)
        samples = sum(map(len, splits.values())) // len(VERSIONS)
        return stored(with_tune(splits, lambda hand: str(int(hand.name) % samples)))


DATASET = Dataset(
    name="freihand",
    builder=FreiHand,
    skeleton=lambda folder: HAND,
    where="unpack FreiHAND_pub_v2.zip from lmb.informatik.uni-freiburg.de/projects/freihand, research use only",
    check=partial(all_faults, read),
)
