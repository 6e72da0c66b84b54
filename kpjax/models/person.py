"""A person's keypoints, as MoveNet finds them and as sets of people name them."""

import re
from collections.abc import Sequence

from kpjax import Skeleton
from kpjax.models.movenet import KEYPOINTS

JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
SIDED = re.compile(rf"(left|l|right|r)?(eye|ear|{'|'.join(JOINTS)})(left|l|right|r)?")
EDGES = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *(
        (f"{side}_{one}", f"{side}_{other}")
        for side in ("left", "right")
        for one, other in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("shoulder", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
        )
    ),
)
# What sets of people label beside these, and how it is worked out.
NECK = "neck"
HEAD_TOP = "head_top"
HEAD = 1.9  # from the neck to the top of the head, in distances from the neck to between the ears
WORKED_OUT = {
    NECK: "between the shoulders",
    HEAD_TOP: f"{HEAD} times from the neck to between the ears",
}


def _mirrored_name(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


PERSON = Skeleton(
    KEYPOINTS,
    tuple((KEYPOINTS.index(one), KEYPOINTS.index(other)) for one, other in EDGES),
    tuple(KEYPOINTS.index(_mirrored_name(name)) for name in KEYPOINTS),
)
WITH_HEAD = Skeleton(
    (*KEYPOINTS, *WORKED_OUT),
    (*PERSON.edges, (len(KEYPOINTS), len(KEYPOINTS) + 1)),
    (*PERSON.flip, len(KEYPOINTS), len(KEYPOINTS) + 1),
)


def of_person(name: str) -> str | None:
    """Returns MoveNet's name of a keypoint, or neck or head_top, by a name such as LeftShoulder,
    l_shoulder, Neck.
    """
    plain = "".join(re.findall("[a-z]", name.lower()))
    if plain in ("nose", "neck"):
        return plain
    if plain in ("headtop", "topofhead", "tophead"):
        return HEAD_TOP
    found = SIDED.fullmatch(plain)
    before_and_after = (found.group(1), found.group(3)) if found else ()
    sides = [side for side in before_and_after if side]
    if len(sides) == 1:
        return f"{'left' if sides[0].startswith('l') else 'right'}_{found.group(2)}"
    return None


def names_of_person(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names as MoveNet has them where it finds the keypoint; of two alike, that which
    is spelt its way.
    """
    order = sorted(range(len(names)), key=lambda k: names[k] not in WITH_HEAD.names)
    taken: dict[str, int] = {}
    for k in order:
        if known := of_person(names[k]):
            taken.setdefault(known, k)
    known_at = {k: known for known, k in taken.items()}
    return tuple(known_at.get(k, name) for k, name in enumerate(names))


def channels(names: Sequence[str]) -> tuple[int, ...]:
    """Returns of each keypoint, by its name, the number of MoveNet's own, -1 for others."""
    return tuple(
        KEYPOINTS.index(name) if name in KEYPOINTS else -1 for name in names_of_person(names)
    )


def is_person(names: Sequence[str]) -> bool:
    """Returns whether most keypoints are a person's, by their names, and at least four of them of
    arms and legs.

    Nose, eyes and ears are named so on animals, too.
    """
    found = [known for known in map(of_person, names) if known]
    limbs = [known for known in found if known.partition("_")[2] in JOINTS]
    return len(limbs) >= 4 and 2 * len(found) > len(names)
