"""Synthetic videos of an arm that pushes three toys on a table, seen from above, with joints and
toys labelled.

They stand in for the unpublished second dataset of Keypoint Pyramids (Qian et al. 2022): an arm
with five joints and three plush toys, in 450 videos of 30 frames. There the gripper moves by up to
a tenth of the table per frame. Video n depends on the seed and n alone.
"""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from data.figure_looks import FINER, Domain, background, finish, target
from data.figures import generator_of
from data.prepared import Counted, rendered_dataset
from kpjax.errors import InputError
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource, group_into_videos
from kpjax.structures import Example, Skeleton

# lengths, from the base, as fractions of the image's side
LINKS = np.array([0.24, 0.21, 0.18, 0.14, 0.1])
BASE = np.array([0.5, 0.06])
REACH = 0.1  # largest movement of the gripper between frames
TOYS = ("bear", "star", "brick")
FRAMES = 30  # frames of each video that is prepared
RADII = np.array([0.075, 0.08, 0.07])  # in the order of TOYS
GRIPPER_RADIUS = 0.035
TABLE = (0.1, 0.9)  # range of the toys' coordinates
JOINTS = ("base", "shoulder", "elbow", "forearm", "wrist", "gripper")
ARM_AND_TOYS = Skeleton(
    (*JOINTS, *TOYS),
    tuple((k, k + 1) for k in range(len(LINKS))),
    groups={
        "arm": tuple(range(len(JOINTS))),
        "toys": tuple(range(len(JOINTS), len(JOINTS) + len(TOYS))),
    },
)
LOOK = target(0.0)  # smooth pattern of the table, and noise


def tabletop_videos(
    count: int, frames: int, side: int, *, seed: int = 0, first: int = 0
) -> VideoSource:
    """Renders `count` videos into memory, with 9 points each: about 3 ms per frame at 64 px.
    `scale` is the side, px.

    seed: selects the endless set. first: number of the first video. Raises InputError if there is
    no frame.
    """
    if count < 1 or frames < 1:
        raise InputError(
            f"tabletop: expected at least one video and one frame, found {count} videos of {frames} "
            "frames"
        )
    points, images = [], []
    home = Domain("tabletop")
    for number in range(first, first + count):
        moved = motion(generator_of(seed, home, number, "motion"), frames)
        look = generator_of(seed, home, number, "look")
        colours, behind = 0.3 + 0.7 * look.random((len(TOYS) + 2, 3)), background(LOOK, look, side)
        turns = 2 * math.pi * look.random(len(TOYS)) + np.cumsum(
            look.normal(0, 0.05, (frames, len(TOYS))), axis=0
        )
        images += [
            finish(_render(spots, turn, colours, side), behind, LOOK.noise, look)
            for spots, turn in zip(moved, turns, strict=True)
        ]
        points.append(moved)
    keypoints = (np.concatenate(points) * side - 0.5).astype(np.float32)
    source = arrays(
        np.stack(images),
        keypoints,
        np.ones(keypoints.shape[:2]),
        ARM_AND_TOYS,
        f"tabletop/{seed}/{first}-{first + count - 1}",
    )
    return group_into_videos(
        source,
        [frames] * count,
        [f"tabletop-{number:05d}" for number in range(first, first + count)],
    )


def motion(generator: np.random.Generator, frames: int) -> np.ndarray:
    """Draws the motion of a video: (frames, 9, 2) float64, fractions of the side, the arm's joints
    and the toys.

    The gripper moves to a random position beyond one toy after another, by up to REACH per frame.
    It pushes all toys in its way.
    """
    toys = _apart(generator)
    gripper = aim = _reachable(generator.uniform(*TABLE, 2))
    bend = np.cumsum(generator.uniform(-0.6, 0.6, len(LINKS)))
    links = LINKS[:, None] * np.stack([np.sin(bend), np.cos(bend)], axis=-1)
    arm = _bent(
        BASE + np.concatenate([np.zeros((1, 2)), np.cumsum(links, axis=0)]), gripper, rounds=30
    )
    path = []
    for _ in range(frames):
        if np.linalg.norm(aim - gripper) < 0.02:
            toy = toys[generator.integers(len(TOYS))]
            beyond = generator.uniform(0.05, 0.25) * _unit(toy - gripper)
            aim = _reachable(np.clip(toy + beyond, *TABLE))
        gripper = gripper + min(
            REACH * generator.uniform(0.5, 1), np.linalg.norm(aim - gripper)
        ) * _unit(aim - gripper)
        toys = _push(toys, gripper)
        arm = _bent(arm, gripper)
        path.append(np.concatenate([arm, toys]))
    return np.stack(path)


def _apart(generator: np.random.Generator) -> np.ndarray:
    """Draws positions of the toys (3, 2) on the table without overlap."""
    while True:
        toys = generator.uniform((TABLE[0], 0.25), TABLE[1], (len(TOYS), 2))
        if all(
            np.linalg.norm(toys[a] - toys[b]) > RADII[a] + RADII[b]
            for a in range(3)
            for b in range(a)
        ):
            return toys


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-9)


