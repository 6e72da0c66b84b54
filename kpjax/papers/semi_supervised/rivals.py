"""Rivals and controls of semi-supervised learning: pseudo-labels, equivariance alone, generated
images, easy and hard views, and a published network of people.
"""

import functools

from kpjax import Method, methods
from kpjax.augment import hide_boxes
from kpjax.methods import Setup, published
from kpjax.methods.perceptual import perceptual_options, perceptual_start
from kpjax.methods.semi_supervised_family.objectives import EQUATION_5
from kpjax.models import VGG, image_generator
from kpjax.models.vgg import IMM_TAPS
from kpjax.models.weights.pretrained import MOVENET
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import NOTHING_TRAINED, Job, Stages, StagesOf, Variant, Work
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.pseudo_labels import averaging, learnt_from
from kpjax.papers.semi_supervised.stages import (
    Data,
    build_method,
    build_supervised,
    learnt,
    own_stage,
    variant,
    warm_start,
    warped_setup,
)

PERCEPTUAL = VGG(16, IMM_TAPS)
# share of the loss of pseudo-labels: how much of it the labels themselves have
LABELLED_SHARE = 0.5
LABELS = EQUATION_5["supervised_weight"]  # the weight of the labels in all variants

# Methods


def build_elt(config: Config, setup: Setup) -> Method:
    """Builds equivariant landmark transformation (Honari et al. 2018), of heatmaps."""
    return build_method(
        config,
        setup,
        objective=methods.equivariant_landmark_objective(
            setup.codec,
            streams=config.data.streams,
            supervised_weight=LABELS,
            equivariance=config.baselines.elt,
        ),
    )


def build_pseudo_labels(config: Config, setup: Setup, *, warped: bool = False) -> Method:
    """Builds training on labels and pseudo-labels; with `warped`, every other image of both is also
    moved.
    """
    objective = methods.pseudo_label_objective(
        setup.codec, labelled_share=LABELLED_SHARE, supervised_weight=LABELS
    )
    return build_method(config, setup, objective=objective, warped=warped)


def build_easy_hard(config: Config, setup: Setup) -> Method:
    """Builds easy and hard views (Xie et al. 2021) of one network."""
    labelled = warped_setup(config, setup) if config.baselines.warp_labelled else setup
    return methods.easy_hard(
        setup._replace(augment={"labelled": labelled.augment, "unlabelled": setup.augment}),
        hide=hide_boxes(unit=config.data.image_size / 256),
        objective=methods.easy_hard_objective(
            setup.codec, supervised_weight=LABELS, consistency=LABELS
        ),
    )


def build_averaged(config: Config, setup: Setup) -> Method:
    """Builds the supervised term, whose predictions are averaged as those of a teacher of
    pseudo-labels are.

    It only predicts, with what another variant has learnt.
    """
    return averaging(build_supervised(config, setup, warped=True), config, setup.skeleton)


def build_turned(config: Config, setup: Setup) -> Method:
    """Builds the supervised term, whose predictions are those on which turned, mirrored and zoomed
    views agree.

    It only predicts, with what another variant has learnt.
    """
    method = build_supervised(config, setup)
    return method._replace(predict=methods.agreed_predict(method.predict, setup.skeleton))


def build_gen(config: Config, setup: Setup) -> Method:
    """Builds image generation (Jakab et al. 2018) beside the supervised term."""
    baselines = config.baselines
    objective = methods.image_generation_objective(
        setup.codec,
        perceptual=bool(baselines.perceptual),
        reconstruction=1e-3,
        supervised_weight=LABELS,
    )
    generator = image_generator(baselines.generator_widths) if baselines.generator_widths else None
    return methods.image_generation(
        setup,
        objective=objective,
        generator=generator,
        size=baselines.generator_size,
        draw_map=config.weights.draw_map(),
        **perceptual_options(baselines.perceptual, PERCEPTUAL),
    )


def build_published(config: Config, setup: Setup) -> Method:
    """Builds MoveNet Lightning, which only predicts."""
    return published.people(setup.skeleton)


def build_published_in_views(config: Config, setup: Setup) -> Method:
    """Builds MoveNet Lightning where 36 turned, mirrored and zoomed views agree."""
    return published.people(setup.skeleton, turned=True)


build_supervised_warped = functools.partial(build_supervised, warped=True)
build_pseudo_labels_warped = functools.partial(build_pseudo_labels, warped=True)

# Stages


