"""Labels of videos in a folder: the table `keypoints.csv`.

It has the columns `video`, `frame`, `keypoint`, `x`, `y` and optionally `visible` (0 or 1), and a row for each labelled
point. `video` is a path relative to the folder; frames count from 0; `x` and `y` are pixels of the frame, with the
centre of the first at (0, 0). Keypoints are in the order of their first row.
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.images import boxes
from kpjax.images.video import Video
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource
from kpjax.lab.formats.tables import read_rows, whole_number
from kpjax.structures import Skeleton

TABLE = "keypoints.csv"
COLUMNS = ("video", "frame", "keypoint", "x", "y")


class Labels(NamedTuple):
    """The labelled points of videos: (x, y) px of the frame by (video, frame, index of the keypoint)."""

    skeleton: Skeleton
    points: Mapping[tuple[str, int, int], tuple[float, float]]

    def of(self, title: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the keypoints (K, 2) float64 and visible (K,) bool of a frame."""
        found = [self.points.get((title, frame, k)) for k in range(len(self.skeleton.names))]
        return (np.array([point or (0.0, 0.0) for point in found]).reshape(-1, 2),
                np.array([point is not None for point in found], bool))


def read_labels(table: Path, frames: Mapping[str, int]) -> Labels:
    """Reads a table of labels. frames: the number of frames of each video, by its name.

    Raises InputError with all faults: a missing column, an unknown video or frame, a point that is labelled twice, or
    a cell that is not a number.
    """
    faults: list[str] = []
    points: dict[tuple[str, int, int], tuple[float, float]] = {}
    names: dict[str, int] = {}
    rows = read_rows(Path(table), faults, (*COLUMNS, "visible"))
    if missing := rows.lacks(*COLUMNS):
        raise InputError(f"{table}: column {missing[0]} is missing; required are {', '.join(COLUMNS)}")
    for row in rows.rows:
        before, title, keypoint = len(faults), row.get("video"), row.get("keypoint")
        frame = whole_number(row.get("frame"))
        x, y = row.number("x"), row.number("y")
        if title not in frames:
            row.fault(f"video {title!r} is unknown")
        elif frame is None or frame >= frames[title]:
            row.fault(f"expected a frame of {title} from 0 to {frames[title] - 1}, found {row.get('frame')}")
        if (visible := row.get("visible") or "1") not in ("0", "1"):
            row.fault(f"expected visible to be 0 or 1, found {visible!r}")
        elif visible == "1" and math.isnan(x + y):
            row.fault("x or y is empty; give both, or visible 0")
        point = names.setdefault(keypoint, len(names))
        if len(faults) > before or visible == "0":
            continue
        if (title, frame, point) in points:
            row.fault(f"{keypoint} of frame {frame} of {title} is labelled twice")
        points[title, frame, point] = x, y
    if faults:
        raise InputError(f"{table}: {len(faults)} faults: {summarise(faults)}; the videos are "
                         f"{summarise(list(frames))}")
    if not points:
        raise InputError(f"{table}: no point is labelled; label some, or delete the table")
    return Labels(Skeleton(tuple(names)), points)


def with_labels(source: VideoSource, table: Path, videos: Sequence[Video]) -> VideoSource:
    """Adds the labels of a table to frames in memory, as `kpjax.input.video_source.read_videos` returns them.

    A point outside the transformed image is not visible.

    Args:
        source: The frames.
        table: The table of labels.
        videos: The videos of these frames.

    Raises:
        InputError: As in `read_labels`.
    """
    labels = read_labels(table, {video.name: len(video) for video in videos})
    examples = source.source.examples
    keypoints, visible = [], []
    for index in range(len(source)):
        points, seen = labels.of(source.titles[source.video[index]], int(source.frame[index]))
        moved = boxes.move_points(boxes.invert(examples.crop[source.order[index]]), points)
        seen &= ((moved >= -0.5) & (moved < examples.image.shape[1] - 0.5)).all(-1)
        keypoints.append(np.where(seen[:, None], moved, 0))
        visible.append(seen)
    labelled = arrays(examples.image[source.order], np.stack(keypoints), np.stack(visible), labels.skeleton,
                      source.name, scale=examples.scale[source.order], crop=examples.crop[source.order])
    return replace(source, source=labelled, order=np.arange(len(source)))
