"""Methods of the table of semi-supervised learning: functions from the parts that all of them share to a `Method`."""
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import optax

from experiments.engine.configs import network_of, optimizer_of, perceptual_options
from experiments.engine.system import Variant
from experiments.semi_supervised.measures import ReadSemantic
from experiments.semi_supervised.presets import MULTIPLE, Config, HardView
from kpjax import InputError, Method, Skeleton, methods
from kpjax.augment import Augment, compose_augmentations, hidden, on_half, random_warp
from kpjax.heatmaps import Codec
from kpjax.losses import Objective, without
from kpjax.methods.semi_supervised_family.semantic_features import representations
from kpjax.models import VGG, KeypointNetwork, image_generator
from kpjax.models.vgg import IMM_TAPS
from kpjax.training.fit import Select

PERCEPTUAL = VGG(16, IMM_TAPS)
StageOf = Literal["warm start", "method", "both"]

SCORE_KIND = "mse_peak"
CHOOSING = Select("validation/pck")
ON_VIDEOS = ("video_terms", "pl_video_terms", "projected")  # variants that need them



class Parts(NamedTuple):
    """Parts of all methods of a preset."""

    config: Config
    skeleton: Skeleton
    network: KeypointNetwork
    codec: Codec
    augment: Augment  # of every image
    warped: Augment  # the same, and then the method's warp on every other image of a batch

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that unsupervised terms read."""
        return ("labelled",) if self.config.data.all_labelled else ("labelled", "unlabelled")


@functools.lru_cache(maxsize=4)
def parts_of(config: Config, skeleton: Skeleton) -> Parts:
    """Builds the parts once per config, so that all seeds share what is compiled."""
    base = config.augment.build(skeleton, loaded=config.data.loaded(config.augment.reach))
    warped = compose_augmentations(base, on_half(random_warp(config.weights.draw_map())))
    return Parts(config, skeleton, network_of(config, len(skeleton.names)),
                 config.heatmaps.codec(config.data.image_size), base, warped)


def terms(parts: Parts, **changes: Any) -> Objective:
    """Builds the four terms of the paper."""
    weights = parts.config.weights
    return methods.semi_supervised_objective(
        parts.codec, streams=parts.streams, semantic=weights.semantic, equivariance=weights.equivariance,
        invariance=weights.invariance, valid_mask=weights.valid_mask, semantic_on_warped=weights.semantic_on_warped,
        ti_reduction=weights.invariance_reduction, **_supervision(parts), **changes)


def _supervision(parts: Parts) -> dict[str, Any]:
    return {"supervised_weight": parts.config.weights.supervised_weight, "half": parts.config.weights.half}


def _shared(parts: Parts, *, warped: bool = False, stage: StageOf = "method") -> dict[str, Any]:
    config = parts.config
    return {"codec": parts.codec, "optimizer": optimizer_of(config, optax.scale_by_adam()),
            "learning_rate": config.rate(stage), "normalise": config.backbone.normalise,
            "augment": parts.warped if warped else parts.augment,
            "draw_map": config.weights.draw_map()}


def build_ours(parts: Parts, *, objective: Objective | None = None, left_out: Sequence[str] = (), warped: bool = False,
               stage: StageOf = "method", **changes: Any) -> Method:
    """Builds the method: its terms without those left out and with changes, or another objective, as of ELT."""
    weights = parts.config.weights
    return methods.semi_supervised(
        parts.network, parts.skeleton,
        objective=without(terms(parts, **changes), *left_out) if objective is None else objective,
        feature_width=weights.feature_width, detach_masks=weights.detach_masks, warped_pass=weights.warped_pass,
        **_shared(parts, warped=warped, stage=stage))


# The supervised term alone: heatmap MSE.
build_supervised = functools.partial(build_ours, left_out=("semantic", "equivariance", "invariance"))


def build_elt(parts: Parts, form: Literal["inverse_heatmap", "forward_heatmap", "coordinates"]) -> Method:
    """Builds equivariant landmark transformation (Honari et al. 2018), in one of three forms."""
    baselines = parts.config.baselines
    return build_ours(parts, objective=methods.equivariant_landmark_objective(
        parts.codec, form=form, streams=parts.streams, **_supervision(parts),
        equivariance=baselines.elt_coordinates if form == "coordinates" else baselines.elt))


def build_pseudo_labels(parts: Parts, *, labelled_share: float = 0.5, warped: bool = False) -> Method:
    """Builds training on labels and pseudo-labels; with `warped`, every other image of both is also moved."""
    objective = methods.pseudo_label_objective(parts.codec, labelled_share=labelled_share, **_supervision(parts))
    return build_ours(parts, objective=objective, warped=warped)


def build_mean_teacher(parts: Parts, *, warped: bool = False) -> Method:
    """Builds mean teacher; with `warped`, every other labelled image is also moved, as the student's others are."""
    config = parts.config
    objective = methods.mean_teacher_objective(parts.codec, supervised_weight=config.weights.supervised_weight,
                                               consistency=config.baselines.consistency)
    augment = {"labelled": parts.warped if warped else parts.augment, "unlabelled": parts.augment}
    return methods.mean_teacher(parts.network, parts.skeleton, objective=objective, decay=config.baselines.decay,
                                **_shared(parts) | {"augment": augment})