def learnt_by_generating(job: Job, data: Data) -> Stages:
    """Learns from labels and by generating images, which a network of its own compares."""
    baselines = job.config.baselines
    compares = yield Work(
        lambda: perceptual_start(
            baselines.perceptual, PERCEPTUAL, image_size=baselines.generator_size
        ),
        {},
    )
    before = yield from warm_start(job, data)
    return (
        yield from own_stage(
            job, data, lambda: data.sources, job.config.steps, before, start=compares
        )
    )


def read_otherwise(variant: str) -> StagesOf:
    """Returns the stages of a variant that reads another one's result in its own way."""

    def stages(job: Job, data: Data) -> Stages:
        return (yield job._replace(variant=variant))

    return stages


def as_published(job: Job, data: Data) -> Stages:
    """Takes a published network as it is."""
    trained = yield Work(lambda: published.load(MOVENET), NOTHING_TRAINED.trained)
    return NOTHING_TRAINED._replace(trained=trained)


def twice_as_long(config: Config) -> Config:
    """Returns the config with twice the steps of the last stage."""
    return replace_fields(config, steps=2 * config.steps)


learnt_twice_as_long = functools.partial(learnt, times=2)


# The table

RIVALS: dict[str, Variant] = {
    "pl": variant(
        "baseline",
        "hard labels of the supervised network under six transforms, trained again",
        build_pseudo_labels,
        learnt_from("supervised"),
        label="PL",
    ),
    "elt": variant("baseline", "equivariance of heatmaps, moved back", build_elt, label="ELT"),
    "gen": variant(
        "baseline",
        "images generated from their keypoints",
        build_gen,
        learnt_by_generating,
        label="Gen",
    ),
    "supervised_warped": variant(
        "control",
        "the labels alone, the method's warp on half of a batch",
        build_supervised_warped,
    ),
    "supervised_warped_twice": variant(
        "control",
        "the same for twice the steps, the cost of pl_warped",
        build_supervised_warped,
        learnt_twice_as_long,
        changes=twice_as_long,
    ),
    "supervised_warped_averaged": variant(
        "control",
        "supervised_warped, its heatmaps averaged over the six views that label for pl_warped",
        build_averaged,
        read_otherwise("supervised_warped"),
    ),
    "pl_warped": variant(
        "control",
        "PL from and with the warp on half of a batch",
        build_pseudo_labels_warped,
        learnt_from("supervised_warped"),
    ),
    "pl_agreed": variant(
        "control",
        "pl_warped, only with labels on which the teacher's plain and turned views agree",
        build_pseudo_labels_warped,
        learnt_from("supervised_warped", agreeing=True),
    ),
    "supervised_warped_twice_averaged": variant(
        "control",
        "supervised_warped_twice, its heatmaps averaged likewise: the cost of pl_warped_averaged",
        build_averaged,
        read_otherwise("supervised_warped_twice"),
    ),
    "pl_warped_averaged": variant(
        "control",
        "pl_warped, its heatmaps averaged over the same six views",
        build_averaged,
        read_otherwise("pl_warped"),
    ),
    "easy_hard": variant(
        "baseline",
        "the network's answer on the easy view teaches it on one with holes and turned",
        build_easy_hard,
        label="Single",
    ),
    "easy_hard_twice": variant(
        "control",
        "easy_hard for twice the steps",
        build_easy_hard,
        learnt_twice_as_long,
        changes=twice_as_long,
    ),
    "pl_easy_hard": variant(
        "baseline",
        "pl_warped whose labels come from easy_hard",
        build_pseudo_labels_warped,
        learnt_from("easy_hard"),
    ),
    "zero_shot": variant(
        "baseline",
        "MoveNet Lightning as published: no label and no training",
        build_published,
        as_published,
        score_kind=published.SCORE_KIND,
    ),
    "zero_shot_turned": variant(
        "baseline",
        "the same, images also turned, mirrored and zoomed: where 36 views agree",
        build_published_in_views,
        as_published,
        score_kind=published.SCORE_KIND,
    ),
    "pl_zero_shot": variant(
        "baseline",
        "pl_warped whose labels come from zero_shot_turned",
        build_pseudo_labels_warped,
        learnt_from("zero_shot_turned", averaged=False),
    ),
    "pl_zero_shot_turned": variant(
        "baseline",
        "pl_zero_shot, its answers those of 36 views, as its labels' are",
        build_turned,
        read_otherwise("pl_zero_shot"),
    ),
}
# Variants that need images without labels, and those of a published network of people.
TAUGHT = (
    "pl",
    "pl_warped",
    "pl_agreed",
    "pl_warped_averaged",
    "pl_easy_hard",
    "pl_zero_shot",
    "pl_zero_shot_turned",
)
ON_PEOPLE = ("zero_shot", "zero_shot_turned", "pl_zero_shot", "pl_zero_shot_turned")
