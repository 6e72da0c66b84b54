"""Leeds Sports Pose Extended (LSPET): 10,000 crowd-labelled images of parkour, gymnastics and
athletics.

It differs from LSP in the order of its axes and in its flag: 1 means visible, and at 0 the
coordinates are placeholders. There is no published split; of the images in their order 1 to 1,800
train, 1,801 to 2,000 are for tuning, and the others test. An incomplete copy is read up to its last
image. Images are stored unchanged, with the 16 points of the body, 14 of them labelled. `scale` is
the diagonal of the visible points' box in pixels, `box` that box.
"""

from pathlib import Path

from data.annotations import Annotation
from data.bodies import BODY
from data.checking import downloaded_dataset
from data.lsp import annotation_of, read_joints
from data.parts import PARTS
from data.prepared import Card

TRAINING, TUNING = 1800, 200


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the people up to the last image found: the first columns train, the next tune, the
    others test.
    """
    nobody = {part: [] for part in PARTS}
    joints = read_joints(folder, (14, 3), "the original LSP, use lsp", faults)
    if joints is None:
        return nobody
    hidden = joints[:, 2] == 0
    if hidden.any() and (joints[:, :2] > 0).all(1)[hidden].mean() > 0.5:
        faults.append(
            "joints.mat: most joints flagged 0 (not visible) have coordinates inside the image; download "
            "the LSP Extended release"
        )
        return nobody
    images = [folder / "images" / f"im{column + 1:05d}.jpg" for column in range(joints.shape[2])]
    last = max((column for column, image in enumerate(images) if image.is_file()), default=-1)
    if last < 0:
        faults.append(
            "images/im00001.jpg and all others are missing; unpack the images beside joints.mat"
        )
    people = [
        annotation_of(images[column], joints[:, :2, column], joints[:, 2, column], True, faults)
        for column in range(last + 1)
    ]
    cut = people[:TRAINING], people[TRAINING : TRAINING + TUNING], people[TRAINING + TUNING :]
    return {
        part: [person for person in some if person] for part, some in zip(PARTS, cut, strict=True)
    }


DATASET = downloaded_dataset(
    "lspet",
    read,
    BODY,
    Card(
        __doc__,
        where="unpack lspet_dataset.zip (images/ and joints.mat), Sam Johnson's LSP Extended page",
        licence="research use",
        homepage="https://sam.johnson.io/research/lspet.html",
        citation=(
            "Johnson and Everingham, Learning Effective Human Pose Estimation from Inaccurate "
            "Annotation, CVPR 2011."
        ),
    ),
    boxed=True,
)
