"""Keypoint Pyramids on people's own videos, which come back annotated, with a table of coordinates."""
import functools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from PIL import Image

from kpjax import InputError
from kpjax.errors import summarise
from kpjax.evaluation.motion import motion_box, temporal_variance
from kpjax.files import write_text
from kpjax.images.inputs import ImageSequence, from_video
from kpjax.images.transforms import Letterbox, SamePlace, Transform
from kpjax.images.video import Video, find_videos, frames_of_one_size
from kpjax.input.video_source import VideoSource, read_videos
from kpjax.lab.commands.predict.drawing import Look, opacity_from, write_overlay_video
from kpjax.lab.commands.predict.pipeline import Seen, in_original_pixels, shrunk
from kpjax.lab.formats.predictions import OK, PredictionTable, csv_text, empty_table, fill
from kpjax.lab.formats.video_labels import TABLE, with_labels
from kpjax.lab.own.choices import Choice, chosen
from kpjax.lab.own.declaration import OwnSystem, made
from kpjax.systems import pyramids
from kpjax.systems.configs import Count, Rule
from kpjax.systems.pyramids.config import SMALL, Config, Still, VideoSet
from kpjax.systems.system import Job, Outcome, Predicting, StoredRun
from kpjax.training.evaluation import Gathered

PLACE = Rule(lambda place: not place or (len(place) == 4 and min(place[2:]) > 0), "give left, upper, width and height")
SMALLER = 0.8  # of a frame's longer side: the part in which things move is cropped only if it is smaller
PLACE_FRAMES, PLACE_SIDE = 100, 128  # frames of each video in which motion is looked for, and their longer side in px
MARGIN = 1.2  # of the cropped part over what moves
FRAMES = 4000  # of all videos together that are learnt from, about


@dataclass(frozen=True)
class OwnVideos(VideoSet):
    """A person's videos."""

    data: Literal["own"] = "own"
    videos: tuple[str, ...] = ()  # files and folders; a folder may have a table of labels, keypoints.csv
    every: Count = 1  # keeps frames 0, every, 2 every ...
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that do not decode
    image_size: Annotated[Count, tyro.conf.arg(aliases=["--size"])] = 128  # px; videos of several sizes need it typed
    place: Annotated[tuple[float, ...], PLACE] = ()  # left, upper, width and height of the part to look at, px; (): all

    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return SamePlace(self.image_size, self.place) if self.place else Letterbox(self.image_size)

    def files(self) -> tuple[Video, ...]:
        """Finds the videos. Raises InputError if none is named or found."""
        if not self.videos:
            raise InputError("videos", "no video is named; give files or folders, for example --videos clips other.mp4")
        return find_videos(*(Path(path).expanduser() for path in self.videos))


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that a run on a person's own videos depends on."""

    data: OwnVideos = OwnVideos()
    annotated_side: Count = 640  # px, the longer side of the videos that are written, at most
    control: bool = True  # whether the untrained network, which may explain the result, runs beside


