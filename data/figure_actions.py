"""The actions of figures in videos, by name."""

import math
from typing import NamedTuple

import numpy as np

from data.figure_poses import HEAD_RADIUS, JOINTS, RANGES, TORSO, motion
from kpjax.errors import InputError
from kpjax.structures import Skeleton

SEVENTEEN = Skeleton(
    names=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_foot",
        "left_hip",
        "left_knee",
        "left_foot",
        "spine",
        "neck",
        "head",
        "head_top",
        "left_shoulder",
        "left_elbow",
        "left_hand",
        "right_shoulder",
        "right_elbow",
        "right_hand",
    ),
    edges=(
        (0, 1),
        (1, 2),
        (2, 3),
        (0, 4),
        (4, 5),
        (5, 6),
        (0, 7),
        (7, 8),
        (8, 9),
        (9, 10),
        (8, 11),
        (11, 12),
        (12, 13),
        (8, 14),
        (14, 15),
        (15, 16),
    ),
    flip=(0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13),
    groups={
        "trunk": (0, 7, 8, 9, 10),
        "shoulder": (11, 14),
        "elbow": (12, 15),
        "hand": (13, 16),
        "hip": (1, 4),
        "knee": (2, 5),
        "foot": (3, 6),
    },
)

PARAMETERS = (*RANGES, "height", "x", "y")  # parameters of a pose, in order


class Wave(NamedTuple):
    """A pose parameter over time: middle + reach * sin(2 pi (turns * cycles + phase)), in [0,
    1]."""

    middle: float
    reach: float = 0.0
    turns: float = 1.0
    phase: float = 0.0


# By the end of the parameter's name.
REST = {
    "lean": 0.5,
    "bend": 0.5,
    "nod": 0.5,
    "arm": 0.08,
    "forearm": 0.42,
    "thigh": 0.1,
    "shin": 0.8,
    "length": 0.9,
    "height": 0.6,
    "x": 0.5,
    "y": 0.5,
}
# `a_` is a random side of the body, `b_` the other one. Unnamed parameters rest.
ACTIONS: dict[str, dict[str, Wave]] = {
    "waving": {"a_arm": Wave(0.75, 0.05), "a_forearm": Wave(0.6, 0.35)},
    "jumping": {
        "a_arm": Wave(0.5, 0.45),
        "b_arm": Wave(0.5, 0.45),
        "a_thigh": Wave(0.45, 0.4),
        "b_thigh": Wave(0.45, 0.4),
        "y": Wave(0.5, -0.3),
    },
    "marching": {
        "a_thigh": Wave(0.35, 0.3),
        "b_thigh": Wave(0.35, 0.3, phase=0.5),
        "a_shin": Wave(0.4, -0.35),
        "b_shin": Wave(0.4, -0.35, phase=0.5),
        "a_arm": Wave(0.15, 0.12, phase=0.5),
        "b_arm": Wave(0.15, 0.12),
        "a_thigh_length": Wave(0.5, -0.5),
        "b_thigh_length": Wave(0.5, -0.5, phase=0.5),
    },
    "squatting": {
        "a_thigh": Wave(0.55, 0.4),
        "b_thigh": Wave(0.55, 0.4),
        "a_shin": Wave(0.45, -0.4),
        "b_shin": Wave(0.45, -0.4),
        "a_thigh_length": Wave(0.5, -0.5),
        "b_thigh_length": Wave(0.5, -0.5),
        "y": Wave(0.5, 0.45),
    },
    "leaning": {
        "lean": Wave(0.5, 0.48),
        "bend": Wave(0.5, 0.45),
        "a_arm": Wave(0.4),
        "b_arm": Wave(0.4),
    },
    "boxing": {
        "a_forearm": Wave(0.5, 0.45),
        "b_forearm": Wave(0.5, 0.45, phase=0.5),
        "a_arm": Wave(0.42, 0.06),
        "b_arm": Wave(0.42, 0.06),
        "a_forearm_length": Wave(0.5, 0.5),
        "b_forearm_length": Wave(0.5, 0.5, phase=0.5),
    },
    "conducting": {
        "a_arm": Wave(0.55, 0.25),
        "b_arm": Wave(0.55, 0.25, phase=0.5),
        "a_forearm": Wave(0.55, 0.3, turns=2),
        "b_forearm": Wave(0.55, 0.3, turns=2, phase=0.5),
    },
    "strolling": {
        "x": Wave(0.5, 0.48, turns=0.5),
        "a_thigh": Wave(0.18, 0.15),
        "b_thigh": Wave(0.18, 0.15, phase=0.5),
        "a_shin": Wave(0.65, -0.15),
        "b_shin": Wave(0.65, -0.15, phase=0.5),
    },
}
SWAY = 0.12  # amplitude of random motion added to every parameter
PERIOD = (12, 26)  # frames per cycle
STRENGTH = (0.7, 1.0)  # factor of the reach


def perform(action: str, generator: np.random.Generator, frames: int) -> np.ndarray:
    """Draws the poses of a video of an action, (frames, NUMBERS) in [0, 1]: its waves plus slow
    random swaying.

    Raises InputError for an unknown action.
    """
    if action not in ACTIONS:
        raise InputError(f"action {action!r} is unknown; choose among {', '.join(ACTIONS)}")
    sides = ("right", "left")[:: 1 if generator.random() < 0.5 else -1]
    period = generator.uniform(*PERIOD)
    cycles = np.arange(frames) / period + generator.random()
    strength = generator.uniform(*STRENGTH)
    pose = np.tile([REST[parameter.rpartition("_")[2]] for parameter in PARAMETERS], (frames, 1))
    pose[:, -3:] += generator.uniform(-0.4, 0.4, 3)
    for name, wave in ACTIONS[action].items():
        column = PARAMETERS.index(
            name.replace("a_", f"{sides[0]}_", 1)
            if name.startswith("a_")
            else name.replace("b_", f"{sides[1]}_", 1)
            if name.startswith("b_")
            else name
        )
        angle = 2 * math.pi * (wave.turns * cycles + wave.phase)
        pose[:, column] = wave.middle + strength * wave.reach * np.sin(angle)
    swaying = motion(generator, frames, frames_per_pose=period)
    swaying[:, -3] = 0.5  # a person's height is constant
    return np.clip(pose + SWAY * (2 * swaying - 1), 0, 1)


def seventeen(points: np.ndarray) -> np.ndarray:
    """Adds spine and top of the head to the 15 joints (..., 15, 2) of a figure: (..., 17, 2)."""
    at = {name: points[..., k, :] for k, name in enumerate(JOINTS)}
    trunk = at["neck"] - at["pelvis"]
    up = at["head"] - at["neck"]
    height = np.linalg.norm(trunk, axis=-1, keepdims=True) / TORSO
    at |= {
        "spine": (at["pelvis"] + at["neck"]) / 2,
        "head_top": at["head"]
        + HEAD_RADIUS * height * up / np.linalg.norm(up, axis=-1, keepdims=True),
    }
    return np.stack([at[name] for name in SEVENTEEN.names], axis=-2).astype(np.float32)
