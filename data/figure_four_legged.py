"""Synthetic four-legged animals from the side, with ten points: nose, eye, ear, shoulder, hip, tail
and four paws.

They face left, walk, move head and tail, and vary in build, length of neck and legs, and colours.
The legs of the far side are darker and behind the body.
"""

import math

import numpy as np

from data.figure_categories import Category, Pen, Rendered, dataset_of, ellipse
from kpjax.structures import Skeleton

TEN_OF_ANIMAL = Skeleton(
    names=(
        "nose",
        "eye",
        "ear",
        "shoulder",
        "hip",
        "tail_tip",
        "near_front_paw",
        "far_front_paw",
        "near_hind_paw",
        "far_hind_paw",
    ),
    edges=((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (3, 6), (3, 7), (4, 8), (4, 9)),
    flip=tuple(range(10)),  # a mirrored animal faces the other way, but its points stay the same
    groups={"head": (0, 1, 2), "trunk": (3, 4), "tail": (5,), "paws": (6, 7, 8, 9)},
)
FILLED = (0.7, 0.9)  # longer side of the points' box, as a fraction of the image's side
TILT = 10.0  # degrees to either side


def _direction(degrees: float) -> np.ndarray:
    """Returns the unit vector (2,) at an angle; 0 is to the left, 90 is up."""
    return np.array([-math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))])


def render_animal(pose: np.random.Generator, look: np.random.Generator, side: int) -> Rendered:
    """Renders an animal whose points span 0.7 to 0.9 of the image's side: as of `Category`, with
    (10, 2) points.

    pose: draws pose and shape. look: draws the colours.
    """
    # In the animal's own frame the trunk has length 1, and y is down.
    thick, neck, leg = pose.uniform(0.17, 0.27), pose.uniform(0.3, 0.6), pose.uniform(0.3, 0.48)
    shoulder, hip = np.array([-0.5, 0.0]), np.array([0.5, pose.uniform(-0.08, 0.08)])
    head = shoulder + neck * _direction(pose.uniform(15, 75)) + np.array([0, -0.1])
    gaze = pose.uniform(-35, 10)
    nose = head + 0.27 * _direction(gaze)
    eye, ear = head + 0.07 * _direction(gaze + 70), head + 0.21 * _direction(gaze + 125)
    rise = pose.uniform(110, 215)
    tail = np.stack(
        [
            hip,
            hip + 0.28 * _direction(rise),
            hip + 0.28 * _direction(rise) + 0.26 * _direction(rise + pose.uniform(-40, 40)),
        ]
    )
    legs = [_leg(root, leg, pose) for root in (shoulder, shoulder, hip, hip)]
    points = np.stack([nose, eye, ear, shoulder, hip, tail[-1], *(bones[-1] for bones in legs)])

    tilt = math.radians(TILT) * pose.uniform(-1, 1)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    low, extent = (points @ turn.T).min(0), np.ptp(points @ turn.T, axis=0)
    factor = side * pose.uniform(*FILLED) / max(extent)
    free = side * 0.94 - factor * extent
    corner = side * 0.03 + free * pose.uniform(0.2, 0.8, 2) - 0.5

    def to_pixels(spots) -> np.ndarray:
        return corner + factor * (np.asarray(spots, float) @ turn.T - low)

    coat = 0.2 + 0.75 * look.random(3)
    belly = 0.6 * coat + 0.4 * look.random(3)
    pen = Pen(side)

    def limb(spots, radii, colour) -> None:
        pen.limb(to_pixels(spots), factor * np.asarray(radii), colour)

    for near in (False, True):
        if near:
            limb(tail, (0.05, 0.045, 0.03), coat)
            limb([shoulder, hip], (thick, 0.9 * thick), coat)
            pen.shape(
                to_pixels(ellipse((shoulder + hip) / 2 + [0, 0.6 * thick], (0.4, 0.3 * thick))),
                belly,
            )
            limb([shoulder, head], (0.75 * thick, 0.1), coat)
        for bones in legs[1 - near :: 2]:
            limb(bones, (0.5 * thick, 0.065, 0.05), coat if near else 0.6 * coat)
            limb(bones[-1:], (0.06,), (1.0 if near else 0.6) * belly)
    limb([head, nose], (0.14, 0.07), coat)
    limb([head, ear], (0.07, 0.03), 0.7 * coat)
    limb([nose], (0.045,), np.full(3, 0.08))
    limb([eye], (0.035,), np.full(3, 0.97))
    limb([eye], (0.02,), np.full(3, 0.05))
    return pen.canvas, to_pixels(points)


def _leg(root: np.ndarray, length: float, pose: np.random.Generator) -> np.ndarray:
    """Draws a leg (3, 2) from its root in the body to the paw, the lower half bent back."""
    upper = pose.uniform(-125, -62)
    knee = root + length * _direction(upper)
    return np.stack([root, knee, knee + 0.9 * length * _direction(upper - pose.uniform(0, 35))])


FOUR_LEGGED = Category("figure_four_legged", TEN_OF_ANIMAL, render_animal, ("shoulder", "hip"))
DATASET = dataset_of(FOUR_LEGGED, __doc__)
