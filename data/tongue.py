"""Tongue, hyoid and jaw in mid-sagittal ultrasound: 14 points, 11 of them on the tongue's surface
from root to tip.

See `data.speech`. Adults on one machine (micro), children on another (ultrasonix), each with other
probes, depths and angles. Parts have other speakers: train, tune and test hold all machines,
`<part>_<system>` one of them. `videos` and `videos_ultrasonix` are frames without labels of
training speakers, `videos_of_test_speakers` of one who tests. `scale` is a centimetre in pixels, as
estimated.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from data import speech
from data.annotations import split_records
from data.checking import all_faults, read_whole
from data.prepared import Card, Dataset, Record
from kpjax.structures import Skeleton

SURFACE = tuple(range(11))
TONGUE = Skeleton(
    names=(
        "vallecula",
        "tongueRoot1",
        "tongueRoot2",
        "tongueBody1",
        "tongueBody2",
        "tongueDorsum1",
        "tongueDorsum2",
        "tongueBlade1",
        "tongueBlade2",
        "tongueTip1",
        "tongueTip2",
        "hyoid",
        "mandible",
        "shortTendon",
    ),
    edges=(*pairwise(SURFACE), (12, 13)),
    groups={"surface": SURFACE, "all": tuple(range(14))},
)

read = partial(speech.read, "tongue", TONGUE.names)


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the labelled frames of each part and machine, and frames of videos without labels."""
    parts = read_whole(read, folder, "tongue")
    frames = partial(speech.frames_of_videos, "tongue", len(TONGUE.names), folder)
    videos = {
        "videos": frames(),
        "videos_ultrasonix": frames(("ultrasonix",)),
        "videos_of_test_speakers": frames(tested=True),
    }
    apart = {"test_by_hand": [speech.by_hand(frame) for frame in parts["test"]]}
    return split_records({**parts, **speech.by_system(parts, "tongue"), **apart}) | videos


DATASET = Dataset(
    "tongue",
    TONGUE,
    Card(
        __doc__,
        where=(
            "the tongue project of "
            "github.com/articulateinstruments/DeepLabCut-for-Speech-Production"
        ),
        licence="GPL-3.0; recordings of the TaL corpus and UltraSuite, non-commercial",
        homepage="https://github.com/articulateinstruments/DeepLabCut-for-Speech-Production",
        citation=speech.CITATION,
    ),
    splits,
    partial(all_faults, read),
    "png",
)
