"""Methods of the table of semi-supervised learning: functions from the config and the setup to a
`Method`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import optax

from kpjax import Example, Method, Prediction, Skeleton, Trained, methods
from kpjax.augment import compose_augmentations, hide_boxes, on_half, random_warp
from kpjax.losses import Objective, without
from kpjax.methods import Setup, published
from kpjax.methods.perceptual import perceptual_options
from kpjax.methods.semi_supervised_family.objectives import EQUATION_5
from kpjax.methods.semi_supervised_family.semantic_features import Semantic, representations
from kpjax.models import VGG, image_generator
from kpjax.models.vgg import IMM_TAPS
from kpjax.papers.configs import changed, network_of, optimizer_of
from kpjax.papers.engine import Variant
from kpjax.papers.semi_supervised.config import Config

PERCEPTUAL = VGG(16, IMM_TAPS)
# (variables, a batch) -> semantics of its features
ReadSemantic = Callable[[Mapping[str, Any], Example], Semantic]
StageOf = Literal["warm start", "method", "both"]
LABELLED_SHARE = 0.5  # of the loss of pseudo-labels: how much of it the labels themselves have
LABELS = EQUATION_5["supervised_weight"]  # the weight of the labels in all variants


@functools.lru_cache(maxsize=4)
def setup_of(config: Config, skeleton: Skeleton) -> Setup:
    """Builds the setup once per config, so that all seeds share what is compiled."""
    return Setup(
        network_of(config, len(skeleton.names)),
        skeleton,
        config.heatmaps.codec(config.data.image_size),
        optimizer_of(config, optax.scale_by_adam()),
        config.rate("method"),
        config.augment.build(skeleton, loaded=config.data.loaded(config.augment.reach)),
        config.backbone.normalise,
    )


def _warped(config: Config, setup: Setup) -> Setup:
    """Returns the setup with the method's warp on every other image of a batch, after the
    augmentation.
    """
    warp = on_half(random_warp(config.weights.draw_map()))
    return setup._replace(augment=compose_augmentations(setup.augment, warp))


def build_objective(
    config: Config, setup: Setup, *, ground_truth: bool = True, inverse: bool = False
) -> Objective:
    """Builds equation 5 in the form of the config.

    ground_truth: see `semi_supervised_objective`. inverse: whether heatmaps of g(x) are moved back,
    as in Honari et al. 2018, in place of equation 2.
    """
    weights, streams = config.weights, config.data.streams
    of_terms = weights.of_terms(config.heatmaps, len(setup.skeleton.names))
    objective = methods.semi_supervised_objective(
        setup.codec,
        streams=streams,
        ground_truth=ground_truth,
        unit=weights.unit,
        reduction=weights.reduction,
        **of_terms,
    )
    if not inverse:
        return objective
    moved_back = methods.equivariance_term(
        setup.codec, of_terms["equivariance"], streams, ground_truth=ground_truth, inverse=True
    )
    return {**objective, "equivariance": moved_back}


def build_ours(
    config: Config,
    setup: Setup,
    *,
    objective: Objective | None = None,
    left_out: Sequence[str] = (),
    warped: bool = False,
    stage: StageOf = "method",
    **changes: Any,
) -> Method:
    """Builds the method: its terms without those left out, with changes; or another objective."""
    weights, base = config.weights, _warped(config, setup) if warped else setup
    if objective is None:
        objective = without(build_objective(config, setup, **changes), *left_out)
    return methods.semi_supervised(
        base._replace(learning_rate=config.rate(stage)),
        objective=objective,
        draw_map=weights.draw_map(),
        feature_width=weights.feature_width,
        one_scale=weights.one_scale,
        warped_pass=weights.warped_pass,
    )


# The supervised term alone: heatmap MSE.
build_supervised = functools.partial(
    build_ours, left_out=("semantic", "equivariance", "invariance")
)


def build_affine(config: Config, setup: Setup) -> Method:
    """Builds the method whose g is an affine map."""
    return build_ours(changed(config, warp="affine"), setup)


def build_elt(config: Config, setup: Setup) -> Method:
    """Builds equivariant landmark transformation (Honari et al. 2018), of heatmaps."""
    return build_ours(
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
    return build_ours(config, setup, objective=objective, warped=warped)


def build_easy_hard(config: Config, setup: Setup) -> Method:
    """Builds easy and hard views (Xie et al. 2021) of one network."""
    labelled = _warped(config, setup) if config.baselines.warp_labelled else setup
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
    return build_supervised(config, setup, warped=True)._replace(predict=_averaged(config, setup))


def _averaged(config: Config, setup: Setup) -> Callable[[Trained, Example], Prediction]:
    return methods.distilled_predict(
        setup.model, setup.codec, setup.normalise, setup.skeleton, flip=config.augment.flip
    )


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


@functools.lru_cache(maxsize=4)
def build_warm_start(config: Config, skeleton: Skeleton) -> Method:
    """Builds the stage that all variants of a seed start from."""
    return build_supervised(config, setup_of(config, skeleton), stage="warm start")


@functools.lru_cache(maxsize=4)
def read_semantic(config: Config, skeleton: Skeleton) -> ReadSemantic:
    """Returns a function from (variables, batch) to the semantics of a trained network's features;
    one per config.
    """
    return functools.partial(
        representations,
        setup_of(config, skeleton).model,
        config.backbone.normalise,
        one_scale=config.weights.one_scale,
    )


# Variants


class Recipe(NamedTuple):
    """Construction of a variant: a method, and its data."""

    build: Callable[[Config, Setup], Method]
    teacher: str = ""  # the variant whose predictions label the unlabelled images
    everything: bool = False  # all training images with labels, for the steps of both stages
    of: str = ""  # the variant whose result it reads in another way, without training
    times: int = 1  # the steps of the config, of which a method takes so many times as many
    untrained: bool = False  # a published network as it is

    def config(self, config: Config) -> Config:
        """Returns the config that the variant is built by."""
        return changed(config, steps=self.times * config.steps)


def _recipe(build: Callable[..., Method], **options: Any) -> Recipe:
    return Recipe(functools.partial(build, **options))


def _ablation(line: str, label: str, *left_out: str, **changes: Any) -> Variant:
    return Variant("ablation", line, label, _recipe(build_ours, left_out=left_out, **changes))


VARIANTS: dict[str, Variant] = {
    "ours": Variant(
        "method",
        "semantic consistency, equivariance and invariance beside the labels",
        "ours",
        Recipe(build_ours),
    ),
    "supervised": Variant("baseline", "the labels alone", "HRNet", Recipe(build_supervised)),
    "pl": Variant(
        "baseline",
        "hard labels of the supervised network under six transforms, trained again",
        "PL",
        Recipe(build_pseudo_labels, "supervised"),
    ),
    "elt": Variant("baseline", "equivariance of heatmaps, moved back", "ELT", Recipe(build_elt)),
    "gen": Variant("baseline", "images generated from their keypoints", "Gen", Recipe(build_gen)),
    "supervised_warped": Variant(
        "control",
        "the labels alone, the method's warp on half of a batch",
        "",
        _recipe(build_supervised, warped=True),
    ),
    "supervised_warped_twice": Variant(
        "control",
        "the same for twice the steps, the cost of pl_warped",
        "",
        _recipe(build_supervised, warped=True)._replace(times=2),
    ),
    "supervised_warped_averaged": Variant(
        "control",
        "supervised_warped, its heatmaps averaged over the six views that label for pl_warped",
        "",
        Recipe(build_averaged, of="supervised_warped"),
    ),
    "pl_warped": Variant(
        "control",
        "PL from and with the warp on half of a batch",
        "",
        _recipe(build_pseudo_labels, warped=True)._replace(teacher="supervised_warped"),
    ),
    "supervised_warped_twice_averaged": Variant(
        "control",
        "supervised_warped_twice, its heatmaps averaged likewise: the cost of pl_warped_averaged",
        "",
        Recipe(build_averaged, of="supervised_warped_twice"),
    ),
    "pl_warped_averaged": Variant(
        "control",
        "pl_warped, its heatmaps averaged over the same six views",
        "",
        Recipe(build_averaged, of="pl_warped"),
    ),
    "easy_hard": Variant(
        "baseline",
        "the network's answer on the easy view teaches it on one with holes and turned",
        "Single",
        Recipe(build_easy_hard),
    ),
    "easy_hard_twice": Variant(
        "control", "easy_hard for twice the steps", "", Recipe(build_easy_hard, times=2)
    ),
    "pl_easy_hard": Variant(
        "baseline",
        "pl_warped whose labels come from easy_hard",
        "",
        _recipe(build_pseudo_labels, warped=True)._replace(teacher="easy_hard"),
    ),
    "no_sc": _ablation("without semantic consistency", "TE + TI", "semantic"),
    "no_te": _ablation("without equivariance", "TI + SC", "equivariance"),
    "no_ti": _ablation("without invariance", "TE + SC", "invariance"),
    "sc_only": _ablation(
        "semantic consistency alone beside the labels", "SC", "equivariance", "invariance"
    ),
    "ti_only": _ablation("invariance alone beside the labels", "TI", "semantic", "equivariance"),
    "no_ground_truth": _ablation(
        "predictions in place of true heatmaps in all unsupervised terms", "", ground_truth=False
    ),
    "te_inverse": _ablation(
        "heatmaps moved back, as ELT's, in place of equivariance",
        "inverse TE + TI + SC",
        inverse=True,
    ),
    "affine": Variant(
        "ablation", "affine maps in place of perspective ones", "", Recipe(build_affine)
    ),
    "zero_shot": Variant(
        "baseline",
        "MoveNet Lightning as published: no label and no training",
        "",
        Recipe(lambda config, setup: published.people(setup.skeleton), untrained=True),
    ),
    "zero_shot_turned": Variant(
        "baseline",
        "the same, images also turned, mirrored and zoomed: where 36 views agree",
        "",
        Recipe(lambda config, setup: published.people(setup.skeleton, turned=True), untrained=True),
    ),
    "pl_zero_shot": Variant(
        "baseline",
        "pl_warped whose labels come from zero_shot_turned",
        "",
        _recipe(build_pseudo_labels, warped=True)._replace(teacher="zero_shot_turned"),
    ),
    "pl_zero_shot_turned": Variant(
        "baseline",
        "pl_zero_shot, its answers those of 36 views, as its labels' are",
        "",
        Recipe(build_turned, of="pl_zero_shot"),
    ),
    "all_labels": Variant(
        "oracle",
        "all training images labelled, steps of both stages",
        "HRNet, 100 %",
        _recipe(build_supervised, stage="both")._replace(everything=True),
    ),
}


@functools.lru_cache(maxsize=32)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds share what is compiled."""
    recipe = VARIANTS[variant].recipe
    config = recipe.config(config)
    return recipe.build(config, setup_of(config, skeleton))


@functools.lru_cache(maxsize=4)
def distilled(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds a variant whose predictions are averaged over transforms, as the teacher of
    pseudo-labels.

    A published network stays as it is.
    """
    if VARIANTS[variant].recipe.untrained:
        return build(config, skeleton, variant)
    return build(config, skeleton, variant)._replace(
        predict=_averaged(config, setup_of(config, skeleton))
    )
