"""Leeds Sports Pose (LSP): people at sports, 14 joints in the 16 slots of RegDA's body skeleton.

All images are in both train and test, as in RegDA, which adapts to LSP without its labels. Images
are stored unchanged; `kpjax.images.transforms.PadToSquare` pads them as RegDA does. Pelvis and
thorax are never visible. `scale` is the diagonal of the visible points' box in pixels, `box` the
tight box of all joints.

Coordinates are taken as stored, as RegDA's loader does, in both sets of Leeds Sports. They may
count pixels from 1; then all labels lie a pixel to the right and below, in training and test alike.

Hidden joints have coordinates too. The splits first_half (images 1 to 1,000) and second_half count
every joint as
visible: networks trained on LSP Extended are selected on one and tested on the other.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation, box_around
from data.bodies import BODY, LEEDS_JOINTS, LEEDS_LABELLED
from data.checking import downloaded_dataset, read_matlab
from data.prepared import Card

HALF = 1000


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads all people, for train and test, and both halves.

    Flag 1 means hidden; in LSP Extended it means visible.
    """
    nobody = {"train": [], "test": [], "first_half": [], "second_half": []}
    joints = read_joints(folder, (3, 14), "LSP Extended, use lspet", faults)
    if joints is None:
        return nobody
    if (joints[2] == 1).all():
        faults.append(
            "joints.mat: no keypoint is visible in the whole set, since all flags are 1 (hidden); download "
            "the original LSP release"
        )
        return nobody
    people = [
        person
        for column in range(joints.shape[2])
        if (
            person := annotation_of(
                folder / "images" / f"im{column + 1:04d}.jpg",
                joints[:2, :, column].T,
                joints[2, :, column],
                False,
                faults,
            )
        )
    ]
    whole = []
    for person in people:
        located = np.isfinite(person.keypoints).all(1) & LEEDS_LABELLED
        whole.append(person._replace(visible=located, box=box_around(person.keypoints, located)))
    people = [person._replace(box=one.box) for person, one in zip(people, whole, strict=True)]
    return {
        "train": people,
        "test": people,
        "first_half": whole[:HALF],
        "second_half": whole[HALF:],
    }


def read_joints(
    folder: Path, shape: tuple[int, int], other: str, faults: list[str]
) -> np.ndarray | None:
    """Reads `joints` of joints.mat, (*shape, images) float64, None (and a fault) if it is invalid.

    other: what a file of the exchanged shape is, for the message.
    """
    content = read_matlab(folder / "joints.mat", ("joints",), faults)
    if content is None:
        return None
    joints = content["joints"]
    if not np.issubdtype(joints.dtype, np.number):
        faults.append(f"joints.mat: expected joints to hold numbers, found {joints.dtype}")
    elif joints.ndim != 3:
        faults.append(f"joints.mat: expected joints of 3 axes, found {joints.ndim} axes")
    elif joints.shape[:2] != shape:
        faults.append(
            f"joints.mat: expected joints of shape ({shape[0]}, {shape[1]}, images), found {joints.shape}"
            + (f"; this is {other}" if joints.shape[:2] == shape[::-1] else "")
        )
    else:
        return joints.astype(np.float64)
    return None


def annotation_of(
    image: Path, joints: np.ndarray, flags: np.ndarray, flag_of_visible: bool, faults: list[str]
) -> Annotation | None:
    """Returns one person's annotation, None (and a fault) if its entry is invalid.

    joints: (14, 2) px. flags: (14,), 0 or 1. flag_of_visible: whether flag 1 means visible.
    """
    where = f"joints.mat column of {image.name}"
    if strange := [flag for flag in flags if flag not in (0, 1)]:
        faults.append(f"{where}: expected flag 0 or 1, found {strange[0]:g}")
        return None
    visible = flags == int(flag_of_visible)
    if not np.isfinite(joints[visible]).all():
        faults.append(
            f"{where}: joint {int(np.argmax(visible & ~np.isfinite(joints).all(1)))} is flagged visible, but "
            "its coordinates are not finite; correct it"
        )
        return None
    slots = list(LEEDS_JOINTS)
    labelled = visible[slots] & LEEDS_LABELLED
    return Annotation(
        image.stem, image, joints[slots], labelled, box=box_around(joints[slots], labelled)
    )


DATASET = downloaded_dataset(
    "lsp",
    read,
    BODY,
    Card(
        __doc__,
        where="unpack lsp_dataset.zip (images/ and joints.mat), Sam Johnson's Leeds Sports Pose page",
        licence="research use",
        homepage="https://sam.johnson.io/research/lsp.html",
        citation=(
            "Johnson and Everingham, Clustered Pose and Nonlinear Appearance Models for Human Pose"
            " Estimation, BMVC 2010."
        ),
    ),
    boxed=True,
    tune="",
)
