"""Labels of videos in a folder: `keypoints.csv`, a plain table (`plain_csv`) with the columns
`video` and `frame`.

`video` is a path relative to the folder; frames count from 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.formats import plain_csv
from kpjax.formats.project import Instance, Report, on_frame
from kpjax.images import boxes
from kpjax.images.video import Video
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource
from kpjax.structures import Skeleton

TABLE = "keypoints.csv"


class Labels(NamedTuple):
    """The labelled animals of videos, by (video, frame)."""

    skeleton: Skeleton
    animals: Mapping[tuple[str, int], Instance]

    def of(self, title: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the keypoints (K, 2) float64 and visible (K,) bool of a frame."""
        count = len(self.skeleton.names)
        one = self.animals.get((title, frame))
        if one is None:
            return np.zeros((count, 2)), np.zeros(count, bool)
        return np.nan_to_num(one.keypoints), one.seen


def read_labels(table: Path, frames: Mapping[str, int]) -> Labels:
    """Reads a table of labels. frames: the number of frames of each video, by its name."""
    faults: list[str] = []
    try:
        project = plain_csv.read(Path(table), Report("", faults, []))
    except InputError as error:
        raise InputError(f"{table}: {summarise([*faults, str(error)])}") from None
    animals: dict[tuple[str, int], Instance] = {}
    for one in project.instances:
        frame = project.frames[one.frame]
        title = frame.name.rpartition("/")[0]
        number = frame.number or 0
        if frame.number is None or title not in frames:
            faults.append(f"video {title!r} is unknown")
        elif number >= frames[title]:
            faults.append(
                f"expected a frame of {title} from 0 to {frames[title] - 1}, found {number}"
            )
        elif animals.setdefault((title, number), one) is not one:
            faults.append(f"frame {number} of {title} has several animals; keep one")
    if faults:
        raise InputError(f"{table}: {summarise(faults)}; the videos are {summarise(list(frames))}")
    if not any(one.seen.any() for one in animals.values()):
        raise InputError(f"{table}: no point is labelled; label some, or delete the table")
    return Labels(project.skeleton, animals)


def with_labels(source: VideoSource, table: Path, videos: Sequence[Video]) -> VideoSource:
    """Adds the labels of a table to frames in memory, as `kpjax.input.video_source.read_videos`
    returns them.

    A point outside the transformed image is not visible. videos: those of the frames.
    """
    labels = read_labels(table, {video.name: len(video) for video in videos})
    examples = source.source.examples
    titles = [source.titles[video] for video in source.video]
    places = list(zip(titles, map(int, source.frame), strict=True))
    lost = len(labels.animals.keys() - {*places})
    if lost:
        print(
            f"{table.name}: {lost} frames with labels measure nothing, since --every leaves them out"
        )
    crops = examples.crop[source.order]
    size = examples.image.shape[2:0:-1]
    keypoints = []
    visible = []
    for place, crop in zip(places, crops, strict=True):
        points, seen = labels.of(*place)
        moved = boxes.move_points(boxes.invert(crop), points)
        seen &= on_frame(moved, size)
        keypoints.append(np.where(seen[:, None], moved, 0))
        visible.append(seen)
    labelled = arrays(
        examples.image[source.order],
        np.stack(keypoints),
        np.stack(visible),
        labels.skeleton,
        source.name,
        scale=examples.scale[source.order],
        crop=crops,
    )
    return replace(source, source=labelled, order=np.arange(len(source)))
