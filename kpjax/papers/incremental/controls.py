"""Controls and upper bounds of KAMP: what stands in the place of KA-Net's map, replay of the old network's
points, and all labels at once.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from kpjax import Method, losses, methods
from kpjax.input.source import Source, labelled_only, subset
from kpjax.methods.incremental_family.step_spec import Increment, increment
from kpjax.papers.engine import Stages, Variant, Work, built
from kpjax.papers.incremental.association import stated_triples
from kpjax.papers.incremental.config import Weights
from kpjax.papers.incremental.runs import Run, Setting, all_images
from kpjax.papers.incremental.stages import (
    build_base,
    build_student,
    objective_of,
    student_step,
    variant,
)
from kpjax.papers.incremental.without_association import learn_without_association


def build_self_training(setting: Setting, steps: int) -> Method:
    """Builds KAMP with the old network's own point in the place of KA-Net's map."""
    codec, reduction = setting.setup.codec, setting.config.reduction
    own_points = methods.self_training_term(codec, reduction=reduction)
    return build_student(setting, steps, {**objective_of(setting), "association": own_points})


def build_true_points(setting: Setting, steps: int) -> Method:
    """Builds KAMP with the true old point in the place of KA-Net's map."""
    codec, reduction = setting.setup.codec, setting.config.reduction
    true_points = methods.true_points_term(codec, reduction=reduction)
    return build_student(setting, steps, {**objective_of(setting), "association": true_points})


def build_replay(setting: Setting, steps: int) -> Method:
    """Builds labels beside pseudo-labels: the old network's sure points of all old keypoints."""
    objective = losses.without(objective_of(setting), "distillation", "association")
    replay = methods.memory_replay_term(setting.setup.codec, above=setting.config.replay_above)
    return build_student(setting, steps, {**objective, "replay": replay})


def one_of_the_old(weight: float, old: int) -> Mapping[str, float]:
    """Returns weights by which the triple's old keypoint counts as one of so many."""
    return {"distillation": weight, "association": weight / max(old, 1)}


def of_rerendered(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weights of `kamp_rerendered`."""
    return one_of_the_old(weights.kamp_rerendered, old)


def images_with_old_labels(run: Run, step: int, planned: Increment) -> Source:
    """Returns the images of a step, labelled with its own keypoints and the old ones of its
    triples: of an upper bound, for the setting has no such labels.
    """
    data = run.data
    chosen, names = data.protocol.steps[step], data.skeleton.names
    used = planned.triples[planned.triple_weights > 0]
    old = [names[number] for number in used[:, 0]]
    name = f"{data.train.name}, {data.protocol.name} step {step} with old labels"
    return labelled_only(subset(data.train, chosen.images, name), (*chosen.keypoints, *old), name)


def learn_everything(run: Run) -> Stages:
    """Learns the keypoints of all steps at once, from all images with all labels, for as many
    optimizer steps as all of the protocol's together: the oracle.
    """
    config = run.config
    steps = config.base_steps + run.last_step * config.steps

    def of_data() -> Increment:
        introduced = run.data.introduced
        return increment(
            len(introduced),
            old=(),
            new=np.flatnonzero(introduced <= run.last_step),
            slots=config.association.triples,
        )

    first = yield Work(of_data, of_data)
    return (
        yield run.stage(
            "step 0",
            steps,
            run.kept("joint"),
            lambda: built(build_base, run.setting, steps),
            lambda: all_images(run.data),
            {"increment": first},
            fresh=True,
        )
    )


def short_control(line: str, learn: Callable[..., Stages]) -> Variant:
    """Returns the control that learns for as many steps as the student of KA-Net has.

    line: what it is otherwise. learn: as `learn_without_association`.
    """
    return variant(
        "control",
        f"{line}, for as many steps as the student of KA-Net has",
        functools.partial(learn, length=student_step),
    )


learn_from_own_points = functools.partial(
    learn_without_association,
    build=build_self_training,
    factors=lambda weights, old: one_of_the_old(weights.self_training, old),
    choose=stated_triples,
)
learn_from_replay = functools.partial(
    learn_without_association,
    build=build_replay,
    factors=lambda weights, old: {"replay": weights.memory_replay},
)

CONTROLS: dict[str, Variant] = {
    "self_training": variant(
        "control",
        "kamp_rerendered with the old model's own point in KA-Net's place",
        learn_from_own_points,
    ),
    "self_training_short": short_control("self_training", learn_from_own_points),
    "memory_replay": variant(
        "control",
        "the old model's sure points of all old keypoints as labels, without distillation",
        learn_from_replay,
    ),
    "memory_replay_short": short_control("memory_replay", learn_from_replay),
    "kamp_true_points": variant(
        "oracle",
        "kamp_rerendered with the true old point in KA-Net's place: reads labels of old keypoints",
        functools.partial(
            learn_without_association,
            build=build_true_points,
            factors=of_rerendered,
            choose=stated_triples,
            length=student_step,
            images=images_with_old_labels,
        ),
    ),
    "joint": variant(
        "oracle",
        "all images with the labels of all keypoints, at once",
        learn_everything,
        label="Joint",
    ),
}
