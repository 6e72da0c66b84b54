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
    """Returns a reference length: the distance between two points in pixels, 0 if one of them is not visible."""
    def reference(keypoints: np.ndarray, visible: np.ndarray) -> float:
        if not (visible[first] and visible[second]):
            return 0.0
        return float(np.linalg.norm(keypoints[first] - keypoints[second]))
    return reference


between_eyes = distance_of(0, 1)


OUTER_CORNERS = (36, 45)  # of the eyes, among the 68 points
RUNS = {"jaw": (0, 17), "right_brow": (17, 22), "left_brow": (22, 27), "bridge": (27, 31), "nostrils": (31, 36),
        "right_eye": (36, 42), "left_eye": (42, 48), "outer_lip": (48, 60), "inner_lip": (60, 68)}
CLOSED = ("right_eye", "left_eye", "outer_lip", "inner_lip")
MIRRORED = {  # runs of points and the runs that they become in a mirror, one by one
    (*range(17),): (*range(16, -1, -1),), (*range(17, 22),): (*range(26, 21, -1),), (27, 28, 29, 30): (27, 28, 29, 30),
    (31, 32, 33, 34, 35): (35, 34, 33, 32, 31), (36, 37, 38, 39, 40, 41): (45, 44, 43, 42, 47, 46),
    (48, 49, 50, 51, 52, 53, 54): (54, 53, 52, 51, 50, 49, 48), (55, 56, 57, 58, 59): (59, 58, 57, 56, 55),
    (60, 61, 62, 63, 64): (64, 63, 62, 61, 60), (65, 66, 67): (67, 66, 65)}


def _face() -> Skeleton:
    mirror = {a: b for run, other in MIRRORED.items() for a, b in zip(run, other, strict=True)}
    mirror |= {b: a for a, b in mirror.items()}
    lines = [(k, k + 1) for first, end in RUNS.values() for k in range(first, end - 1)]
    return Skeleton(
        names=tuple(f"{name}_{k - first}" for name, (first, end) in RUNS.items() for k in range(first, end)),
        edges=(*lines, *((RUNS[name][1] - 1, RUNS[name][0]) for name in CLOSED)),
        flip=tuple(mirror[k] for k in range(68)),
        groups={"jaw": tuple(range(17)), "brows": tuple(range(17, 27)), "nose": tuple(range(27, 36)),
                "eyes": tuple(range(36, 48)), "mouth": tuple(range(48, 68)), "all": tuple(range(68))})


FACE = _face()  # the 68 points of iBUG; left and right are the person's
between_outer_corners = distance_of(*OUTER_CORNERS)


def listed_names(path: Path, faults: list[str]) -> list[str]:
    """Reads a list of names, one per line; empty (and a fault) if the file is missing."""
    if not exists(path, faults):
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line]
