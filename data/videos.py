"""Any folder of videos: files that FFmpeg reads, or a folder of images for each; without labels or with a table.

A table of labels, `keypoints.csv` in the folder, has the columns `video`, `frame`, `keypoint`, `x`, `y` and, if wanted,
`visible` (0 or 1): a row for each labelled point, the video by its path below the folder, frames from 0 on, pixels of
the frame with the centre of the first at (0, 0). Points are in the order in which the table first names them.
`scale` is the longer side of a frame.
"""
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data.checking import number
from data.prepared import Dataset, KeypointBuilder, Record, record
from kpjax.errors import InputError, summarise
from kpjax.images import boxes
from kpjax.images.video import Video, find_videos, frames_of_one_size, unreadable
from kpjax.input.source import arrays
from kpjax.input.video_source import NO_KEYPOINTS, VideoSource, frame_name
from kpjax.structures import Skeleton

TABLE = "keypoints.csv"
COLUMNS = ("video", "frame", "keypoint", "x", "y")
HELD_OUT = 0.2


class Labels(NamedTuple):
    """Labelled points of videos: (x, y) px of the frame by (video, frame, number of the point)."""

    skeleton: Skeleton
    points: Mapping[tuple[str, int, int], tuple[float, float]]

    def of(self, title: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (K, 2) float64 and visible (K,) bool of a frame."""
        found = [self.points.get((title, frame, k)) for k in range(len(self.skeleton.names))]
        return (np.array([point or (0.0, 0.0) for point in found]).reshape(-1, 2),
                np.array([point is not None for point in found], bool))


def read_labels(table: Path, frames: Mapping[str, int]) -> Labels:
    """The labels of a table. frames: how many each video has, by its name.

    Raises InputError that lists all faults: a column that is missing, a video that is not there, a frame that it has
    not, a point that is labelled twice, what is no number.
    """
    faults: list[str] = []
    points: dict[tuple[str, int, int], tuple[float, float]] = {}
    names: dict[str, int] = {}
    with Path(table).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.DictReader(file)
        if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise InputError(f"{table}: column {missing[0]} is missing; needed are {', '.join(COLUMNS)}")
        for row in rows:
            where = f"line {rows.line_num}"
            before = len(faults)
            title, frame, x, y = row["video"], row["frame"], *(number(row[axis] or "", f"{where} {axis}", faults)
                                                               for axis in "xy")
            if title not in frames:
                faults.append(f"{where}: there is no video {title!r}")
            elif not (frame or "").isdigit() or int(frame) >= frames[title]:
                faults.append(f"{where}: frame {frame} of {title}, which has frames 0 to {frames[title] - 1}")
            if (row.get("visible") or "1") not in ("0", "1"):
                faults.append(f"{where}: visible is {row['visible']!r}; 0 or 1 is needed")
            point = names.setdefault(row["keypoint"], len(names))
            if len(faults) > before or row.get("visible") == "0":
                continue
            if (title, int(frame), point) in points:
                faults.append(f"{where}: {row['keypoint']} of frame {frame} of {title} is labelled twice")
            points[title, int(frame), point] = x, y
    if faults:
        raise InputError(f"{table}: {len(faults)} faults: {summarise(faults)}; the videos are "
                         f"{summarise(list(frames))}")
    if not points:
        raise InputError(f"{table}: no point is labelled in it; label some, or move the table away")
    return Labels(Skeleton(tuple(names)), points)


def with_labels(source: VideoSource, table: Path, videos: Sequence[Video]) -> VideoSource:
    """Frames in memory, as `kpjax.input.video_source.read_videos` gives them, with the labels of a table.

    A point that the transform left outside is not visible. Raises InputError as `read_labels` does.
    """
    labels = read_labels(table, {video.name: len(video) for video in videos})
    examples = source.source.examples
    keypoints, visible = [], []
    for row in range(len(source)):
        points, seen = labels.of(source.titles[source.video[row]], int(source.frame[row]))
        moved = boxes.move_points(boxes.invert(examples.crop[source.order[row]]), points)
        seen &= ((moved >= -0.5) & (moved < examples.image.shape[1] - 0.5)).all(-1)
        keypoints.append(np.where(seen[:, None], moved, 0))
        visible.append(seen)
    labelled = arrays(examples.image[source.order], np.stack(keypoints), np.stack(visible), labels.skeleton,
                      source.name, scale=examples.scale[source.order], crop=examples.crop[source.order])
    return replace(source, source=labelled, order=np.arange(len(source)))


class Videos(KeypointBuilder):
    """One record for each frame of every video of a folder.

    With three videos or more, a fifth of them (one at least, drawn once for all) are for testing; with fewer, the last
    fifth of each. `on_bad_image` counts for frames, too.
    """

    name = "videos"

    def splits(self, folder):
        videos = find_videos(folder)
        labels = _labels(folder, videos)
        return {part: self._records(chosen, labels) for part, chosen in split(videos).items() if chosen}

    def _records(self, chosen: Sequence[tuple[Video, range]], labels: Labels) -> Iterator[Record]:
        for video, kept in chosen:
            if video.cut_off and self.on_bad_image == "stop":
                raise InputError(f"{self.name}: {video.path} ends {video.cut_off} frames early; fetch it again, or use "
                                 "what is there with --on-bad-image skip")
            broken = []
            for place, image in frames_of_one_size(video):
                if place in kept and image is None:
                    broken.append(place)
                elif place in kept:
                    yield _record(video.name, place, image, labels)
            if broken and self.on_bad_image == "stop":
                raise unreadable(video, broken, "--on-bad-image")
            self.skipped += [f"{video.name}: {video.cut_off} frames that are cut off"] * (video.cut_off > 0)
            self.skipped += [frame_name(video.name, place) for place in broken]


def _record(title: str, place: int, image: np.ndarray, labels: Labels) -> Record:
    keypoints, visible = labels.of(title, place)
    height, width = image.shape[:2]
    visible &= ((keypoints > -0.5) & (keypoints < np.array([width, height]) - 0.5)).all(-1)
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=95)
    return record(stored.getvalue(), keypoints, visible, float(max(width, height)), frame_name(title, place))


def split(videos: Sequence[Video]) -> dict[str, list[tuple[Video, range]]]:
    """The frames for training and for testing: whole videos, or the first and last part of each if they are too few."""
    if len(videos) < 3:
        first = [max(round((1 - HELD_OUT) * len(video)), 1) for video in videos]
        parts = {"train": [(video, range(end)) for video, end in zip(videos, first, strict=True)],
                 "test": [(video, range(end, len(video))) for video, end in zip(videos, first, strict=True)]}
        return {part: [(video, kept) for video, kept in chosen if kept] for part, chosen in parts.items()}
    held_out = np.random.default_rng(42).permutation(len(videos))[:max(round(HELD_OUT * len(videos)), 1)]
    return {"train": [(video, range(len(video))) for place, video in enumerate(videos) if place not in held_out],
            "test": [(video, range(len(video))) for place, video in enumerate(videos) if place in held_out]}


def _labels(folder: Path, videos: Sequence[Video]) -> Labels:
    table = folder / TABLE
    return read_labels(table, {video.name: len(video) for video in videos}) if table.exists() else Labels(
        NO_KEYPOINTS, {})


def _check(folder: Path) -> list[str]:
    """What the files say without decoding them all."""
    try:
        _labels(folder, find_videos(folder))
    except InputError as error:
        return [str(error)]
    return []


DATASET = Dataset("videos", Videos, lambda folder: _labels(folder, find_videos(folder)).skeleton,
                  f"your own: a folder of video files or of folders of images, and {TABLE} if points are labelled",
                  _check)
