"""Keypoint Pyramids on people's own videos."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from kpjax import InputError
from kpjax.errors import summarise
from kpjax.evaluation.motion import motion_box, temporal_variance
from kpjax.formats.video_labels import TABLE, with_labels
from kpjax.images.reading import spread
from kpjax.images.transforms import Letterbox, Transform
from kpjax.images.video import Video, find_videos, frames_of_one_size
from kpjax.input.source import in_memory, subset
from kpjax.input.video_source import frame_name, read_videos
from kpjax.lab.own.choices import Choice, apply_choices
from kpjax.lab.own.declaration import on_own_data
from kpjax.lab.own.places import SMALLER, Place, at_place, square_about
from kpjax.lab.own.systems import Has, check_can_train
from kpjax.lab.reports.pixel_errors import Part, count_text
from kpjax.lab.reports.told import FRAMES, besides
from kpjax.papers import pyramids
from kpjax.papers.configs import Count, replace_fields, stored_fields
from kpjax.papers.engine import Job
from kpjax.papers.pyramids.config import SMALL, Config, VideoSet
from kpjax.papers.pyramids.measures import PROBED
from kpjax.papers.reports.report import Column
from kpjax.training.finished_runs import FinishedRun

# frames of each video in which motion is looked for, and their longer side in px
PLACE_FRAMES, PLACE_SIDE = 100, 128
ENOUGH_FRAMES = 4000  # enough frames of all videos together that are learnt from, about


@dataclass(frozen=True)
class OwnVideos(VideoSet):
    """A person's videos."""

    data: Literal["own"] = "own"
    #: files and folders; a folder may have a table of labels, keypoints.csv
    videos: tuple[str, ...] = ()
    every: Count = 1  # keeps frames 0, every, 2 every ...
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that do not decode
    #: px; videos of several sizes need it typed
    image_size: int = 128
    pair_crop: Literal["own"] = "own"  # nobody annotated boxes of whole videos
    #: width and height of the frames, and left, upper, width and height of the part to look at, px; (): all
    place: Place = ()

    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return at_place(Letterbox(self.image_size), self.place)

    def files(self) -> tuple[Video, ...]:
        """Finds the videos. Raises InputError if none is named or found."""
        return find_videos(*(Path(path).expanduser() for path in self.videos))


OWN = replace_fields(
    SMALL,
    summary="you have videos and no labels: --videos FILE_OR_FOLDER ...",
    data=OwnVideos(window=80),
    steps=2000,
    evaluations=0,
    sharpness=4.0,
    residual=True,
    motion_weight=0.9,
    # as they were measured, rendered people and flies
    learning_rate=4e-3,
    reconstruction_width=0.1,
    motion=0.02,
    keynet_steps=2.1,  # for as much computing
    collapse_steps=1500,
    # Where nothing moves a copy of the reference is right down to the noise.
    collapse_baselines=("constant_colour", "mean_image"),
)