def _reachable(position: np.ndarray) -> np.ndarray:
    """Returns the nearest position within the gripper's reach."""
    away = position - BASE
    return BASE + np.clip(np.linalg.norm(away), 0.3, 0.97 * LINKS.sum()) * _unit(away)


def _bent(arm: np.ndarray, goal: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Moves the arm's gripper to `goal` (FABRIK, Aristidou and Lasenby 2011): (6, 2); links keep
    their lengths.
    """
    # much faster than arrays of two
    joints, end = [complex(x, y) for x, y in arm.tolist()], complex(*goal.tolist())

    def beside(joint: complex, other: complex, length: float) -> complex:
        return joint + length * (other - joint) / max(abs(other - joint), 1e-9)

    for _ in range(rounds):
        joints[-1] = end
        for k in range(len(LINKS) - 1, 0, -1):
            joints[k] = beside(joints[k + 1], joints[k], LINKS[k])
        for k in range(len(LINKS)):
            joints[k + 1] = beside(joints[k], joints[k + 1], LINKS[k])
    return np.array([(joint.real, joint.imag) for joint in joints])


def _push(toys: np.ndarray, gripper: np.ndarray) -> np.ndarray:
    """Moves the toys (3, 2) away from the gripper and from each other, on the table."""
    for _ in range(4):
        before, toys = toys, toys.copy()
        for k, toy in enumerate(toys):
            overlap = RADII[k] + GRIPPER_RADIUS - np.linalg.norm(toy - gripper)
            toys[k] = toy + max(overlap, 0) * _unit(toy - gripper)
            for other in range(k):
                apart = toys[k] - toys[other]
                half = max(RADII[k] + RADII[other] - np.linalg.norm(apart), 0) / 2 * _unit(apart)
                toys[k], toys[other] = toys[k] + half, toys[other] - half
        toys = np.clip(toys, *TABLE)
        if (toys == before).all():
            break
    return toys


def _render(points: np.ndarray, turns: np.ndarray, colours: np.ndarray, side: int) -> Image.Image:
    """Renders the toys, and the arm over them, at FINER times the size: red, green, blue and
    coverage.

    points: (9, 2) fractions of the side. turns: (3,) rotations of the toys, radians. colours: (5,
    3) in [0, 1], of the three toys, the links and the joints. side: of the finished image, px.
    """
    size = side * FINER
    canvas = Image.new("RGBX", (size, size))
    pen = ImageDraw.Draw(canvas)
    fills = [(*(int(255 * channel) for channel in colour), 255) for colour in colours]

    def disc(centre, radius, fill):
        (x, y), reach = centre * size, radius * size
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)

    for name, at, turn, fill, radius in zip(
        TOYS, points[len(JOINTS) :], turns, fills, RADII, strict=False
    ):
        dark = (*(channel // 3 for channel in fill[:3]), 255)
        if name == "bear":
            for angle in (turn - 0.7, turn + 0.7):
                disc(
                    at + 0.85 * radius * np.array([math.sin(angle), -math.cos(angle)]),
                    0.4 * radius,
                    fill,
                )
            disc(at, 0.8 * radius, fill)
        else:
            corners = 10 if name == "star" else 4
            angles = turn + 2 * math.pi * np.arange(corners) / corners
            lengths = (
                radius * np.where(np.arange(corners) % 2, 0.5, 1)
                if name == "star"
                else np.full(corners, radius)
            )
            outline = at + lengths[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=-1)
            pen.polygon((outline * size).ravel().tolist(), fill=fill)
        disc(at, 0.25 * radius, dark)
    arm = points[: len(JOINTS)]
    for k in range(len(LINKS)):
        thickness = 0.03 - 0.003 * k
        across = thickness * _unit((arm[k + 1] - arm[k])[::-1] * [-1, 1])
        corners = np.stack(
            [arm[k] + across, arm[k + 1] + across, arm[k + 1] - across, arm[k] - across]
        )
        pen.polygon((corners * size).ravel().tolist(), fill=fills[-2])
        disc(arm[k + 1], thickness, fills[-2])
    for joint in arm[:-1]:
        disc(joint, 0.02, fills[-1])
    disc(arm[-1], GRIPPER_RADIUS, fills[-1])
    return canvas


def named(numbers: range) -> Iterator[tuple[str, Example]]:
    """Yields the name and the example of each frame of videos, of 128 px."""
    for number in numbers:
        video = tabletop_videos(1, FRAMES, 128, first=number)
        for index in range(len(video)):
            yield video.identity(index), video[index]


DATASET = rendered_dataset(
    "tabletop",
    ARM_AND_TOYS,
    __doc__,
    {
        part: Counted(len(videos) * FRAMES, partial(named, videos))
        for part, videos in (("train", range(360)), ("test", range(360, 450)))
    },
)
