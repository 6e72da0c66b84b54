"""Any folder of videos, each a file that FFmpeg reads or a folder of images, with or without
labels.

Labels are in `keypoints.csv`, with the columns `video`, `frame`, `keypoint`, `x`, `y` and
optionally `visible` (0 or 1), and a row for each labelled point. `video` is a path relative to the
folder; frames count from 0; `x` and `y` are pixels of the frame, with the centre of the first at
(0, 0). Keypoints are in the order of their first row. `scale` is the longer side of a frame.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.checking import refusal_of
from data.prepared import Card, Dataset, Record, jpeg, record
from kpjax.formats.project import on_frame
from kpjax.formats.video_labels import TABLE, Labels, read_labels
from kpjax.images.video import Video, find_videos, frames_of_one_size
from kpjax.input.video_source import NO_KEYPOINTS, frame_name

HELD_OUT = 0.2


def splits(folder: Path) -> dict[str, Iterator[Record | str]]:
    """Returns every frame of every video of a folder, and a text for each that does not decode.

    A fifth of the videos (at least one, drawn with a fixed seed) test; with fewer than three
    videos, the last fifth of each does.
    """
    videos = find_videos(folder)
    labels = _labels(folder, videos)
    return {part: _records(chosen, labels) for part, chosen in split(videos).items() if chosen}


def _records(chosen: Sequence[tuple[Video, range]], labels: Labels) -> Iterator[Record | str]:
    for video, kept in chosen:
        if video.cut_off:
            yield f"{video.name}: {video.cut_off} frames missing at the end"
        for number, image in frames_of_one_size(video, kept):
            yield (
                f"{frame_name(video.name, number)}: the frame does not decode"
                if image is None
                else _record(video.name, number, image, labels)
            )


def _record(title: str, frame: int, image: np.ndarray, labels: Labels) -> Record:
    keypoints, visible = labels.of(title, frame)
    visible &= on_frame(keypoints, image.shape[1::-1])
    return record(
        jpeg(Image.fromarray(image)),
        keypoints,
        visible,
        float(max(image.shape[:2])),
        frame_name(title, frame),
    )


def split(videos: Sequence[Video]) -> dict[str, list[tuple[Video, range]]]:
    """Splits frames into train and test: by whole videos, or if there are fewer than three, each
    video in two.
    """
    if len(videos) < 3:
        first = [max(round((1 - HELD_OUT) * len(video)), 1) for video in videos]
        parts = {
            "train": [(video, range(end)) for video, end in zip(videos, first, strict=True)],
            "test": [
                (video, range(end, len(video))) for video, end in zip(videos, first, strict=True)
            ],
        }
        return {
            part: [(video, kept) for video, kept in chosen if kept]
            for part, chosen in parts.items()
        }
    held_out = np.random.default_rng(42).permutation(len(videos))[
        : max(round(HELD_OUT * len(videos)), 1)
    ]
    return {
        "train": [
            (video, range(len(video)))
            for index, video in enumerate(videos)
            if index not in held_out
        ],
        "test": [
            (video, range(len(video))) for index, video in enumerate(videos) if index in held_out
        ],
    }


def _labels(folder: Path, videos: Sequence[Video]) -> Labels:
    table = folder / TABLE
    return (
        read_labels(table, {video.name: len(video) for video in videos})
        if table.exists()
        else Labels(NO_KEYPOINTS, {})
    )


DATASET = Dataset(
    "videos",
    lambda folder: _labels(folder, find_videos(folder)).skeleton,
    Card(
        __doc__,
        f"your own: a folder of video files or of folders of images, with {TABLE} if points are labelled",
        licence="your own",
    ),
    splits,
    partial(refusal_of, lambda folder: _labels(folder, find_videos(folder))),
    tune="",
)
