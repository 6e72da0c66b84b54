"""The preset `own` of RegDA: a person's project on one kind of pictures, and pictures of another kind."""
import functools
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from experiments.domains import Splits
from experiments.own.project import (
    hold_out,
    is_own,
    labelled_frames,
    needed_project,
    open_labelled,
    open_unlabelled,
    place_of,
)
from experiments.own.choices import (
    Choice,
    chosen,
    every_choice,
    facts_of,
    network_choices,
    picture_choices,
    rotation_choice,
    steps_by_labels,
)
from experiments.regda.config import Config, OwnConfig
from kpjax.annotations.project import Project
from kpjax.annotations.project_source import decoded, frame_identity, frames_at, project_source
from kpjax.errors import InputError, summarise
from kpjax.input.source import Source
from kpjax.structures import Skeleton

GREY = 2.0  # grey levels between the channels of a pixel, up to which a set of pictures has no colour


def settled(preset: str, config: Config, typed: Collection[str]) -> Config:
    """The config with what is not typed chosen from the source's project, each choice printed with its reason.

    Raises InputError if there are no target pictures, if the two projects differ in their keypoints, or if several
    animals are on a frame.
    """
    if not is_own(config):
        return config
    project = needed_project(config, "source")
    if config.target_project:
        in_order_of(project.skeleton, needed_project(config, "target_project"))
    if not config.target:
        raise InputError("--target: name pictures or videos that look different and have no labels")
    frames = frames_at(config.target)
    held = hold_out(project, config.validation)
    facts = facts_of(project, held.train)
    if facts.several and "placement" not in typed:
        raise InputError(f"--source: {project.root} has several animals on a frame, and where they are on frames of "
                         "the target nobody says; give pictures of one animal each")
    size = config.image_size if "image_size" in typed else None
    batch, labelled = config.batch_size, len(held.train)
    choices = [
        *picture_choices(facts._replace(several=False), size), rotation_choice(facts), *network_choices(facts),
        every_choice(len([frame for frame in frames if frame.number is not None])),
        steps_by_labels("pretraining_steps", labelled, batch, passes=60, least=300, most=800),
        steps_by_labels("steps", labelled, batch, passes=60, least=500, most=1000),
        Choice("coefficient_steps", 100, "the adversary's share grows within the first steps"),
        Choice("learning_rate", config.learning_rate, "the small U-net's, falling to zero along a cosine")]
    print(f"source {project.root}: {project.format}, {len(project.frames)} frames, {len(labelled_frames(project))} "
          f"labelled, {len(project.skeleton.names)} keypoints; held out: {held.words}; target: {len(frames)} frames")
    config = chosen(config, choices, typed)
    return replace(config, summary=f"{project.root.name}, {labelled} animals with labels, to {len(frames)} frames of "
                   f"{summarise(list(config.target), 2)}; held out: {held.words}")


def in_order_of(skeleton: Skeleton, project: Project) -> Project:
    """A project with its keypoints in another's order. Raises InputError for a keypoint that one of them has not."""
    wanted, names = skeleton.names, project.skeleton.names
    missing, beyond = ([name for name in one if name not in other] for one, other in ((wanted, names), (names, wanted)))
    if missing or beyond:
        told = [f"{summarise(found)} {where}" for found, where in
                ((missing, "only in --source"), (beyond, "only in --target-project")) if found]
        raise InputError(f"--target-project: {project.root} has other keypoints than the source: {', '.join(told)}; "
                         "name them alike")
    order = [names.index(name) for name in wanted]
    instances = tuple(one._replace(keypoints=one.keypoints[order], visible=one.visible[order],
                                   occluded=one.occluded[order]) for one in project.instances)
    return project._replace(skeleton=skeleton, instances=instances)


@functools.lru_cache(maxsize=2)
def open_own(config: OwnConfig) -> tuple[Splits, Splits]:
    """The source, whose held-out part is its validation and test, and the target, whose test is None without labels."""
    project = needed_project(config, "source")
    train, held_out = open_labelled(config, "source")
    labels = needed_project(config, "target_project") if config.target_project else None
    root = labels.root if labels else project.root
    frames = frames_at(config.target)
    target = open_unlabelled(config, frames, project.skeleton, root=root, name="target")
    test = None
    if labels:
        test = decoded(project_source(in_order_of(project.skeleton, labels), place_of(config),
                                      occluded=config.occluded, name="target, labelled"),
                       on_bad_frame=config.on_bad_frame)
        tested = {frame_identity(labels.frames[number], root) for number in labelled_frames(labels)}
        if shared := sum(target.identity(number) in tested for number in range(len(target))):
            print(f"{shared} of the {len(test)} test pictures are also among the target's {len(target)}, which are "
                  "seen without labels")
    compare_colours(train, target)
    return Splits(train, held_out, held_out), Splits(target, None, test)


def compare_colours(source: Source, target: Source) -> None:
    """Warns where one side is grey and the other in colour."""
    grey = [colourfulness(side) <= GREY for side in (source, target)]
    if grey[0] != grey[1]:
        which = ["grey" if one else "in colour" for one in grey]
        print(f"the source is {which[0]} and the target {which[1]}: if it can be, bring both to one of the two")


def colourfulness(source: Source, first: int = 16) -> float:
    """The mean difference between the channels of a pixel, over some pictures."""
    some: Sequence[int] = np.linspace(0, len(source) - 1, min(first, len(source))).astype(int)
    return float(np.mean([np.ptp(source[int(number)].image.astype(np.float32), axis=-1).mean() for number in some]))
