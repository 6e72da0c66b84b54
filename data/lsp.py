"""Leeds Sports Pose (LSP): people at sports, 14 joints, in the 16 slots of the body that RegDA uses.

Johnson and Everingham, Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation, BMVC 2010. All
images are in train and in test, as in RegDA, which adapts to LSP without its labels. Images are stored as they are;
the padding to a square is the transform `kpjax.images.transforms.PadToSquare`. Pelvis and thorax are never visible.
`scale` is the diagonal of the visible points' box in pixels, `box` the tight one of all joints.

Hidden joints have a place, too. The splits first_half (images 1 to 1,000) and second_half count every joint as
visible: networks trained on LSP Extended are chosen on one and tested on the other.
"""
from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, box_around, stored
from data.bodies import BODY, LEEDS_JOINTS, LEEDS_LABELLED
from data.checking import all_faults, read_matlab, read_whole
from data.prepared import Dataset, KeypointBuilder

HALF = 1000


def read(folder: Path, faults: list[str], half: int = HALF) -> dict[str, list[Annotation]]:
    """All people, twice, and both halves. The flag 1 means not visible; in LSP Extended it is the other way round."""
    nobody = {"train": [], "test": [], "first_half": [], "second_half": []}
    joints = read_joints(folder / "joints.mat", faults)
    if joints is None:
        return nobody
    if joints.shape[:2] != (3, 14):
        faults.append(f"joints.mat: joints is {joints.shape}, (3, 14, images) belongs here"
                      + ("; this is LSP Extended: use lspet" if joints.shape[:2] == (14, 3) else ""))
        return nobody
    if (joints[2] == 1).all():
        faults.append("joints.mat: every joint is flagged 1, which means hidden in LSP; no keypoint is visible in the "
                      "whole set, the flags are those of another release")
        return nobody
    people = [person for column in range(joints.shape[2]) if (person := described(
        folder / "images" / f"im{column + 1:04d}.jpg", joints[:2, :, column].T, joints[2, :, column], False, faults))]
    whole = []
    for person in people:
        located = np.isfinite(person.keypoints).all(1) & LEEDS_LABELLED
        whole.append(person._replace(visible=located, box=box_around(person.keypoints, located)))
    people = [person._replace(box=one.box) for person, one in zip(people, whole, strict=True)]
    return {"train": people, "test": people, "first_half": whole[:half], "second_half": whole[half:]}


def read_joints(path: Path, faults: list[str]) -> np.ndarray | None:
    """The variable `joints` of a MATLAB file as three axes of float64, None (and a fault) if it is not there."""
    content = read_matlab(path, ("joints",), faults)
    if content is None:
        return None
    joints = content["joints"]
    if not np.issubdtype(joints.dtype, np.number):
        faults.append(f"{path.name}: joints holds {joints.dtype} where numbers belong")
        return None
    if joints.ndim != 3:
        faults.append(f"{path.name}: joints has {joints.ndim} axes where 3 belong")
        return None
    return joints.astype(np.float64)


def described(
    image: Path, joints: np.ndarray, flags: np.ndarray, flag_of_visible: bool, faults: list[str]
) -> Annotation | None:
    """One person. joints: (14, 2). flags: (14,), 0 or 1; `flag_of_visible` says which of them means visible."""
    where = f"joints.mat column of {image.name}"
    if strange := [flag for flag in flags if flag not in (0, 1)]:
        faults.append(f"{where}: flag {strange[0]:g} where 0 or 1 belongs")
        return None
    visible = flags == int(flag_of_visible)
    if not np.isfinite(joints[visible]).all():
        faults.append(f"{where}: joint {int(np.argmax(visible & ~np.isfinite(joints).all(1)))} is flagged visible, but "
                      "its coordinates are not finite")
        return None
    slots = list(LEEDS_JOINTS)
    labelled = visible[slots] & LEEDS_LABELLED
    return Annotation(image.stem, image, joints[slots], labelled, box=box_around(joints[slots], labelled))


class Lsp(KeypointBuilder):
    """One record for each image: 16 points of which 14 are labelled; train and test are the same 2,000 images."""

    name = "lsp"
    keypoints = len(BODY.names)
    boxed = True

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name))


DATASET = Dataset(
    name="lsp",
    builder=Lsp,
    skeleton=lambda folder: BODY,
    where="unpack lsp_dataset.zip (images/ and joints.mat), Sam Johnson's Leeds Sports Pose page; research use",
    check=partial(all_faults, read),
)
