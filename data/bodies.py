"""The body skeleton of 16 points that SURREAL, Human3.6M, MPII and both Leeds Sports sets share."""

import numpy as np

from kpjax.structures import Skeleton

BODY = Skeleton(
    names=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    edges=(
        (0, 1),
        (1, 2),
        (2, 6),
        (6, 3),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 9),
        (10, 11),
        (11, 12),
        (12, 7),
        (7, 13),
        (13, 14),
        (14, 15),
    ),
    flip=(5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10),
    groups={
        "head": (9,),
        "shoulder": (12, 13),
        "elbow": (11, 14),
        "wrist": (10, 15),
        "hip": (2, 3),
        "knee": (1, 4),
        "ankle": (0, 5),
        # the limbs, without head, neck, thorax and pelvis
        "all": (12, 13, 11, 14, 10, 15, 2, 3, 1, 4, 0, 5),
    },
)

# Which of the 14 joints of Leeds Sports each point is. Two are not labelled: their entries are
# placeholders, which LEEDS_LABELLED masks.
LEEDS_JOINTS = (0, 1, 2, 3, 4, 5, 13, 13, 12, 13, 6, 7, 8, 9, 10, 11)
NEVER_LABELLED = ("pelvis", "thorax")
LEEDS_LABELLED = np.array([name not in NEVER_LABELLED for name in BODY.names])