def build_easy_hard(parts: Parts, *, views: Sequence[HardView] = (), networks: int = 1) -> Method:
    """Builds easy and hard views (Xie et al. 2021), by default those of the config; of two networks, the dual form."""
    config, settings = parts.config, parts.config.easy_hard
    hides = tuple(settings.hide(view, config.data.image_size) for view in views or settings.hard_views)
    objective = methods.easy_hard_objective(
        parts.codec, views=len(hides), networks=networks, supervised_weight=config.weights.supervised_weight,
        consistency=config.weights.supervised_weight * settings.hard_weight, valid_mask=settings.hard_valid_mask)
    augment = {"labelled": parts.warped if settings.warp_labelled else parts.augment, "unlabelled": parts.augment}
    return methods.easy_hard(parts.network, parts.skeleton, objective=objective, views=hides, networks=networks,
                             **_shared(parts) | {"augment": augment, "draw_map": settings.draw_map()})


def build_supervised_cutout(parts: Parts) -> Method:
    """Builds the supervised term on warped images with holes at their labels."""
    cutout = hidden(parts.config.easy_hard.hide("cutout", parts.config.data.image_size))
    return build_supervised(parts._replace(warped=compose_augmentations(parts.warped, cutout)), warped=True)


def build_video_terms(parts: Parts, *, pseudo_labels: bool = False, warped: bool = False) -> Method:
    """Builds Lightning Pose's terms on consecutive frames, beside the labels alone or with pseudo-labels."""
    config, settings, labels = parts.config, parts.config.video, parts.config.weights.supervised_weight
    objective = (methods.pseudo_label_objective(parts.codec, **_supervision(parts)) if pseudo_labels else
                 without(terms(parts), "semantic", "equivariance", "invariance"))
    on_video = {
        "temporal": methods.temporal_term(parts.codec, settings.weight(settings.temporal_exponent, labels),
                                          epsilon=settings.temporal_epsilon),
        "pose_subspace": methods.pose_subspace_term(parts.codec, settings.weight(settings.pose_exponent, labels))}
    options = _shared(parts, warped=warped)
    augment = dict.fromkeys(("labelled", "unlabelled"), options["augment"]) | {"video": settings.change()}
    return methods.semi_supervised(
        parts.network, parts.skeleton, objective={**objective, **on_video}, **options | {"augment": augment},
        scales=lambda step: dict.fromkeys(on_video, settings.factor(step, config.steps)))


def build_projected(parts: Parts) -> Method:
    """Builds the supervised term, whose predictions are moved to the labels' subspace of poses."""
    method = build_supervised(parts, warped=True)
    return method._replace(predict=methods.projected_predict(method.predict))


