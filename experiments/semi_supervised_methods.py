"""Methods of the table of semi-supervised learning: functions from the parts that all of them share to a `Method`."""
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import optax

from experiments.configs import network_of, optimizer_of, perceptual_options
from experiments.semi_supervised_measures import ReadSemantic
from experiments.semi_supervised_presets import Config, HardView
from kpjax import Method, Skeleton, methods
from kpjax.augment import Augment, compose_augmentations, hidden, on_half, random_warp
from kpjax.heatmaps import Codec
from kpjax.losses import Objective, without
from kpjax.methods.semi_supervised_learning.semantic_features import representations
from kpjax.models import VGG, KeypointNetwork, image_generator
from kpjax.models.vgg import IMM_TAPS

PERCEPTUAL = VGG(16, IMM_TAPS)
StageOf = Literal["warm start", "method", "both"]


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
