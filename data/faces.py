"""The face of five points that CelebA, MAFL and AFLW share, and the distance of its eyes."""
from pathlib import Path

import numpy as np

from data.annotations import Reference
from kpjax.structures import Skeleton

# Left is the viewer's left in the image.
FIVE_POINTS = Skeleton(
    names=("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
    edges=((0, 2), (1, 2), (2, 3), (2, 4), (3, 4)),
    flip=(1, 0, 2, 4, 3),
    groups={"eyes": (0, 1), "nose": (2,), "mouth": (3, 4), "all": (0, 1, 2, 3, 4)},
)


def distance_of(first: int, second: int) -> Reference:
    """A set's reference length: the distance of two of its points in pixels, 0 if one of them is not visible."""
    def reference(keypoints: np.ndarray, visible: np.ndarray) -> float:
        if not (visible[first] and visible[second]):
            return 0.0
        return float(np.linalg.norm(keypoints[first] - keypoints[second]))
    return reference


between_eyes = distance_of(0, 1)


def listed_names(path: Path, faults: list[str]) -> list[str]:
    """The names of a list, one a line; none (and a fault) if there is no such file."""
    if not path.is_file():
        faults.append(f"{path.name} is missing, expected at {path}")
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line]