def build_gen(parts: Parts) -> Method:
    """Builds image generation (Jakab et al. 2018) beside the supervised term."""
    baselines = parts.config.baselines
    objective = methods.image_generation_objective(
        parts.codec, perceptual=bool(baselines.perceptual), reconstruction=baselines.reconstruction,
        **_supervision(parts))
    generator = image_generator(baselines.generator_widths) if baselines.generator_widths else None
    perceptual = perceptual_options(baselines.perceptual, PERCEPTUAL)
    return methods.image_generation(parts.network, parts.skeleton, objective=objective, generator=generator,
                                    size=baselines.generator_size, **perceptual, **_shared(parts))


def averaged_predict(parts: Parts, **transforms: Any) -> Callable:
    """Builds a `predict` that averages heatmaps over transforms."""
    return methods.distilled_predict(
        parts.network, parts.codec, parts.config.backbone.normalise, parts.skeleton, **transforms)


@functools.lru_cache(maxsize=4)
def build_warm_start(config: Config, skeleton: Skeleton) -> Method:
    """Builds the stage that all variants of a seed start from."""
    return build_supervised(parts_of(config, skeleton), stage="warm start")


@functools.lru_cache(maxsize=4)
def read_semantic(config: Config, skeleton: Skeleton) -> ReadSemantic:
    """Returns a function from (variables, batch) to the semantics of a trained network's features; one per config."""
    return functools.partial(representations, parts_of(config, skeleton).network, config.backbone.normalise)


# Variants


class Recipe(NamedTuple):
    """Construction of a variant: a method, and its data."""

    build: Callable[[Parts], Method]
    teacher: str = ""  # the variant whose predictions label the unlabelled images
    everything: bool = False  # all training images with labels, for the steps of both stages
    videos: bool = False  # a stream of consecutive frames, and the labels' subspace of poses
    of: str = ""  # the variant whose result it reads in another way, without training
    second: bool = False  # a second network, with a warm start of its own
    times: int = 1  # the steps of the config, of which a method takes so many times as many

    def config(self, config: Config) -> Config:
        """Returns the config that the variant is built by."""
        return replace(config, steps=self.times * config.steps)


def _recipe(build: Callable[..., Method], **options: Any) -> Recipe:
    return Recipe(functools.partial(build, **options))


def _ablation(line: str, label: str, *left_out: str, **changes: Any) -> Variant:
    return Variant("ablation", line, label, _recipe(build_ours, left_out=left_out, **changes))