OWN = OwnConfig(**vars(SMALL) | {
    "summary": "keypoints of one's own videos, which come back annotated: --videos FILE_OR_FOLDER ...; 2 cores",
    "data": OwnVideos(pair_crop=SMALL.data.pair_crop, window=80), "steps": 2000, "evaluations": 0,
    "pyramid": replace(SMALL.pyramid, sharpness=4.0), "still": Still(residual=True, motion_weight=0.9),
    # As they were measured, rendered people and flies
    "optimizer": replace(SMALL.optimizer, learning_rate=4e-3),
    "rendering": replace(SMALL.rendering, reconstruction_width=0.1),
    "weights": replace(SMALL.weights, motion=0.02),
    "baselines": replace(SMALL.baselines, keynet_steps=2.1),  # for as much computing
    "collapse_steps": 1500,
    # Where nothing moves a copy of the reference is right down to the noise.
    "collapse_baselines": ("constant_colour", "mean_image")})


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed chosen from the videos, each choice printed with its reason."""
    data, files = config.data, config.data.files()
    total = sum(len(video) for video in files)
    fitting = max(math.ceil(total / FRAMES), 1)
    every = data.every if "every" in typed else fitting
    longest = max(-(-len(video) // every) for video in files)
    window = min(data.window, longest // 2)
    if window < 1 or ("window" in typed and data.window > longest // 2):
        asked = data.window if "window" in typed else 1
        raise InputError("videos", f"the longest video has {longest} frames" + (f" (every {every}th)" * (every > 1)) +
                         f", and a window of {asked} needs {2 * asked}; give longer videos"
                         + (" or a smaller --window" if asked > 1 else ""))
    place = Choice("place", (), "as typed") if "place" in typed else place_choice(files, every)
    sizes = {video.size: f"{video.name} {video.size[0]}x{video.size[1]}" for video in files}
    if len(sizes) > 1 and "image_size" not in typed:
        raise InputError("videos", f"videos of {len(sizes)} sizes ({summarise(list(sizes.values()))}); give the size "
                         f"to which they are brought with --size {data.image_size}, or leave some out")
    return chosen(config, [
        place,
        Choice("every", fitting, f"{total} frames in {len(files)} videos"
               + (f"; about {FRAMES} are enough" if fitting > 1 else ", all of them")),
        Choice("window", window, f"the longest video has {longest} frames; pairs are at most half of it apart, and at "
               f"most {data.window} frames"),
        Choice("image_size", data.image_size, "what moves is often small; half as large is four times faster"),
        Choice("batch_size", config.batch_size, "pairs, the small network's"),
        Choice("steps", config.steps, "half of them made keypoints come alive on a clip of little motion")], typed)


def place_choice(files: Sequence[Video], every: int) -> Choice:
    """Chooses the square part of the frames in which things move, with a margin; all of them where it is no smaller."""
    if len({video.size for video in files}) > 1:
        return Choice("place", (), "whole frames: the videos differ in size")
    width, height = files[0].size
    longer = max(width, height)
    small = max(width * PLACE_SIDE // longer, 1), max(height * PLACE_SIDE // longer, 1)
    motion = 0.0
    for video in files:
        step = max(-(-len(video) // PLACE_FRAMES), every)
        shown = [np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BOX))
                 for number, image in frames_of_one_size(video) if image is not None and number % step == 0]
        motion = motion + (temporal_variance(np.stack(shown)) if shown else 0.0)
    if not np.any(motion):
        return Choice("place", (), "whole frames: nothing moves")
    x, y, across, down = motion_box(motion) * np.tile([width / small[0], height / small[1]], 2)
    side = MARGIN * max(across, down)
    if side > SMALLER * longer:
        return Choice("place", (), "whole frames: things move nearly everywhere")
    place = x + (across - side) / 2, y + (down - side) / 2, side, side
    return Choice("place", tuple(round(float(number), 1) for number in place),
                  f"98 % of the motion is within {across:.0f} x {down:.0f} px of {width} x {height}")


def open_data(job: Job) -> pyramids.Data:
    """Opens the videos, which train and test: labels are what no discovery has seen."""
    source = _open(job.config.data)
    if job.variant in pyramids.WITHOUT_NETWORK and not source.skeleton.names:
        raise InputError("variants", f"{job.variant} is evaluated by labels, and {source.name} have none; put a "
                         "keypoints.csv into their folder, or leave the variant out")
    return pyramids.Data(source, source)


@functools.lru_cache(maxsize=2)
def _open(data: OwnVideos) -> VideoSource:
    files = data.files()
    source = read_videos(files, data.square(), every=data.every, on_bad_frame=data.on_bad_frame, mixed_sizes=True,
                         name="own videos")
    tables = [table for path in data.videos if (table := Path(path).expanduser() / TABLE).is_file()]
    if len(tables) > 1:
        raise InputError("videos", f"{len(tables)} tables of labels ({summarise([str(table) for table in tables])}); "
                         "put the videos and one table into one folder")
    return with_labels(source, tables[0], files) if tables else source


def draw(job: Job, data: pyramids.Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws what every preset draws, writes points.csv and annotated/<video>.mp4, and prints their paths.

    points.csv has pixels of the video as it is shown, see `kpjax.lab.formats.predictions`.
    """
    pyramids.draw(job, data, outcome, predictions)
    if outcome.method is None or jax.process_index() != 0:
        return
    folder, side, skeleton = Path(job.folder), job.config.annotated_side, outcome.method.skeleton
    source, found, every = data.test, predictions["test"], job.config.data.every
    look = Look(opacity_from(None, float(np.median(found.scores))))
    tables, written = [], []
    for number, (video, (first, end)) in enumerate(zip(job.config.data.files(), source.bounds, strict=True)):
        sequence = from_video(video, f"{number:03d}_{Path(video.name).stem}", slice(None, None, every))
        table = empty_table(sequence.path, sequence.names, sequence.numbers, skeleton, "", times=sequence.times)
        rows = np.searchsorted(sequence.numbers, source.frame[first:end])
        for place, row in enumerate(rows, first):
            points = in_original_pixels(found.crop[place], found.keypoints[place])
            fill(table, row, video.size, points[None], found.scores[place][None], np.ones(1, bool))
        tables.append(table)
        path = folder / "annotated" / f"{sequence.stem}.mp4"
        write_overlay_video(_seen(sequence, table, side), sequence, look, skeleton, path, path.with_suffix(".gif"))
        written.append(path)
    write_text(folder / "points.csv", csv_text(*tables))
    print(folder / "points.csv", *written, sep="\n")


def _seen(sequence: ImageSequence, table: PredictionTable, side: int) -> Iterator[Seen]:
    """Yields the frames of a video, shrunk to at most `side` pixels, with the table's predictions."""
    for row, read in enumerate(sequence):
        image = fault = None
        try:
            image = shrunk(read(), side)
        except InputError as error:
            fault = error
        animals = table.keypoints[row], table.scores[row], table.status[row] == OK
        yield Seen(row, sequence.video.size, *animals, fault, image)


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, of which it sees the same part."""
    return pyramids.predicting(stored)._replace(transform=stored.config.data.square())


# They stand first in the table: own videos seldom have labels.
SIGNS = ("live_points", "points_on_motion", "motion_coverage", "coincident_points", "point_spread")
SYSTEM = made(OwnSystem(
    pyramids.SYSTEM, OWN, resolved, open_data,
    short_list=lambda config: ("untrained", "pyramids") if config.control else ("pyramids",),
    applicable=lambda config: tuple(name for name in pyramids.VARIANTS if name != pyramids.ORACLE),
    differences={"draw": draw, "predicting": predicting, "columns": lambda config: sorted(
        pyramids.columns(config), key=lambda column: column.metric not in SIGNS)}))
