"""Synthetic faces with fourteen points: eyes, nose, corners of the mouth, five on the outline, four
on the hairline.

They turn, nod and tilt, open the mouth, and vary in jaw, hair, ears and colours. What varies on its
own is labelled: a point on hair that the labels do not tell would have an error of a regression
from them, even if it were perfect.
"""

import math

import numpy as np

from data.figure_categories import Category, Pen, Rendered, closed_curve, dataset_of, ellipse
from kpjax.structures import Skeleton

# Left is the viewer's left in the image.
FOURTEEN_OF_FACE = Skeleton(
    names=(
        "left_eye",
        "right_eye",
        "nose",
        "left_mouth",
        "right_mouth",
        "left_temple",
        "right_temple",
        "left_jaw",
        "right_jaw",
        "chin",
        "left_fringe",
        "right_fringe",
        "left_hair",
        "right_hair",
    ),
    edges=((0, 2), (1, 2), (3, 4), (2, 3), (2, 4), (5, 7), (7, 9), (9, 8), (8, 6), (10, 11)),
    flip=(1, 0, 2, 4, 3, 6, 5, 8, 7, 9, 11, 10, 13, 12),
    groups={
        "eyes": (0, 1),
        "nose": (2,),
        "mouth": (3, 4),
        "outline": (5, 6, 7, 8, 9),
        "hair": (10, 11, 12, 13),
    },
)
SKIN = np.array([0.95, 0.75, 0.6])
ROLL = 22.0  # degrees to either side
# above the horizontal, of the labelled points of its outline: they are inside every image
HAIR = math.radians(20)


def render_face(pose: np.random.Generator, look: np.random.Generator, side: int) -> Rendered:
    """Renders a face 0.55 to 0.75 of the image's side high, all points inside: as of `Category`,
    with (14, 2) points.

    pose: draws pose and shape. look: draws the colours.
    """
    height = side * pose.uniform(0.55, 0.75)
    roll = math.radians(ROLL) * pose.uniform(-1, 1)
    middle = side * pose.uniform(0.44, 0.56, 2) - 0.5
    yaw, nod, opened = pose.uniform(-1, 1), pose.uniform(-1, 1), pose.random()
    jaw, apart, wide = pose.uniform(0.25, 0.34), pose.uniform(0.15, 0.19), pose.uniform(0.1, 0.17)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])

    def to_pixels(points) -> np.ndarray:
        """Converts from the face's own frame (height 1, y down, origin in the middle) to pixels."""
        return middle + height * np.asarray(points, float) @ turn.T

    # Parts that protrude from the head move more when it turns.
    shift = 0.075 * np.array([yaw, 0.5 * nod])
    left_eye, right_eye = np.array([-apart, -0.08]) + shift, np.array([apart, -0.08]) + shift
    nose, mouth = np.array([0, 0.1]) + 1.9 * shift, np.array([0, 0.26]) + 1.1 * shift
    corners = np.array([[-wide, 0], [wide, 0]]) + mouth
    outline = np.array(
        [
            [0, -0.5],
            [-0.28, -0.4],
            [-0.37, -0.1],
            [-jaw, 0.28],
            [-0.4 * jaw, 0.46],
            [0, 0.5],
            [0.4 * jaw, 0.46],
            [jaw, 0.28],
            [0.37, -0.1],
            [0.28, -0.4],
        ]
    )
    outline[4:7] += 0.6 * shift

    skin, hair, lips, iris = _colours(look)
    pen = Pen(side)
    top, radii = np.array([0, -0.12]), np.array([0.44, 0.44 + 0.2 * look.random()])
    pen.shape(to_pixels(ellipse(top, radii)), hair)
    for x in (-0.38, 0.38):
        pen.shape(to_pixels(ellipse((x - 0.04 * yaw, 0), (0.06, 0.11))), 0.85 * skin)
    pen.shape(to_pixels(closed_curve(outline)), skin)
    fringe = -0.34 + 0.12 * look.random()
    pen.shape(
        to_pixels(
            closed_curve(
                np.array(
                    [
                        [-0.36, -0.2],
                        [-0.3, -0.45],
                        [0, -0.57],
                        [0.3, -0.45],
                        [0.36, -0.2],
                        [0.2, fringe],
                        [-0.2, fringe],
                    ]
                )
            )
        ),
        hair,
    )
    for eye, outwards in ((left_eye, -1), (right_eye, 1)):
        pen.shape(to_pixels(ellipse(eye, (0.085, 0.05))), np.array([0.97, 0.97, 0.95]))
        pen.shape(to_pixels(ellipse(eye, (0.042, 0.046))), iris)
        pen.shape(to_pixels(ellipse(eye, (0.02, 0.022))), np.full(3, 0.05))
        brow = (
            eye
            + np.array([[-0.09, -0.085], [0, -0.115], [0.09, -0.085]])
            + [0.01 * outwards, 0.02 * opened]
        )
        pen.limb(to_pixels(brow), height * np.full(3, 0.014), 0.6 * hair)
    pen.shape(
        to_pixels(np.array([[-0.02, -0.05], [0.02, -0.05], [0.055, 0.03], [-0.055, 0.03]]) + nose),
        0.8 * skin,
    )
    pen.shape(to_pixels(ellipse(nose, (0.055, 0.04))), 0.7 * skin)
    gap = 0.015 + 0.05 * opened
    pen.shape(to_pixels(_lens(corners, gap + 0.03)), lips)
    pen.shape(to_pixels(_lens(0.85 * corners + 0.15 * mouth, gap)), 0.3 * lips)
    side_of_hair = radii * [math.cos(HAIR), -math.sin(HAIR)]
    points = np.stack(
        [
            left_eye,
            right_eye,
            nose,
            *corners,
            outline[2],
            outline[8],
            outline[3],
            outline[7],
            outline[5],
            [-0.2, fringe],
            [0.2, fringe],
            top - side_of_hair * [1, -1],
            top + side_of_hair,
        ]
    )
    return pen.canvas, to_pixels(points)


def _colours(look: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draws the colours of skin, hair, lips and iris, (3,) in [0, 1]."""
    skin = SKIN * (0.45 + 0.55 * look.random()) * (1 + 0.06 * look.standard_normal(3))
    hair = (0.08 + 0.7 * look.random()) * np.array(
        [1, 0.5 + 0.5 * look.random(), 0.2 + 0.8 * look.random()]
    )
    lips = skin * np.array([0.95, 0.5, 0.5])
    return skin, hair, lips, 0.15 + 0.5 * look.random(3)


def _lens(ends: np.ndarray, half_height: float) -> np.ndarray:
    """Returns two arcs (20, 2) between two points at one height."""
    along = np.linspace(0, 1, 11)
    bow = half_height * np.sin(np.pi * along)
    upper = ends[0] + along[:, None] * (ends[1] - ends[0]) - np.stack([0 * bow, bow], -1)
    lower = ends[0] + along[:, None] * (ends[1] - ends[0]) + np.stack([0 * bow, bow], -1)
    return np.concatenate([upper, lower[-2:0:-1]])


FACES = Category("figure_faces", FOURTEEN_OF_FACE, render_face, ("left_eye", "right_eye"))
DATASET = dataset_of(FACES, __doc__)
