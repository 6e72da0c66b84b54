"""Papers on blank images in place of their sets: what a plan runs, and a benchmark.

Blank images have the sides of the config and the skeletons of `Experiment.keypoints`; no set needs to
be there.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kpjax import Example, Skeleton
from kpjax.input import protocols
from kpjax.input.source import ArraySource, Source, without_keypoints
from kpjax.input.video_source import group_into_videos
from kpjax.papers import adaptation, incremental, pyramids, regda, semi_supervised
from kpjax.papers.adaptation.core import trained_core
from kpjax.papers.configs import Splits
from kpjax.papers.engine import Experiment, Job

VIDEOS, FRAMES = 10, 1000  # size of blank data; no plan depends on it


def without_data(experiment: Experiment) -> Experiment:
    """Returns an experiment that opens blank data, or its own where it has no function in `OPEN`.
    Its runs raise InputError for a set whose keypoints only its data know.
    """
    return experiment._replace(open=OPEN.get(experiment.paper.name, experiment.open))


def blank(skeleton: Skeleton, side: int) -> Source:
    """Returns black images of `side` px, each of which shows all keypoints."""

    def array(dtype: Any, *shape: int) -> np.ndarray:
        return np.broadcast_to(np.ones((), dtype), (VIDEOS * FRAMES, *shape))

    count = len(skeleton.names)
    return ArraySource(
        Example(
            array(np.uint8, side, side, 3),
            array(np.float32, count, 2),
            array(np.float32, count),
            array(np.float32),
            array(np.float32, 3, 3),
            array(np.int32),
        ),
        skeleton,
        "blank images",
    )


def _of_set(job: Job, reach: Any = None) -> Source:
    data = job.config.data
    loaded = data.loaded(reach)
    images = blank(job.experiment.keypoints(data.train), loaded.side if loaded else data.image_size)
    return without_keypoints(images, data.unused_keypoints)


def _domains(job: Job) -> regda.Data:
    data, domains = job.config.data, []
    for name, loaded in zip(
        (data.source, data.target), data.loaded(job.config.augment.reach), strict=True
    ):
        domains.append(
            Splits(
                *3
                * [
                    blank(
                        job.experiment.keypoints(name), loaded.side if loaded else data.image_size
                    )
                ]
            )
        )
    return regda.Data(*domains)


def _steps(job: Job) -> incremental.Data:
    plain, images = _of_set(job), _of_set(job, job.config.augment.reach)
    protocol = protocols.resolve(job.config.data.protocol_path(), images)
    return incremental.Data(images, plain, protocol, plain_train=plain)


def _videos(job: Job) -> pyramids.Data:
    data = job.config.data
    name = {"figures": "videos_of_figures"}.get(data.data, data.data)
    videos = group_into_videos(
        blank(job.experiment.keypoints(name), data.image_size),
        VIDEOS * [FRAMES],
        [str(number) for number in range(VIDEOS)],
    )
    return pyramids.Data(videos, videos, pair_crop="own")


def _core_images(experiment: Experiment, config: Any, *of: Any) -> tuple[Source, None]:
    larger, side = config.core.larger(config.data.image_size), config.data.image_size
    images = blank(experiment.keypoints(config.core.core), larger[1].side if larger else side)
    return without_keypoints(images, config.core.core_unused_keypoints), None


def _category(job: Job) -> adaptation.Data:
    skeleton = job.experiment.keypoints(job.config.data.target)
    target, test = (
        blank(skeleton, side) for side in (job.config.data.target_side, job.config.data.image_size)
    )
    open_images = functools.partial(_core_images, job.experiment)
    core = functools.partial(trained_core, open_images=open_images)
    return adaptation.Data(target, *4 * [test], core)


OPEN: dict[str, Callable[[Job], Any]] = {
    "regda": _domains,
    "incremental": _steps,
    "pyramids": _videos,
    "adaptation": _category,
    "semi_supervised": lambda job: semi_supervised.Data(
        *5 * [_of_set(job, job.config.augment.reach)], {}
    ),
}
