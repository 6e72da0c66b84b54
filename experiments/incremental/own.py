"""The preset `own` of incremental learning: a finished run, and a project that labels further keypoints."""
import functools
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from experiments.incremental.config import Config, OwnConfig
from experiments.incremental.material import Material
from experiments.incremental.measures import Matrices
from experiments.incremental.old_model import old_model
from experiments.own_project import hold_out, is_own, labelled_frames, needed_project, open_animals
from experiments.own_settings import Choice, chosen, facts_of, picture_choices, rotation_choice, steps_by_labels
from kpjax.annotations.project import Project
from kpjax.errors import InputError
from kpjax.input.protocols import Protocol, ProtocolStep
from kpjax.input.source import changed, with_labels
from kpjax.structures import Example, Skeleton
from kpjax.training.evaluation import predict_source


def settled(preset: str, config: Config, typed: Collection[str]) -> Config:
    """The config with what is not typed taken over from the old run or chosen from the project, each with its reason.

    Raises InputError where the old run or the project is missing or unfit, or the project has no new keypoint.
    """
    if not is_own(config):
        return config
    old, project = old_model(config.old), needed_project(config)
    new = new_names(old.names, project)
    shared = [name for name in project.skeleton.names if name in old.names]
    held = hold_out(project, config.validation)
    facts = facts_of(project, held.train)
    labelled, why = len(held.train), "as the old run has it"
    placement = picture_choices(facts, None)[0]
    choices = [
        placement, *(Choice(name, value, why) for name, value in old.taken_over.items()), rotation_choice(facts),
        steps_by_labels("steps", labelled, config.batch_size, passes=60, least=300, most=600),
        Choice("learning_rate", config.learning_rate, "the small U-net's, falling to zero along a cosine")]
    print(f"{project.root}: {project.format}, {len(labelled_frames(project))} labelled frames; held out: {held.words}\n"
          f"old keypoints: {', '.join(old.names)}\nnew keypoints: {', '.join(new)}")
    if shared:
        print(f"in both, and taken for the same points: {', '.join(shared)}; their labels test, and teach nothing")
    config = chosen(config, choices, typed)
    return replace(config, summary=f"{', '.join(new)} from {project.root.name}, {labelled} animals, for a model of "
                   f"{', '.join(old.names)}; held out: {held.words}")


def new_names(old: tuple[str, ...], project: Project) -> tuple[str, ...]:
    """The keypoints of a project that the old model does not know. Raises InputError if there is none with a label."""
    labelled = np.stack([one.visible > 0 for one in project.instances]).any(0) if project.instances else ()
    new = tuple(name for name, seen in zip(project.skeleton.names, labelled, strict=False)
                if seen and name not in old)
    if not new:
        raise InputError(f"--project: {project.root} labels no keypoint that the old run does not know "
                         f"({', '.join(old)}); label new ones, or give them other names")
    return new


def joint_skeleton(old: Skeleton, project: Project) -> Skeleton:
    """The old keypoints in their order, then the new ones of the project; the edges of both, and mirror images where
    every keypoint has one."""
    new = new_names(old.names, project)
    names = (*old.names, *new)
    ends = [(old.names[a], old.names[b]) for a, b in old.edges]
    ends += [(project.skeleton.names[a], project.skeleton.names[b]) for a, b in project.skeleton.edges]
    edges = dict.fromkeys((names.index(a), names.index(b)) for a, b in ends if a in names and b in names)
    mirror = {skeleton.names[k]: skeleton.names[other] for skeleton in (project.skeleton, old)
              for k, other in enumerate(skeleton.flip)}
    flip = tuple(names.index(mirror[name]) for name in names if mirror.get(name) in names)
    whole = len(flip) == len(names) and all(flip[flip[k]] == k for k in range(len(names)))
    return Skeleton(names, tuple(edges), flip if whole else ())


def renamed_to(project: Project, skeleton: Skeleton) -> Project:
    """The project with the keypoints of a skeleton; those that it has not are not labelled."""
    at = {name: k for k, name in enumerate(project.skeleton.names)}

    def moved(values: np.ndarray, absent) -> np.ndarray:
        return np.stack([values[at[name]] if name in at else absent for name in skeleton.names])

    instances = tuple(one._replace(
        keypoints=moved(one.keypoints, np.full(2, np.nan)), visible=moved(one.visible, np.float32(0)),
        occluded=moved(one.occluded, np.bool_(False))) for one in project.instances)
    return project._replace(skeleton=skeleton, instances=instances)


@functools.lru_cache(maxsize=2)
def open_own(config: OwnConfig) -> Material:
    """The pictures of the project. The labels of keypoints that the old model knows are read by the judge alone.

    The judge's pictures are those that are held out. An old keypoint that nobody labelled on one of them lies where the
    old model finds it, so that its accuracy is how far the new model agrees with the old one; `scale` is the diagonal
    of all points.
    """
    old = old_model(config.old)
    project = needed_project(config)
    held = hold_out(project, config.validation)
    skeleton = joint_skeleton(old.opened.method.skeleton, project)
    project = renamed_to(project, skeleton)

    train, held_out = (open_animals(config, project, numbers, part) for numbers, part in (
        (held.train, "training"), (held.held_out, "held out")))
    new = skeleton.names[len(old.names):]
    steps = (ProtocolStep(old.names, ()), ProtocolStep(new, tuple(range(len(train)))))
    known = set(range(len(old.names)))
    mirrored = all((k in known) == (other in known) for k, other in enumerate(skeleton.flip))
    protocol = Protocol("own", project.root.name, steps, train.digest, triple="automatic", distance="euclid",
                        mirrored=mirrored)
    found = predict_source(old.opened.method, old.opened.trained, held_out, batch_size=2 * config.batch_size)
    keypoints, visible = held_out.examples.keypoints.copy(), held_out.examples.visible.copy()
    there = np.arange(len(skeleton.names)) < len(old.names)
    fill = (visible == 0) & there
    keypoints[:, :len(old.names)] = np.where(fill[:, :len(old.names), None], found.keypoints,
                                             keypoints[:, :len(old.names)])
    visible[fill] = 1
    judge = changed(with_labels(held_out, keypoints, visible, held_out.name), _with_diagonal, "diagonal of all points",
                    name=held_out.name)
    return Material(train, judge, protocol, held_out)


def _with_diagonal(example: Example, index: int) -> Example:
    extent = np.ptp(example.keypoints[example.visible > 0], axis=0)
    return example._replace(scale=np.float32(max(np.hypot(*extent), 1.0)))


def old_and_new(matrices: Matrices, introduced: np.ndarray) -> dict[str, float]:
    """PCK at the first threshold: of the new keypoints, and of the old ones before and after."""
    before, *_, after = matrices.accuracy[0]
    values = {"new/pck": after[introduced == 1], "old/pck": after[introduced == 0],
              "old/pck_before": before[introduced == 0]}
    return {name: float(np.nanmean(found)) for name, found in values.items() if np.isfinite(found).any()}
