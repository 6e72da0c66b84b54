"""The inner border of the lips, in front of a camera: 8 points, two of them the corners.

See `data.speech`. One studio and camera; parts have other speakers. `videos` are frames without labels of speakers
in neither test nor tuning, `videos_of_test_speakers` of those who test. `scale` is the width of the mouth, corner to
corner, in pixels.
"""
from functools import partial

import numpy as np

from data import speech
from data.annotations import stored
from data.checking import all_faults, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.structures import Skeleton

LIPS = Skeleton(
    names=("leftLip", "rightLip", "topleftinner", "bottomleftinner", "topmidinner", "bottommidinner", "toprightinner",
           "bottomrightinner"),
    edges=((0, 2), (2, 4), (4, 6), (6, 1), (0, 3), (3, 5), (5, 7), (7, 1)),
    flip=(1, 0, 6, 7, 4, 5, 2, 3),
    groups={"upper_lip": (0, 2, 4, 6, 1), "lower_lip": (0, 3, 5, 7, 1), "all": tuple(range(8))})

read = partial(speech.read, "lips", LIPS.names)


def width(keypoints: np.ndarray, visible: np.ndarray) -> float:
    """Returns the distance between the corners, 0 where one is unlabelled."""
    return float(np.linalg.norm(keypoints[0] - keypoints[1])) if visible[:2].all() else 0.0


class Lips(KeypointBuilder):
    """One record per labelled frame, and frames of videos without labels."""

    name = "lips"
    keypoints = len(LIPS.names)
    encoding = "png"

    def splits(self, folder):
        parts = read_whole(read, folder, self.name)
        frames = partial(speech.frames_of_videos, self.name, self.keypoints, folder)
        return stored(parts, width) | {"videos": frames(), "videos_of_test_speakers": frames(tested=True)}


DATASET = Dataset(
    name="lips",
    builder=Lips,
    skeleton=lambda folder: LIPS,
    where="the lips project of github.com/articulateinstruments/DeepLabCut-for-Speech-Production (GPL-3.0; recordings "
          "of the TaL corpus, CC BY-NC 4.0)",
    check=partial(all_faults, read),
)
