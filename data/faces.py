"""Face skeletons that several datasets share, with 5 and 68 points, and their reference lengths."""

from pathlib import Path

import numpy as np

from data.annotations import Reference
from data.checking import exists
from kpjax.structures import Skeleton

# Of CelebA, MAFL and AFLW. Left is the viewer's left in the image.
FIVE_POINTS = Skeleton(
    names=("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
    edges=((0, 2), (1, 2), (2, 3), (2, 4), (3, 4)),
    flip=(1, 0, 2, 4, 3),
    groups={"eyes": (0, 1), "nose": (2,), "mouth": (3, 4), "all": (0, 1, 2, 3, 4)},
)


def distance_of(first: int, second: int) -> Reference:
    """Returns a reference length: the distance between two points in pixels, 0 if one of them is
    not visible.
    """

    def reference(keypoints: np.ndarray, visible: np.ndarray) -> float:
        if not (visible[first] and visible[second]):
            return 0.0
        return float(np.linalg.norm(keypoints[first] - keypoints[second]))

    return reference


between_eyes = distance_of(0, 1)
# distance of the outer corners of the eyes, among the 68 points
between_outer_corners = distance_of(36, 45)


def listed_names(path: Path, faults: list[str]) -> list[str]:
    """Reads a list of names, one per line; empty (and a fault) if the file is missing."""
    if not exists(path, faults):
        return []
    lines = (
        line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return [line for line in lines if line]
