"""Papers on blank images in place of their sets: what a plan reads.

Blank images have the sides of the config and the skeletons of `Experiment.keypoints`; no set needs to
be there.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kpjax import Example, Skeleton
from kpjax.input import protocols
from kpjax.input.source import Source, without_keypoints
from kpjax.input.video_source import group_into_videos
from kpjax.papers import adaptation, incremental, pyramids, regda, semi_supervised
from kpjax.papers.configs import Splits
from kpjax.papers.engine import Experiment, Job

VIDEOS, FRAMES = 10, 1000  # size of blank data; no plan depends on it


def without_data(experiment: Experiment) -> Experiment:
    """Returns an experiment that opens blank data, or its own where it has no function in `OPEN`.
    Its runs raise InputError for a set whose keypoints only its data know.
    """
    return experiment._replace(open=OPEN.get(experiment.paper.name, experiment.open))


@dataclass(frozen=True)
class Blank:
    """A source of black images of `side` px, each of which shows all keypoints."""

    skeleton: Skeleton
    side: int
    name: str = "blank images"
    digest: str = "blank"

    def __len__(self) -> int:
        return VIDEOS * FRAMES

    def __getitem__(self, index: int) -> Example:
        count = len(self.skeleton.names)
        return Example(
            np.zeros((self.side, self.side, 3), np.uint8),
            np.zeros((count, 2), np.float32),
            np.ones(count, np.float32),
            np.float32(1),
            np.eye(3, dtype=np.float32),
            np.int32(index),
        )


def _blank(job: Job, name: str, loaded: Any) -> Blank:
    """Returns a set's blank images. loaded: how training loads them larger, if it does."""
    side = loaded.side if loaded else job.config.data.image_size
    return Blank(job.experiment.keypoints(name), side)


def _of_set(job: Job, reach: Any = None) -> Source:
    data = job.config.data
    return without_keypoints(_blank(job, data.train, data.loaded(reach)), data.unused_keypoints)


def _domains(job: Job) -> regda.Data:
    data = job.config.data
    loaded = data.loaded(job.config.augment.reach)
    domains = map(functools.partial(_blank, job), (data.source, data.target), loaded)
    return regda.Data(*(Splits(*3 * [images]) for images in domains))


def _steps(job: Job) -> incremental.Data:
    plain, images = _of_set(job), _of_set(job, job.config.augment.reach)
    protocol = protocols.resolve(job.config.data.protocol_path(), images)
    return incremental.Data(images, plain, protocol, plain_train=plain)


def _videos(job: Job) -> pyramids.Data:
    data = job.config.data
    name = {"figures": "videos_of_figures"}.get(data.data, data.data)
    videos = group_into_videos(
        Blank(job.experiment.keypoints(name), data.image_size),
        VIDEOS * [FRAMES],
        [str(number) for number in range(VIDEOS)],
    )
    return pyramids.Data(videos, videos, pair_crop="own")


def _core_images(job: Job, *of: Any) -> tuple[Source, None]:
    core = job.config.core
    larger = core.larger(job.config.data.image_size)
    images = _blank(job, core.core, larger and larger[1])
    return without_keypoints(images, core.core_unused_keypoints), None


def _category(job: Job) -> adaptation.Data:
    skeleton = job.experiment.keypoints(job.config.data.target)
    target, test = (
        Blank(skeleton, side) for side in (job.config.data.target_side, job.config.data.image_size)
    )
    return adaptation.Data(target, *4 * [test], functools.partial(_core_images, job))


OPEN: dict[str, Callable[[Job], Any]] = {
    "regda": _domains,
    "incremental": _steps,
    "pyramids": _videos,
    "adaptation": _category,
    "semi_supervised": lambda job: semi_supervised.Data(
        *5 * [_of_set(job, job.config.augment.reach)], {}
    ),
}
