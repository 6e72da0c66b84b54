"""Opens the videos that presets of Keypoint Pyramids name."""

import functools
from pathlib import Path

from data.figure_looks import target
from data.figure_videos import figure_videos
from data.flies import flies
from data.human36m_videos import ELEVEN_ACTIONS, human36m_videos
from data.tabletop import tabletop_videos
from kpjax.input.video_source import VideoSource, of_videos
from kpjax.papers.configs import TUNING_SEEDS
from kpjax.papers.pyramids.config import VideoSet


def open_videos(videos: VideoSet, seed: int, data_dir: Path) -> tuple[VideoSource, VideoSource]:
    """Opens training and test videos, kept for the next run of the same settings; the seed renders
    its own.

    Of Human3.6M a tuning seed is tested on recordings of the training subjects on which the others
    train, and of the flies on calmer frames. Odd seeds train on the flies' second part and test on the
    first.
    """
    if videos.data == "human36m_videos":
        seed = TUNING_SEEDS[0] if seed in TUNING_SEEDS else 0
    if videos.data == "flies":
        seed = TUNING_SEEDS[0] if seed in TUNING_SEEDS else seed % 2
    return _open(videos, seed, data_dir)


@functools.lru_cache(maxsize=2)
def _open(videos: VideoSet, seed: int, data_dir: Path) -> tuple[VideoSource, VideoSource]:
    if videos.data == "human36m_videos":
        parts = ("train", "tune") if seed in TUNING_SEEDS else ("train+tune", "test")
        train, test = (
            of_eleven_actions(human36m_videos(split, videos.square(), data_dir=data_dir))
            for split in parts
        )
        return train, test
    if videos.data == "flies":
        parts = (
            ("first", "tune") if seed in TUNING_SEEDS else ("first", "second")[:: -1 if seed else 1]
        )
        return tuple(flies(part, videos.square(), data_dir=data_dir) for part in parts)
    of_set = (
        tabletop_videos
        if videos.data == "tabletop"
        else functools.partial(figure_videos, domain=target(videos.difficulty))
    )
    render = functools.partial(
        of_set, frames=videos.video_frames, side=videos.image_size, seed=seed
    )
    return render(videos.training_videos, first=0), render(
        videos.test_videos, first=videos.training_videos
    )


def of_eleven_actions(source: VideoSource) -> VideoSource:
    """Returns the videos of Human3.6M of eleven actions: the paper keeps so many and does not list
    them.
    """
    return of_videos(
        source,
        [
            number
            for number, action in enumerate(source.facts["action"])
            if action in ELEVEN_ACTIONS
        ],
    )
