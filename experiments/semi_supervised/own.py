"""The preset `own` of semi-supervised learning: a person's project, and what is chosen from it."""
from collections.abc import Collection
from dataclasses import replace

from experiments.own_needs import needs_of
from experiments.own_project import hold_out, is_own, labelled_frames, needed_project, unlabelled_frames
from experiments.own_settings import (
    Choice,
    chosen,
    every_choice,
    facts_of,
    network_choices,
    picture_choices,
    rotation_choice,
    steps_by_labels,
)
from experiments.semi_supervised.config import Config
from kpjax.errors import InputError
from kpjax.input.source import rounded_share

LEAST_LABELLED = needs_of("semi_supervised").labelled_frames


def labelled_count(labelled: float, count: int) -> int:
    """How many of `count` animals keep their labels, from a share up to 1 or a count."""
    return rounded_share(labelled, count) if labelled <= 1 else int(labelled)


def settled(preset: str, config: Config, typed: Collection[str]) -> Config:
    """The config with what is not typed chosen from the project, each choice printed with its reason.

    Raises InputError if there are fewer than five labelled frames or none without labels.
    """
    if not is_own(config):
        return config
    project = needed_project(config)
    frames = labelled_frames(project)
    if len(frames) < LEAST_LABELLED:
        raise InputError(f"--project: {project.root} has {len(frames)} labelled frames; label at least "
                         f"{LEAST_LABELLED}")
    held = hold_out(project, config.validation)
    facts = facts_of(project, held.train)
    if "placement" in typed:
        facts = facts._replace(several=config.placement == "around_box")
    labelled = labelled_count(config.labelled, len(held.train))
    if labelled > len(held.train):
        raise InputError(f"--labelled: {labelled} of {len(held.train)} labelled animals that are not held out; ask for "
                         "fewer")
    size = config.image_size if "image_size" in typed else None
    pictures = picture_choices(facts, size)
    placement = config.placement if "placement" in typed else pictures[0].value
    found = unlabelled_frames(project, held, config.unlabelled) if placement == "letterbox" else None
    every = every_choice(len([frame for frame in found.frames if frame.number is not None]) if found else 0)
    step = max(config.every, 1) if "every" in typed else every.value
    kept = len(held.train) - labelled
    if found:
        kept += len(found.taken(step, project.root))
    if kept < 1:
        raise InputError("--unlabelled: " + (
            "several animals on a frame are cut out by their boxes, which frames without labels do not have; keep "
            "labels back with --labelled" if placement != "letterbox" else
            f"{project.root} has no frame without labels, and no video of its recordings beside it; name pictures or "
            "videos, or keep labels back with --labelled"))
    batch = config.batch_size
    half = batch // 2
    choices = [
        *pictures, rotation_choice(facts), *network_choices(facts),
        Choice("labelled", config.labelled, f"all {labelled} animals that are not held out"), every,
        steps_by_labels("warm_start_steps", labelled, batch, passes=40, least=200, most=600),
        steps_by_labels("steps", labelled, half, passes=30, least=300, most=900),
        Choice("learning_rate", config.learning_rate, "the small U-net's, falling to zero along a cosine")]
    print(f"{project.root}: {project.format}, {len(project.frames)} frames, {len(frames)} labelled, "
          f"{len(project.skeleton.names)} keypoints; held out: {held.words}; without labels: {kept}"
          + (f", {len(found.left_out)} in held-out parts are left out" if found and found.left_out else ""))
    config = chosen(config, choices, typed)
    return replace(config, summary=f"{project.root.name}, {labelled} animals with labels, {kept} frames without; "
                   f"held out: {held.words}")
