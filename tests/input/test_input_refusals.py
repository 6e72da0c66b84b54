"""What cannot be drawn, streamed or read, in one line that names it."""

from dataclasses import replace

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.input.pairs import frame_pairs
from kpjax.input.protocols import automatic_triples
from kpjax.input.source import arrays, join_sources, labelled_subset, without_keypoints
from kpjax.input.stream import stream
from kpjax.input.video_source import group_into_videos, in_videos
from kpjax.structures import Skeleton

BODY = Skeleton(("left", "pelvis", "right", "head"), ((0, 1), (1, 2), (2, 3)), (2, 1, 0, 3))


def blank(count, skeleton=BODY, name="set"):
    """Black images."""
    points = len(skeleton.names)
    return arrays(
        np.zeros((count, 4, 4, 3), np.uint8),
        np.ones((count, points, 2)),
        np.ones((count, points)),
        skeleton,
        name,
    )


def videos(*lengths):
    """Videos of black frames."""
    return group_into_videos(
        blank(sum(lengths), name="toys"),
        lengths,
        [f"toy{number}" for number in range(len(lengths))],
    )


def pairs(source, **options):
    return frame_pairs(source, **{"window": 2, "batch_size": 2, "seed": 0} | options)


THINNED = replace(
    videos(40), order=np.arange(0, 40, 5), video=np.zeros(8, np.int32), frame=np.arange(0, 40, 5)
)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: arrays(
                np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 4, 2)), np.zeros((4, 3)), BODY, "toy"
            ),
            "toy: field visible",
        ),
        (
            lambda: arrays(
                np.zeros((4, 8, 8, 3)), np.zeros((4, 4, 2)), np.zeros((4, 4)), BODY, "toy"
            ),
            r"toy: images are float64; give uint8 .* `np.round\(255 \* images\).astype",
        ),
        (
            lambda: arrays(
                np.zeros((1, 8, 8, 3), np.uint8),
                np.full((1, 4, 2), np.nan),
                np.ones((1, 4)),
                BODY,
                "toy",
            ),
            "toy: a labelled keypoint is not finite",
        ),
        (lambda: Skeleton("nose"), "'nose' is one name; give a tuple"),
        (
            lambda: Skeleton(("nose", "tail"), edges=(("nose", "tail"),)),
            "edge .* points outside the 2 keypoints",
        ),
        (
            lambda: Skeleton(("nose", "tail"), groups={"head": ("nose",)}),
            "group 'head' has an index outside",
        ),
        (
            lambda: join_sources([blank(2), blank(3, Skeleton(("a",)), "other")], "both"),
            "other has other keypoints than set",
        ),
        (
            lambda: without_keypoints(blank(2), ["left"]).skeleton,
            "right would lose its mirror image",
        ),
        (
            lambda: labelled_subset(blank(20), seed=0, count=21),
            "21 labelled images are asked for, but there are 20",
        ),
        (
            lambda: labelled_subset(blank(20), seed=0, share=1.0, need_unlabelled=True),
            "leave no unlabelled image of 20",
        ),
        (
            lambda: stream(np.zeros((8, 4, 4, 3)), batch_size=1, seed=0),
            "source: ndarray is not a source",
        ),
        (lambda: stream(blank(0), batch_size=1, seed=0), "no example"),
        (
            lambda: stream(blank(10), batch_size=11, seed=0),
            "batch size is 11, but there are 10 examples",
        ),
        (
            lambda: stream(blank(10), batch_size=5, seed=0, process_count=2),
            "5 cannot be divided among 2 processes",
        ),
        (
            lambda: automatic_triples(BODY, ("left",), ("a",), apart=np.ones((4, 4))),
            "'a' is unknown",
        ),
        (
            lambda: automatic_triples(
                Skeleton(("a", "b")), ("a",), ("b",), apart=np.full((2, 2), np.inf)
            ),
            "no image shows",
        ),
        (lambda: in_videos(blank(2)), "its examples are not frames of videos"),
        (lambda: pairs(videos(5, 1, 5)), "1 of 3 videos have a single frame: toy1"),
        (lambda: pairs(videos(30, 10), window=250), "window: .*spans 30; give at most 29"),
        (
            lambda: pairs(THINNED, window=4),
            "8 frames of toys have no other within 4, the first is toy0#000000",
        ),
        (lambda: pairs(videos(5), crop="union"), "crop: union needs annotated boxes"),
    ],
)
def test_refused_in_one_line(call, words):
    with pytest.raises(InputError, match=words):
        call()
