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
from kpjax.formats.project import Report, on_frame
from kpjax.images import boxes
from kpjax.images.video import Video
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource
from kpjax.structures import Skeleton

TABLE = "keypoints.csv"


class Labels(NamedTuple):
    """The labelled points of videos: (x, y) px of the frame by (video, frame, index of the
    keypoint).
    """

    skeleton: Skeleton
    points: Mapping[tuple[str, int, int], tuple[float, float]]

    def of(self, title: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the keypoints (K, 2) float64 and visible (K,) bool of a frame."""
        count = len(self.skeleton.names)
        keypoints = np.zeros((count, 2))
        visible = np.zeros(count, bool)
        for k in range(count):
            point = self.points.get((title, frame, k))
            if point is not None:
                keypoints[k] = point
                visible[k] = True
        return keypoints, visible


def read_labels(table: Path, frames: Mapping[str, int]) -> Labels:
    """Reads a table of labels. frames: the number of frames of each video, by its name."""
    faults: list[str] = []
    try:
        project = plain_csv.read(Path(table), Report("", faults, []))
    except InputError as error:
        raise InputError(f"{table}: {summarise([*faults, str(error)])}") from None
    points = {}
    crowded: dict[tuple[str, int], None] = {}
    for one in project.instances:
        frame = project.frames[one.frame]
        title = frame.name.rpartition("/")[0]
        if frame.number is None or title not in frames:
            faults.append(f"video {title!r} is unknown")
            continue
        if frame.number >= frames[title]:
            faults.append(
                f"expected a frame of {title} from 0 to {frames[title] - 1}, found {frame.number}"
            )
        for k in np.flatnonzero(one.visible).tolist():
            if (title, frame.number, k) in points:
                crowded[title, frame.number] = None
            points[title, frame.number, k] = tuple(one.keypoints[k].tolist())
    faults += [
        f"frame {frame} of {title} has several animals; keep one" for title, frame in crowded
    ]
    if faults:
        raise InputError(f"{table}: {summarise(faults)}; the videos are {summarise(list(frames))}")
    if not points:
        raise InputError(f"{table}: no point is labelled; label some, or delete the table")
    return Labels(project.skeleton, points)


def with_labels(source: VideoSource, table: Path, videos: Sequence[Video]) -> VideoSource:
    """Adds the labels of a table to frames in memory, as `kpjax.input.video_source.read_videos`
    returns them.

    A point outside the transformed image is not visible. videos: those of the frames.
    """
    labels = read_labels(table, {video.name: len(video) for video in videos})
    examples = source.source.examples
    titles = [source.titles[video] for video in source.video]
    places = list(zip(titles, map(int, source.frame), strict=True))
    labelled_frames = {(title, frame) for title, frame, _ in labels.points}
    lost = len(labelled_frames - {*places})
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
