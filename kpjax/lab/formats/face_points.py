"""The 68 points of faces by iBUG's mark-up, which 300-W and dlib use (Sagonas et al., 300 Faces in-the-Wild, 2013)."""
from kpjax.structures import Skeleton

RUNS = {"jaw": (0, 17), "right_brow": (17, 22), "left_brow": (22, 27), "bridge": (27, 31), "nostrils": (31, 36),
        "right_eye": (36, 42), "left_eye": (42, 48), "outer_lip": (48, 60), "inner_lip": (60, 68)}
CLOSED = ("right_eye", "left_eye", "outer_lip", "inner_lip")
_MIRRORED = {  # runs of points and the runs that they become in a mirror, one by one
    (*range(17),): (*range(16, -1, -1),), (*range(17, 22),): (*range(26, 21, -1),), (27, 28, 29, 30): (27, 28, 29, 30),
    (31, 32, 33, 34, 35): (35, 34, 33, 32, 31), (36, 37, 38, 39, 40, 41): (45, 44, 43, 42, 47, 46),
    (48, 49, 50, 51, 52, 53, 54): (54, 53, 52, 51, 50, 49, 48), (55, 56, 57, 58, 59): (59, 58, 57, 56, 55),
    (60, 61, 62, 63, 64): (64, 63, 62, 61, 60), (65, 66, 67): (67, 66, 65)}


def _face() -> Skeleton:
    mirror = {a: b for run, other in _MIRRORED.items() for a, b in zip(run, other, strict=True)}
    mirror |= {b: a for a, b in mirror.items()}
    lines = [(k, k + 1) for first, end in RUNS.values() for k in range(first, end - 1)]
    return Skeleton(
        names=tuple(f"{name}_{k - first}" for name, (first, end) in RUNS.items() for k in range(first, end)),
        edges=(*lines, *((RUNS[name][1] - 1, RUNS[name][0]) for name in CLOSED)),
        flip=tuple(mirror[k] for k in range(68)),
        groups={"jaw": tuple(range(17)), "brows": tuple(range(17, 27)), "nose": tuple(range(27, 36)),
                "eyes": tuple(range(36, 48)), "mouth": tuple(range(48, 68)), "all": tuple(range(68))})


FACE = _face()  # left and right are the person's
NOTE = "68 points: taken for a face with iBUG's mark-up; a skeleton.json beside the labels says otherwise"
