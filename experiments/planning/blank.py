"""Data of every system without any data set: black images of the right size and number of keypoints.

A plan needs shapes alone. Sizes come from the config, skeletons from the data packages, so nothing has to be prepared.
People's own data are opened as they are.
"""
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.engine.image_sets import NEVER_LABELLED, ImageSet, Splits, loaded_domain
from experiments.engine.system import OWN, Job, system_of
from kpjax import Example, InputError, Skeleton
from kpjax.input import protocols
from kpjax.input.source import without_keypoints
from kpjax.input.video_source import VideoSource, numbered

COUNT = 2000  # examples; batches may repeat them
DEALT_OUT = 10_000  # examples of a protocol, of which each step has its own
VIDEO = 1000  # frames of a video


@dataclass(frozen=True)
class Blank:
    """A source of black images with all keypoints labelled in their middle."""

    skeleton: Skeleton
    side: int  # px
    name: str
    count: int = COUNT
    digest: str = "blank"

    def __len__(self) -> int:
        return self.count

    def identity(self, index: int) -> str:
        """Returns a name that no other example has."""
        return f"{self.name} {index}"

    def __getitem__(self, index: int) -> Example:
        keypoints = len(self.skeleton.names)
        return Example(np.broadcast_to(np.uint8(0), (self.side, self.side, 3)),
                       np.full((keypoints, 2), self.side / 2, np.float32), np.ones(keypoints, np.float32),
                       np.float32(self.side), np.eye(3, dtype=np.float32), np.int32(index))


class BlankVideos(VideoSource):
    """Videos of black frames, with boxes."""

    def box(self, index: int) -> np.ndarray:
        return np.array([0, 0, self.source.side, self.source.side], np.float32)

    def within(self, index: int, box: np.ndarray) -> Example:
        return self[index]


def videos(source: Blank) -> BlankVideos:
    """Groups black images into videos."""
    lengths = [VIDEO] * (len(source) // VIDEO)
    found = numbered(source, lengths, [f"video {number}" for number in range(len(lengths))])
    return BlankVideos(found.source, found.order, found.video, found.frame, found.titles, found.name, found.facts)


def skeleton_of(name: str) -> Skeleton:
    """Returns the skeleton of a set by the name that a config gives it. Raises InputError for an unknown one."""
    family, _, which = name.partition(":")
    dataset = family.partition("/")[0]
    if family in ("recoloured", "plain"):
        whole = skeleton_of(which)
        return without_keypoints(Blank(whole, 1, which), NEVER_LABELLED).skeleton if which == "lspet" else whole
    if family == "bodies":
        from data.bodies import BODY

        return BODY
    if family == "sprites":
        from data.dsprites import SKELETON

        return SKELETON
    if family == "rendered":
        from experiments.adaptation.images import CATEGORIES

        return CATEGORIES[which].skeleton
    module = {"videos": "figures"}.get(dataset, dataset)
    try:
        return importlib.import_module(f"data.{module}").DATASET.skeleton(None)
    except (ImportError, AttributeError, TypeError, InputError) as error:
        raise InputError(f"{name}: its keypoints are only known from its data ({error}); plan a preset of another set"
                         ) from None


def _splits(data: ImageSet, reach: Any, count: int = COUNT) -> Splits:
    skeleton, loaded = skeleton_of(data.train), data.loaded(reach)
    plain = Blank(skeleton, data.image_size, data.train, count)
    train = Blank(skeleton, loaded.side, data.train, count) if loaded else plain
    made = videos if data.train.startswith("videos:") else (lambda source: source)
    return Splits(made(train), plain, plain, made(plain) if loaded else None)


def _regda(job: Job) -> Any:
    from experiments.regda import Data

    def splits(name: str) -> Splits:
        loaded = loaded_domain(name, job.config.data.image_size, job.config.augment.reach)
        skeleton, side = skeleton_of(name), job.config.data.image_size
        plain = Blank(skeleton, side, name)
        return Splits(Blank(skeleton, loaded.side if loaded else side, name), plain, plain)

    return Data(splits(job.config.data.source), splits(job.config.data.target), repeats=True)


def _semi_supervised(job: Job) -> Any:
    from experiments.semi_supervised import Data

    splits = _splits(job.config.data, job.config.augment.reach)
    return Data(splits.train, splits.train, splits.train, splits.validation, splits.test, {}, splits.plain_train)


def _supervised(job: Job) -> Any:
    return _splits(job.config.data, getattr(job.config.augment, "reach", None))


def _incremental(job: Job) -> Any:
    from experiments.incremental.steps import Data

    train = _splits(job.config.data, None, DEALT_OUT).train
    return Data(train, train, protocols.resolve(job.config.data.protocol_path(), train))


def _pyramids(job: Job) -> Any:
    from experiments.pyramids import Data

    data = job.config.data
    name = {"figures": "figures:source"}.get(data.data, data.data)
    source = videos(Blank(skeleton_of(name), data.image_size, data.data))
    return Data(source, source)


def _adaptation(job: Job) -> Any:
    from experiments.adaptation.images import Data

    data = job.config.data
    target, test = (Blank(skeleton_of(data.target), side, data.target) for side in (data.target_side, data.image_size))
    return Data(target, test, test, test, test)


def core_images(config: Any, seed: int, data_dir: Any) -> tuple[Blank, None]:
    """Returns black images for a core of `adaptation`, in place of `open_core_images`."""
    from experiments.adaptation.images import loaded_core

    larger = loaded_core(config)
    side = larger[1].side if larger else config.data.image_size
    return Blank(skeleton_of(config.core.core), side, config.core.core), None


OPEN = {"regda": _regda, "semi_supervised": _semi_supervised, "incremental": _incremental, "pyramids": _pyramids,
        "adaptation": _adaptation, "supervised": _supervised}


def blank_data(job: Job) -> Any:
    """Returns the data of a job with black images; those of a preset for people's own data are opened.

    Raises InputError for a set whose keypoints are only known from its data.
    """
    if job.base_preset == OWN:
        return system_of(job.system, job.preset).open(job)
    return OPEN[job.system](job)