VARIANTS: dict[str, Variant] = {
    "ours": Variant("method", "semantic consistency, equivariance and invariance beside the labels", "ours",
                    Recipe(build_ours)),
    "supervised": Variant("baseline", "the labels alone", "HRNet", Recipe(build_supervised)),
    "pl": Variant("baseline", "hard labels of the supervised network under six transforms, trained again", "PL",
                  Recipe(build_pseudo_labels, "supervised")),
    "pl_60": Variant("baseline", "PL, the labels with 60 % of the weight", "PL, 60 %",
                     _recipe(build_pseudo_labels, labelled_share=0.6)._replace(teacher="supervised")),
    "elt": Variant("baseline", "equivariance of heatmaps, moved back", "ELT",
                   _recipe(build_elt, form="inverse_heatmap")),
    "elt_forward": Variant("baseline", "equivariance of heatmaps, moved forward, of predictions only", "ELT, forward",
                           _recipe(build_elt, form="forward_heatmap")),
    "elt_coordinates": Variant("baseline", "equivariance of soft-argmax coordinates", "ELT, coordinates",
                               _recipe(build_elt, form="coordinates")),
    "gen": Variant("baseline", "images generated from their keypoints", "Gen", Recipe(build_gen)),
    "mean_teacher": Variant("baseline", "heatmaps of an averaged network", "mean teacher", Recipe(build_mean_teacher)),
    "supervised_warped": Variant("control", "the labels alone, the method's warp on half of a batch", "",
                                 _recipe(build_supervised, warped=True)),
    "pl_warped": Variant("control", "PL from and with the warp on half of a batch", "",
                         _recipe(build_pseudo_labels, warped=True)._replace(teacher="supervised_warped")),
    "mean_teacher_warped": Variant("control", "mean teacher, the warp on half of the labelled images", "",
                                   _recipe(build_mean_teacher, warped=True)),
    "easy_hard": Variant("baseline", "the network's answer on the easy view teaches it on one with holes and turned",
                         "Single", _recipe(build_easy_hard)),
    "easy_hard_dual": Variant("baseline", "two networks that teach each other on views with holes and turned", "Dual",
                              _recipe(build_easy_hard, networks=2)._replace(second=True)),
    "easy_hard_multiple": Variant("baseline", "easy_hard on four hard views at once", "MultiAugs",
                                  _recipe(build_easy_hard, views=MULTIPLE)),
    "easy_hard_twice": Variant("control", "easy_hard for twice the steps, the cost of easy_hard_dual", "",
                               _recipe(build_easy_hard)._replace(times=2)),
    "pl_easy_hard": Variant("baseline", "pl_warped whose labels come from easy_hard", "", _recipe(
        build_pseudo_labels, warped=True)._replace(teacher="easy_hard")),
    "supervised_warped_cutout": Variant("control", "supervised_warped with holes at the labelled keypoints", "",
                                        Recipe(build_supervised_cutout)),
    "video_terms": Variant("baseline", "the labels, and no jumps and no unlikely poses in videos", "Lightning Pose",
                           _recipe(build_video_terms, warped=True)._replace(videos=True)),
    "pl_video_terms": Variant("baseline", "pl_warped, and no jumps and no unlikely poses in videos", "", _recipe(
        build_video_terms, pseudo_labels=True, warped=True)._replace(teacher="supervised_warped", videos=True)),
    "projected": Variant("control", "supervised_warped, predictions moved to the labels' subspace of poses", "",
                         Recipe(build_projected, of="supervised_warped")),
    "no_sc": _ablation("without semantic consistency", "TE + TI", "semantic"),
    "no_te": _ablation("without equivariance", "TI + SC", "equivariance"),
    "no_ti": _ablation("without invariance", "TE + SC", "invariance"),
    "te_inverse": _ablation("heatmaps moved back, as ELT's, in place of equivariance", "inverse TE + TI + SC",
                            inverse=True),
    "sc_only": _ablation("semantic consistency alone beside the labels", "SC", "equivariance", "invariance"),
    "ti_only": _ablation("invariance alone beside the labels", "TI", "semantic", "equivariance"),
    "te_labelled_only": _ablation("equivariance of labelled images only", "", equivariance_on=("labelled",)),
    "no_ground_truth_in_te": _ablation("equivariance of predictions on labelled images, too", "",
                                       ground_truth_in_equivariance=False),
    "no_ground_truth": _ablation("predictions in place of true heatmaps in all unsupervised terms", "",
                                 ground_truth=False),
    "all_labels": Variant("oracle", "all training images labelled, steps of both stages", "HRNet, 100 %",
                          _recipe(build_supervised, stage="both")._replace(everything=True)),
}


@functools.lru_cache(maxsize=32)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds share what is compiled.

    Raises InputError if mirrored images are asked for, but the skeleton has no flip permutation.
    """
    recipe = VARIANTS[variant].recipe
    method = recipe.build(parts_of(recipe.config(config), skeleton))
    if not config.flip_test:
        return method
    if not skeleton.flip:
        raise InputError("flip_test: the skeleton names no mirror image of its keypoints; leave it out")
    return method._replace(predict=averaged_predict(parts_of(config, skeleton), scales=(1.0,)))


@functools.lru_cache(maxsize=4)
def distilled(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds a variant whose predictions are averaged over transforms, as the teacher of pseudo-labels."""
    predict = averaged_predict(parts_of(config, skeleton), flip=config.augment.flip)
    return build(config, skeleton, variant)._replace(predict=predict)
