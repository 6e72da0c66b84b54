"""BBC-Pose: 20 videos of sign-language interpreters, with seven upper-body joints.

Videos 1 to 10 train, with joints from a tracker; 11 to 15 validate and 16 to 20 test, with joints
labelled by hand. Whole frames are stored unchanged. `box` is the tight box of the joints, from
which the published crops are computed (`kpjax.images.transforms.MarginCrop` and `WindowCrop`). The
files count pixels from 1, the records from 0. `scale` is the diagonal of that box in pixels.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation, box_around
from data.checking import downloaded_dataset, numbers, read_matlab
from data.prepared import Card
from kpjax.structures import Skeleton

SIGNER = Skeleton(
    names=(
        "head",
        "right_wrist",
        "left_wrist",
        "right_elbow",
        "left_elbow",
        "right_shoulder",
        "left_shoulder",
    ),
    edges=((0, 5), (0, 6), (5, 6), (5, 3), (3, 1), (6, 4), (4, 2)),
    flip=(0, 2, 1, 4, 3, 6, 5),
    groups={
        "head": (0,),
        "wrist": (1, 2),
        "elbow": (3, 4),
        "shoulder": (5, 6),
        "all": tuple(range(7)),
    },
)
VIDEOS = {"train": range(1, 11), "validation": range(11, 16), "test": range(16, 21)}
METADATA = "code/bbcpose.mat"
# the fields of a video that each split reads
KINDS = {"train": "train", "validation": "test", "test": "test"}


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the labelled frames of all videos.

    The first 20 entries of the metadata are these videos, in order.
    """
    frames: dict[str, list[Annotation]] = {split: [] for split in VIDEOS}
    content = read_matlab(folder / METADATA, ("bbcpose",), faults)
    if content is None:
        return frames
    videos = np.ravel(content["bbcpose"])
    if len(videos) < 20:
        faults.append(f"{METADATA}: expected 20 videos, found {len(videos)}; download it again")
        return frames
    for split, numbers_ in VIDEOS.items():
        fields = [f"{KINDS[split]}_{what}" for what in ("frames", "joints")]
        if absent := [name for name in fields if name not in (videos.dtype.names or ())]:
            faults.append(f"{METADATA}: field {absent[0]} is missing; download it again")
            continue
        for number in numbers_:
            frames[split] += _frames(
                folder, number, *(videos[number - 1][name] for name in fields), faults
            )
    return frames


def _frames(folder: Path, video: int, listed, joints, faults: list[str]) -> list[Annotation]:
    listed = np.ravel(listed).astype(int)
    if not len(listed):
        faults.append(f"{METADATA}: video {video} has no labelled frame; download it again")
        return []
    # MATLAB drops a last axis of one.
    joints = joints[..., None] if joints.ndim == 2 else joints
    where = f"{METADATA} joints of video {video} ({len(listed)} frames)"
    points = numbers(joints, (2, 7, len(listed)), where, faults)
    if points is None:
        return []
    everything = np.ones(7, bool)
    return [
        Annotation(
            f"{video}/{frame}",
            folder / str(video) / f"{frame}.jpg",
            of_frame.T - 1,
            everything,
            box=box_around(of_frame.T - 1, everything),
        )
        for frame, of_frame in zip(listed, np.moveaxis(points, -1, 0), strict=True)
    ]


DATASET = downloaded_dataset(
    "bbc_pose",
    read,
    SIGNER,
    Card(
        __doc__,
        where="folders 1 to 20 and code/ of BBC Pose, robots.ox.ac.uk/~vgg/data/pose",
        licence="non-commercial research",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pose",
        citation=(
            "Charles et al., Domain-Adaptive Discriminative One-Shot Learning of Gestures, ECCV "
            "2014, and earlier work of the group."
        ),
    ),
    boxed=True,
    tune="validation",
)
