"""The inner border of the lips, in front of a camera: 8 points, two of them the corners.

See `data.speech`. One studio and camera; parts have other speakers. `videos` are frames without
labels of speakers in neither test nor tuning, `videos_of_test_speakers` of those who test. `scale`
is the width of the mouth, corner to corner, in pixels.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from data import speech
from data.annotations import split_records
from data.checking import all_faults, read_whole
from data.faces import distance_of
from data.prepared import Card, Dataset, Record
from kpjax.structures import Skeleton

LIPS = Skeleton(
    names=(
        "leftLip",
        "rightLip",
        "topleftinner",
        "bottomleftinner",
        "topmidinner",
        "bottommidinner",
        "toprightinner",
        "bottomrightinner",
    ),
    edges=((0, 2), (2, 4), (4, 6), (6, 1), (0, 3), (3, 5), (5, 7), (7, 1)),
    flip=(1, 0, 6, 7, 4, 5, 2, 3),
    groups={"upper_lip": (0, 2, 4, 6, 1), "lower_lip": (0, 3, 5, 7, 1), "all": tuple(range(8))},
)

read = partial(speech.read, "lips", LIPS.names)


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the labelled frames of each part, and frames of videos without labels."""
    frames = partial(speech.frames_of_videos, "lips", len(LIPS.names), folder)
    return split_records(read_whole(read, folder, "lips"), distance_of(0, 1)) | {
        "videos": frames(),
        "videos_of_test_speakers": frames(tested=True),
    }


DATASET = Dataset(
    "lips",
    LIPS,
    Card(
        __doc__,
        where="the lips project of github.com/articulateinstruments/DeepLabCut-for-Speech-Production",
        licence="GPL-3.0; recordings of the TaL corpus, CC BY-NC 4.0",
        homepage="https://github.com/articulateinstruments/DeepLabCut-for-Speech-Production",
        citation=speech.CITATION,
    ),
    splits,
    partial(all_faults, read),
    "png",
)