def resolve(config: Config, typed: Collection[str]) -> Config:
    """Returns the config with what is not typed chosen from the videos, each choice printed with
    its reason.
    """
    data, files = config.data, config.data.files()
    check_can_train("pyramids", Has(longest=max(map(len, files))), "videos")
    total = sum(map(len, files))
    fitting = max(math.ceil(total / ENOUGH_FRAMES), 1)
    every = data.every if "every" in typed else fitting
    longest = max(map(len, files))
    reach = -(-longest // every) // 2 * every  # frames of the video, as a window is
    window = data.window if "window" in typed else max(min(data.window, reach), every)
    if window > reach:
        used = f" (one in {every} is used)" if every > 1 else ""
        smaller = "--window" + (" and --every" if every > 1 else "")
        raise InputError(
            "videos",
            f"the longest video has {longest} frames{used}, and a window of {window} needs {2 * window}; "
            f"give longer videos, or a smaller {smaller}",
        )
    if window < every:
        raise InputError(
            "window", f"{window} frames, and one in {every} is used; give at least {every}"
        )
    sizes = {video.size: f"{video.name} {video.size[0]}x{video.size[1]}" for video in files}
    if len(sizes) > 1 and "image_size" not in typed:
        raise InputError(
            "videos",
            f"videos of {len(sizes)} sizes ({summarise(list(sizes.values()))}); give the size "
            f"to scale them to, such as --image-size {data.image_size}, or leave some out",
        )
    return apply_choices(
        config,
        [
            Choice("place", (), "as typed") if "place" in typed else place_choice(files, every),
            Choice(
                "every",
                fitting,
                f"{total} frames in {len(files)} videos"
                + (f"; about {ENOUGH_FRAMES} are enough" if fitting > 1 else ", all of them"),
            ),
            Choice(
                "window",
                window,
                f"the longest video has {longest} frames; pairs are at most half of it apart, and at "
                f"most {max(data.window, every)} frames",
            ),
            Choice(
                "image_size",
                data.image_size,
                "what moves is often small; half as large is four times faster",
            ),
            Choice("batch_size", config.batch_size, "pairs, the small network's"),
            Choice(
                "steps",
                config.steps,
                "half of them made keypoints come alive on a clip of little motion",
            ),
        ],
        typed,
        summary=f"{total} frames of {summarise([video.name for video in files], 3)}",
    )


def place_choice(files: Sequence[Video], every: int) -> Choice:
    """Chooses the square part of the frames in which things move, with a margin; all of them where
    it is no smaller.
    """
    if len({video.size for video in files}) > 1:
        return Choice("place", (), "whole frames: the videos differ in size")
    width, height = files[0].size
    longer = max(width, height)
    small = max(width * PLACE_SIDE // longer, 1), max(height * PLACE_SIDE // longer, 1)
    motion = 0.0
    for video in files:
        step = max(-(-len(video) // PLACE_FRAMES), every)
        shown = [
            np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BOX))
            for _, image in frames_of_one_size(video, range(0, len(video), step))
            if image is not None
        ]
        motion = motion + (temporal_variance(np.stack(shown)) if shown else 0.0)
    if not np.any(motion):
        return Choice("place", (), "whole frames: nothing moves")
    x, y, across, down = motion_box(motion) * np.tile([width / small[0], height / small[1]], 2)
    place = square_about(x, y, across, down, (width, height))
    if place[2] > SMALLER * longer:
        return Choice("place", (), "whole frames: things move nearly everywhere")
    return Choice(
        "place",
        (width, height, *place),
        f"98 % of the motion is within {across:.0f} x {down:.0f} px of {width} x {height}",
    )


def tables_of(data: OwnVideos) -> list[Path]:
    """Returns the tables of labels beside the videos, at most one.

    Raises InputError for several.
    """
    tables = [table for path in data.videos if (table := Path(path).expanduser() / TABLE).is_file()]
    if len(tables) > 1:
        raise InputError(
            "videos", f"{len(tables)} tables of labels ({summarise([*map(str, tables)])}); keep one"
        )
    return tables


def open_data(job: Job) -> pyramids.Data:
    """Opens the videos, which train and test: labels are what no discovery has seen."""
    data, files = job.config.data, job.config.data.files()
    source = read_videos(
        files,
        data.square(),
        every=data.every,
        on_bad_frame=data.on_bad_frame,
        mixed_sizes=True,
        name="own videos",
    )
    for table in tables_of(data):
        source = with_labels(source, table, files)
    return pyramids.Data(source, source)


def shown(job: Job, data: pyramids.Data) -> Part | None:
    """Returns some frames of the videos for pictures; None for a variant without points."""
    if job.variant in PROBED:
        return None
    source, paths = data.test, {video.name: video.path for video in job.config.data.files()}
    rows = spread(range(len(source)), FRAMES)
    names = [
        frame_name(
            paths[source.titles[source.video[row]]].absolute().as_posix(), int(source.frame[row])
        )
        for row in rows
    ]
    return Part(replace(in_memory(subset(source, rows)), names=tuple(names)), Path("/"))


def told(run: FinishedRun, others: Sequence[FinishedRun]) -> list[str]:
    """Says how many points follow something, and how many lie on top of each other."""
    found, count = run.metrics, sum(stored_fields(run.config)["level_sizes"])
    if "following_points" not in found:
        return ["Nothing moves in these videos, so that no point can be said to follow anything."]
    words = [
        f"{found['following_points']:.0f} of {count_text(count, 'point')} follow something that moves"
        f"{besides(others, 'following_points')}."
    ]
    if heaped := round(found["heaped_points"]):
        left = count - heaped + round(found["heaps"])
        there = "the points have collapsed to" if heaped > count / 2 else "there are"
        words.append(
            f"{heaped} of the {count} lie on top of others, in {count_text(round(found['heaps']), 'heap')}"
            f"{besides(others, 'heaped_points')}: {there} {left} different places."
        )
    if still := count - round(found["live_points"]):
        words.append(f"{still} of them rest in one place, or at the border of the images.")
    return words


# They stand first in the table: own videos seldom have labels.
SIGNS = (
    Column("following_points", "points that follow what moves", "", 1.0, 0),
    Column("heaped_points", "points on top of others", "", 1.0, 0, "lower"),
    Column("points_on_motion", "points on what moves", "% of all frames", 100.0, 0),
    Column("motion_coverage", "motion near a point", "%", 100.0, 0),
)
SAID = {sign.metric for sign in SIGNS} | {"coincident_points", "live_points", "point_spread"}
PAPER = pyramids.PAPER._replace(
    short_list=lambda preset, config: ("untrained", "pyramids"),
    applicable=lambda preset, config: tuple(  # labels evaluate those without a network
        name
        for name in pyramids.VARIANTS
        if name != pyramids.ORACLE
        and (name not in pyramids.WITHOUT_NETWORK or tables_of(config.data))
    ),
    predicting=lambda run: pyramids.PAPER.predicting(run)._replace(
        transform=run.config.data.square()
    ),
    columns=lambda config: (
        *SIGNS,
        *(column for column in pyramids.columns(config) if column.metric not in SAID),
    ),
)
EXPERIMENT = on_own_data(PAPER, OWN, resolve, open_data, shown=shown, told=told)
