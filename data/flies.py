"""Two courting flies filmed from above, one of them in each image: SLEAP's test clip with 13 points
and two tracks.

`tests/data/tracks` of the repository talmolab/sleap. Points were tracked by a network and edited,
so they measure what keypoints tell of a fly, not accuracy to the pixel. An image is a square of
`SIDE` px about the thorax, off by up to `JITTER` px that the frame draws: like the boxes about the
people of Human3.6M, it moves with the animal, and whoever learns has to find it. `CLIP` frames of
one fly are a video. The flies move from frame 900 on: two parts of it, of which a run trains on one
and tests on the other; calmer frames before it tune. `scale` is `SIDE`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.checking import faults_of, read_whole
from data.prepared import DEFAULT_DATA_DIR, Card, Dataset, Record, open_source, record
from kpjax.formats import sleap
from kpjax.formats.project import Report
from kpjax.images.transforms import Transform
from kpjax.images.video import frames_of_one_size, open_video
from kpjax.input.video_source import VideoSource, frame_name, in_videos
from kpjax.structures import Skeleton

LABELS = "clip.slp"
THORAX = "thorax"
FRAMES: Mapping[str, range] = {
    "first": range(900, 1200),
    "second": range(1200, 1500),
    "tune": range(600, 900),
}
CLIP, SIDE, JITTER = 50, 160, 16
FLY = Skeleton(
    names=(
        "head",
        THORAX,
        "abdomen",
        "wingL",
        "wingR",
        "forelegL4",
        "forelegR4",
        "midlegL4",
        "midlegR4",
        "hindlegL4",
        "hindlegR4",
        "eyeL",
        "eyeR",
    ),
    edges=(
        (1, 0),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (1, 6),
        (1, 7),
        (1, 8),
        (1, 9),
        (1, 10),
        (0, 11),
        (0, 12),
    ),
    flip=(0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11),
)


class Flies(NamedTuple):
    """The points of all flies, px of the video's frames."""

    video: Path
    #: (13, 2) float64 by track and frame, nan where not labelled
    points: Mapping[tuple[str, int], np.ndarray]


def read(folder: Path, faults: list[str]) -> Flies | None:
    """Reads the clip.

    Faults are other keypoints than `FLY`'s, a fly without a track, and those of `sleap.read`.
    """
    if not (folder / LABELS).is_file():
        faults.append(
            f"{LABELS} is missing in {folder}; it lies with clip.mp4 in tests/data/tracks"
        )
        return None
    project = sleap.read(folder / LABELS, Report("", faults, []))
    if not project.frames:
        return None
    if project.skeleton.names != FLY.names:
        faults.append(
            f"{LABELS}: keypoints are {', '.join(project.skeleton.names)}; expected {', '.join(FLY.names)}"
        )
        return None
    points = {
        (one.track, project.frames[one.frame].number): one.keypoints for one in project.instances
    }
    if any(not track for track, _ in points):
        faults.append(
            f"{LABELS}: a fly has no track; the clip with two points and the predictions are other files"
        )
        return None
    return Flies(project.frames[0].path, points)


def _records(found: Flies, frames: range) -> Iterator[Record]:
    tracks = sorted({track for track, _ in found.points})
    for number, image in frames_of_one_size(open_video(found.video), frames):
        if image is None:
            continue
        for animal, track in enumerate(tracks):
            points = found.points.get((track, number))
            if points is None or not np.isfinite(points[FLY.names.index(THORAX)]).all():
                continue
            jitter = np.random.default_rng((animal, number)).uniform(-JITTER, JITTER, 2)
            height, width = image.shape[:2]
            corner = np.round(points[FLY.names.index(THORAX)] + jitter - SIDE / 2)
            left, upper = np.clip(corner, 0, [max(width - SIDE, 0), max(height - SIDE, 0)]).astype(
                int
            )
            crop = np.ascontiguousarray(image[upper : upper + SIDE, left : left + SIDE])
            clip = (number - frames.start) // CLIP
            yield record(
                crop,
                points - (left, upper),
                np.isfinite(points).all(1),
                SIDE,
                frame_name(f"{track}/{clip:02d}", number),
            )


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the parts `first`, `second` and `tune`, one record per fly and frame."""
    clip = read_whole(read, folder, "flies")
    return {part: _records(clip, frames) for part, frames in FRAMES.items()}


def flies(part: str, transform: Transform, *, data_dir: Path = DEFAULT_DATA_DIR) -> VideoSource:
    """Opens the clips of a part: "first", "second" or "tune".

    Raises InputError if the set is not prepared.
    """
    return in_videos(open_source("flies", part, data_dir=data_dir, transform=transform))


DATASET = Dataset(
    "flies",
    FLY,
    Card(
        __doc__,
        where=(
            "tests/data/tracks of github.com/talmolab/sleap (clip.mp4 and clip.slp); needs "
            "kpjax[sleap]"
        ),
        licence="Clear BSD License, academic and research use",
        homepage="https://github.com/talmolab/sleap",
        citation="Pereira et al., SLEAP, Nature Methods 2022.",
    ),
    splits,
    partial(faults_of, read),
    "png",
)
