"""The videos of a run: what is learnt from, and what keypoints are judged on."""
import functools
from collections import namedtuple
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from data.figure_actions import Recording, recording
from data.figure_videos import figure_videos
from data.human36m_videos import human36m_videos
from data.tabletop import tabletop_videos
from data.videos import TABLE, with_labels
from experiments.pyramids.config import Config
from kpjax.errors import InputError, summarise
from kpjax.images.transforms import Letterbox, PersonCrop, Transform
from kpjax.images.video import Video, find_videos
from kpjax.input.pairs import PairStream, frame_pairs
from kpjax.input.video_source import VideoSource, of_videos, read_videos
from kpjax.structures import Skeleton

# The fields of a config that decide which frames there are.
Settings = namedtuple("Settings", (
    "data", "videos", "every", "on_bad_frame", "mixed_sizes", "training_videos", "test_videos", "video_frames",
    "recordings", "actions", "image_size", "crop_margin"))


class Videos(NamedTuple):
    """Of one seed."""

    train: VideoSource  # its labels reach the supervised bound only
    test: VideoSource  # of own videos the same as `train`: the labels are what no discovery has seen
    files: tuple[Video, ...] = ()  # own videos as they were given

    @property
    def joints(self) -> Skeleton:
        """The points that are labelled; none in videos without labels."""
        return self.test.skeleton


def open_videos(config: Config, seed: int, data_dir: Path) -> Videos:
    """The videos of a seed, kept for the next run of the same settings; drawn ones differ between seeds.

    Raises InputError for what cannot be read, for sets that were not prepared, and where no video is named.
    """
    settings = Settings(*(getattr(config, name) for name in Settings._fields))
    return _opened(settings, seed if config.data in ("figures", "tabletop") else 0, data_dir)


def pairs_of(config: Config, videos: Videos, seed: int) -> dict[str, PairStream]:
    """The streams of discovery. Raises InputError for videos that have no pairs within the window."""
    return frame_pairs(videos.train, window=config.window, batch_size=config.batch_size, seed=seed,
                       crop=config.pair_crop, repeats=True, process_index=jax.process_index(),
                       process_count=jax.process_count())


def place_of(config: Config | Settings) -> Transform:
    """How a frame becomes a square picture."""
    if config.data == "human36m_videos":
        return PersonCrop(config.image_size, config.crop_margin)
    return Letterbox(config.image_size)


@functools.lru_cache(maxsize=2)
def _opened(settings: Settings, seed: int, data_dir: Path) -> Videos:
    if settings.data == "own":
        return _own(settings)
    if settings.data == "human36m_videos":
        return Videos(*(_of_actions(human36m_videos(split, place_of(settings), data_dir=data_dir), settings.actions)
                        for split in ("train", "test")))
    draw = tabletop_videos if settings.data == "tabletop" else functools.partial(
        figure_videos, recordings=[recorded(text) for text in settings.recordings])
    parts = ((settings.training_videos, 0), (settings.test_videos, settings.training_videos))
    return Videos(*(draw(count, settings.video_frames, settings.image_size, seed=seed, first=first)
                    for count, first in parts))


def recorded(text: str) -> Recording:
    """The recorded motion that "action=body.asf,motion.amc" names. Raises InputError for another form."""
    action, _, files = text.partition("=")
    body, _, motion = files.partition(",")
    if not (action and body and motion):
        raise InputError(f"--recordings: {text!r}; write it as dancing=05.asf,05_02.amc: an action, the file of the "
                         "body and that of its motion")
    for file in (body, motion):
        if not Path(file).is_file():
            raise InputError(f"--recordings: there is no file {file}")
    return recording(Path(body), Path(motion), action)


def _of_actions(source: VideoSource, actions: tuple[str, ...]) -> VideoSource:
    chosen = [number for number, action in enumerate(source.facts["action"]) if action in actions]
    if not chosen:
        raise InputError(f"--actions: no video of {source.name} shows {summarise(list(actions))}; there are "
                         f"{summarise(sorted(set(source.facts['action'])), shown=20)}")
    return of_videos(source, chosen)


def _own(settings: Settings) -> Videos:
    if not settings.videos:
        raise InputError("--videos: no video is named; give files or folders, for example --videos clips other.mp4")
    files = find_videos(*(Path(path).expanduser() for path in settings.videos))
    sizes = {video.size: f"{video.name} {video.size[0]}x{video.size[1]}" for video in files}
    if len(sizes) > 1 and not settings.mixed_sizes:
        raise InputError(f"--videos: videos of {len(sizes)} sizes ({summarise(list(sizes.values()))}); say "
                         f"with --size {settings.image_size} to which they are brought, or leave some out")
    source = read_videos(files, place_of(settings), every=settings.every, on_bad_frame=settings.on_bad_frame,
                         mixed_sizes=True, name="own videos")
    tables = [table for path in settings.videos if (table := Path(path).expanduser() / TABLE).is_file()]
    if len(tables) > 1:
        raise InputError(f"--videos: {len(tables)} tables of labels ({summarise([str(table) for table in tables])}); "
                         "put the videos and one table into one folder")
    source = with_labels(source, tables[0], files) if tables else source
    return Videos(source, source, files)


def actions_of(source: VideoSource) -> np.ndarray | None:
    """(N,) the action of each frame's video, None where actions are not known or there is only one."""
    actions = source.facts.get("action", ())
    if len(set(actions)) < 2 or "" in actions:
        return None
    return np.asarray(actions)[source.video]


def frames_of(source: VideoSource):
    """The pictures (T, H, W, 3) uint8 of one video after the other."""
    for first, end in source.bounds:
        yield np.stack([source[number].image for number in range(first, end)])
