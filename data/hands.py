"""The hand skeleton of 21 points that RHD, Hand-3D-Studio and FreiHAND share, and their crop."""

import numpy as np
from PIL import Image

from kpjax.images.boxes import square_box, tight_box
from kpjax.structures import Skeleton

FINGERS = ("thumb", "index", "middle", "ring", "little")
# from the palm outward; the thumb's first point is its carpometacarpal joint
JOINTS = ("mcp", "pip", "dip", "tip")

HAND = Skeleton(
    names=("wrist", *(f"{finger}_{joint}" for finger in FINGERS for joint in JOINTS)),
    edges=tuple(
        (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1)
        for finger in range(5)
        for joint in range(4)
    ),
    flip=tuple(range(21)),  # a mirrored left hand is a right hand with the same points
    groups={
        "MCP": (1, 5, 9, 13, 17),
        "PIP": (2, 6, 10, 14, 18),
        "DIP": (3, 7, 11, 15, 19),
        "fingertip": (4, 8, 12, 16, 20),
        "all": tuple(range(21)),  # includes the wrist, so it is not the mean of the other four
    },
)


def cut_hand(
    image: Image.Image, keypoints: np.ndarray, *, mirror: bool
) -> tuple[Image.Image, np.ndarray]:
    """Crops the square of 1.5 times the hand, one pixel short on the right and below as in RegDA's
    code.

    Returns the crop, and the keypoints in its pixels. keypoints: (21, 2) px; visible or not, all of
    them define the hand's box. mirror: turns the crop into one of the other hand, x -> width - 1 -
    x.
    """
    left, upper, right, lower = square_box(tight_box(keypoints), *image.size)
    cut = image.crop((int(left), int(upper), int(right), int(lower)))
    moved = keypoints - np.array([left, upper], keypoints.dtype)
    if mirror:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        moved[:, 0] = cut.width - 1 - moved[:, 0]
    return cut, moved
