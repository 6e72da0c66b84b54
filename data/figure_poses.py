"""The body of the synthetic people: joints, ranges of motion, and smooth movement between poses.

The figure faces the viewer, so its left side is on the right of the image. Nothing else
distinguishes left from right; colours differ between domains.
"""

from typing import NamedTuple

import numpy as np

from kpjax.formats.names import mirrored_name
from kpjax.structures import Skeleton

JOINTS = (
    "head",
    "neck",
    "pelvis",
    "right_shoulder",
    "right_elbow",
    "right_hand",
    "left_shoulder",
    "left_elbow",
    "left_hand",
    "right_hip",
    "right_knee",
    "right_foot",
    "left_hip",
    "left_knee",
    "left_foot",
)
BONES = (
    ("head", "neck"),
    ("neck", "pelvis"),
    ("neck", "right_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_hand"),
    ("neck", "left_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_hand"),
    ("pelvis", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_foot"),
    ("pelvis", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_foot"),
)


def skeleton(names: tuple[str, ...]) -> Skeleton:
    """Returns the skeleton of some joints, with edges to the nearest of them further up the
    body."""
    parent = {child: joint for joint, child in BONES[1:]} | {"neck": "head"}

    def nearest(joint):
        while joint in parent and parent[joint] not in names:
            joint = parent[joint]
        return parent.get(joint)

    edges = tuple(
        (names.index(above), k) for k, name in enumerate(names) if (above := nearest(name))
    )
    kinds = dict.fromkeys(name.partition("_")[2] or name for name in names)
    groups = {
        kind: tuple(k for k, name in enumerate(names) if name.endswith(kind)) for kind in kinds
    }
    return Skeleton(names, edges, tuple(names.index(mirrored_name(name)) for name in names), groups)


ALL_JOINTS = skeleton(JOINTS)
TEN_POINTS = skeleton(
    tuple(name for name in JOINTS if not name.endswith(("pelvis", "shoulder", "hip")))
)

# Lengths as fractions of the height of the body.
TORSO, NECK_TO_HEAD, SHOULDER, HIP = 0.29, 0.135, 0.105, 0.07
UPPER_ARM, FOREARM, THIGH, SHIN = 0.165, 0.16, 0.22, 0.215
HEAD_RADIUS = 0.075


class Range(NamedTuple):
    """The range of one pose parameter, uniformly distributed; angles in degrees."""

    low: float
    high: float


# Arms and legs: 0 hangs down, positive is away from the body; the second angle is relative to the
# first.
RANGES = {
    "lean": Range(-16, 16),
    "bend": Range(-10, 10),
    "nod": Range(-22, 22),
    "right_arm": Range(4, 155),
    "right_forearm": Range(-75, 105),
    "left_arm": Range(4, 155),
    "left_forearm": Range(-75, 105),
    "right_thigh": Range(0, 48),
    "right_shin": Range(-50, 12),
    "left_thigh": Range(0, 48),
    "left_shin": Range(-50, 12),
    # The visible fraction of a limb's length: it may point towards the viewer or away.
    "right_arm_length": Range(0.8, 1),
    "right_forearm_length": Range(0.7, 1),
    "left_arm_length": Range(0.8, 1),
    "left_forearm_length": Range(0.7, 1),
    "right_thigh_length": Range(0.8, 1),
    "right_shin_length": Range(0.8, 1),
    "left_thigh_length": Range(0.8, 1),
    "left_shin_length": Range(0.8, 1),
}
HEIGHT = Range(0.66, 0.86)  # height of the body, as a fraction of the image's side
MARGIN = 0.04  # between border and joints or head, as a fraction of the image's side
NUMBERS = len(RANGES) + 3  # parameters of a pose: the ranges, the height, and the position


def _direction(degrees: np.ndarray) -> np.ndarray:
    """Returns the unit vector (..., 2) at an angle from straight down, towards the right of the
    image.
    """
    radians = np.deg2rad(degrees)
    return np.stack([np.sin(radians), np.cos(radians)], axis=-1)


def joints(pose: np.ndarray, side: int, *, together: bool = False) -> np.ndarray:
    """Computes the joints of poses, (N, 15, 2) float32 px in the order of JOINTS, all inside the
    image by MARGIN.

    pose: (N, NUMBERS) in [0, 1]. side: of the image, px. together: whether the poses are frames of
    one video: the figure then keeps its height, and moves across the image as its extent in each
    frame allows.
    """
    value = {
        name: low + (high - low) * pose[:, n]
        for n, (name, (low, high)) in enumerate(RANGES.items())
    }
    place = {"pelvis": np.zeros((len(pose), 2))}
    lean = value["lean"]
    place["neck"] = -TORSO * _direction(-lean)
    upright = lean + value["bend"]
    place["head"] = place["neck"] - NECK_TO_HEAD * _direction(-upright - value["nod"])
    for name, sign in (("right", -1), ("left", 1)):
        shoulder = place["neck"] + SHOULDER * _direction(sign * 82 - upright)
        arm = sign * value[f"{name}_arm"] - lean
        elbow = shoulder + UPPER_ARM * value[f"{name}_arm_length"][:, None] * _direction(arm)
        forearm = arm + sign * value[f"{name}_forearm"]
        hip = HIP * _direction(sign * 80 - 0.5 * lean)
        thigh = sign * value[f"{name}_thigh"] - 0.5 * lean
        knee = hip + THIGH * value[f"{name}_thigh_length"][:, None] * _direction(thigh)
        shin = thigh + sign * value[f"{name}_shin"]
        place |= {
            f"{name}_shoulder": shoulder,
            f"{name}_elbow": elbow,
            f"{name}_hip": hip,
            f"{name}_knee": knee,
            f"{name}_hand": elbow
            + FOREARM * value[f"{name}_forearm_length"][:, None] * _direction(forearm),
            f"{name}_foot": knee + SHIN * value[f"{name}_shin_length"][:, None] * _direction(shin),
        }
    body = np.stack([place[name] for name in JOINTS], axis=1)
    low = np.minimum(body.min(axis=1), place["head"] - HEAD_RADIUS)
    high = np.maximum(body.max(axis=1), place["head"] + HEAD_RADIUS)
    height = HEIGHT.low + (HEIGHT.high - HEIGHT.low) * pose[:, -3]
    fitting = (1 - 2 * MARGIN) / (high - low).max(axis=1)
    height = np.minimum(height, fitting)
    if together:
        height[:] = height.min()
    size = height[:, None]
    free = 1 - 2 * MARGIN - size * (high - low)
    corner = MARGIN + free * pose[:, -2:] - size * low
    return ((size[..., None] * body + corner[:, None]) * side - 0.5).astype(np.float32)


def motion(generator: np.random.Generator, frames: int, *, frames_per_pose: float) -> np.ndarray:
    """Draws the poses of a video, (frames, NUMBERS) in [0, 1]: smooth cubic paths through random
    poses.

    frames_per_pose: frames from one random pose to the next.
    """
    time = np.arange(frames) / frames_per_pose
    keys = generator.random((int(time[-1]) + 4, NUMBERS))
    first, along = time.astype(int), (time % 1)[:, None]
    return np.clip(between(*(keys[first + n] for n in range(4)), along), 0, 1)


def between(
    before: np.ndarray, start: np.ndarray, end: np.ndarray, after: np.ndarray, along: np.ndarray
) -> np.ndarray:
    """Returns the point at `along`, 0 to 1, of the smooth cubic path from start to end
    (Catmull-Rom).
    """
    return start + 0.5 * along * (
        end
        - before
        + along
        * (2 * before - 5 * start + 4 * end - after + along * (3 * (start - end) + after - before))
    )
