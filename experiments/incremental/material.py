"""What an incremental run learns from and is judged by: a protocol, and the pictures of each of its steps."""
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.incremental.config import Config
from experiments.picture_splits import open_splits
from kpjax.errors import InputError
from kpjax.input.protocols import Protocol, introduced_in, low_shot, resolve, single_new, step_source
from kpjax.input.source import Source, labelled_only, rounded_share, subset
from kpjax.structures import Skeleton

PROTOCOLS = Path(__file__).with_name("protocols")


class Material(NamedTuple):
    """Of one seed."""

    train: Source  # with all labels; steps see their part of it, by `pictures_of`
    judge: Source  # whose accuracies are reported
    protocol: Protocol
    labelled: Source | None = None  # the judge's pictures with a person's labels only, where it has others, too

    @property
    def points(self) -> Skeleton:
        """All keypoints of the dataset, of which the network has a channel each."""
        return self.train.skeleton

    @property
    def introduced(self) -> np.ndarray:
        """(K,) the step that brings each keypoint; the number of steps for one that never comes."""
        found = introduced_in(self.protocol, self.points)
        return np.where(found < 0, len(self.protocol.steps), found)


class StepPictures(NamedTuple):
    """The pictures of one step, labelled with its own keypoints only."""

    training: Source
    held_out: Source | None  # None where all of them train


def protocol_path(name: str) -> Path:
    """The file of a protocol. Raises InputError, which lists the known ones, if there is none."""
    path = Path(name) if name.endswith(".json") else PROTOCOLS / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in PROTOCOLS.glob("*.json")))
        raise InputError(f"--protocol: {name!r} is not found; there are {known}, or give the path of a .json file")
    return path


def open_material(config: Config, seed: int, data_dir: Path) -> Material:
    """The pictures and the protocol of one seed.

    Raises InputError if a set was not prepared, if the protocol breaks a rule, or if a training picture is judged.
    """
    splits = open_splits(config, seed, data_dir)
    protocol = resolve(protocol_path(config.protocol), splits.train)
    if config.single_new:
        protocol = single_new(protocol, splits.train.skeleton)
    if config.low_shot:
        protocol = low_shot(protocol, config.low_shot)
    return Material(splits.train, splits.test if config.judged_by == "test" else splits.validation, protocol)


def pictures_of(material: Material, step: int, held_out: float) -> StepPictures:
    """The pictures of a step, and of those a share that does not train (the last ones, in the protocol's order)."""
    source = step_source(material.protocol, step, material.train)
    count = rounded_share(held_out, len(source))
    if not count:
        return StepPictures(source, None)
    if count >= len(source):
        raise InputError(f"--held-out: {held_out:g} of {len(source)} pictures of step {step} leaves none to train on")
    rest = len(source) - count
    return StepPictures(subset(source, range(rest), source.name),
                        subset(source, range(rest, len(source)), f"{source.name}, held out"))


def all_pictures(material: Material) -> Source:
    """The pictures of all steps, with the labels of all keypoints of the protocol: what the bound learns from."""
    steps = material.protocol.steps
    numbers = [number for step in steps for number in step.images]
    names = [name for step in steps for name in step.keypoints]
    return labelled_only(subset(material.train, numbers, f"{material.train.name}, {material.protocol.name}"), names)
