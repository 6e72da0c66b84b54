"""The rows of the semi-supervised tables: each is an ordinary function that builds a Method from shared parts."""
import functools
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.command_line import Variant
from experiments.decoding import decoder
from experiments.networks import heatmap_network
from experiments.semi_supervised.config import Config
from experiments.strong_augmentation import strong_augmentation
from kpjax.augment.augmentations import (
    Augment,
    compose_augmentations,
    no_augmentation,
    on_half,
    random_flip,
    random_homography,
    random_scale_rotation,
)
from kpjax.augment.random_maps import draw_homography
from kpjax.heatmaps import Codec, codec
from kpjax.losses.objective import Objective, without
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.semi_supervised_learning.data_distillation import distilled_predict
from kpjax.methods.semi_supervised_learning.image_generation import image_generation, image_generation_objective
from kpjax.methods.semi_supervised_learning.mean_teacher import mean_teacher, mean_teacher_objective
from kpjax.methods.semi_supervised_learning.objectives import (
    equivariant_landmark_objective,
    pseudo_label_objective,
    semi_supervised_objective,
)
from kpjax.methods.semi_supervised_learning.semantic_features import Semantic, representations
from kpjax.methods.semi_supervised_learning.semi_supervised import semi_supervised
from kpjax.models.image_generation import image_generator
from kpjax.models.network import KeypointNetwork
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.models.weights.imagenet import load_vgg
from kpjax.structures import Example, Method, Skeleton


class Parts(NamedTuple):
    """What all methods of a preset are built from."""

    config: Config
    skeleton: Skeleton
    network: KeypointNetwork
    codec: Codec
    augment: Augment  # of every picture
    warped: Augment  # the same, and then the method's warp on every other picture of a batch


@functools.lru_cache(maxsize=4)
def parts_of(config: Config, skeleton: Skeleton) -> Parts:
    """Built once per config, so that all seeds share what is compiled."""
    network = heatmap_network(
        config.network, len(skeleton.names), stride=config.image_size // config.heatmap_size, widths=config.widths,
        depth=config.depth, head_layers=config.head_layers, head_width=config.head_width, dtype=config.dtype,
        width=config.width, modules=config.modules, blocks=config.blocks, stem_width=config.stem_width,
        taps=config.taps, rematerialise=config.rematerialise)
    how = ({"rounded": True, "window": 3.0, "keep": "window"} if config.targets == "official" else
           {"rounded": False, "window": None})
    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma, grid=config.grid,
                   decoder=decoder(config.decoder, sigma=config.sigma), **how)
    base = base_augmentation(config, skeleton)
    warped = compose_augmentations(base, on_half(random_homography(config.perspective)))
    return Parts(config, skeleton, network, coding, base, warped)


def base_augmentation(config: Config, skeleton: Skeleton) -> Augment:
    """What every method does to every picture. Mirrored only where the skeleton says which points change places."""
    flip = config.flip and bool(skeleton.flip)
    if config.augmentation == "official":
        return compose_augmentations(random_scale_rotation(), *((random_flip(skeleton),) if flip else ()))
    if config.augmentation == "strong":
        return strong_augmentation(skeleton, rotation=config.rotation, zoom=config.zoom, shift=config.shift, flip=flip,
                                   jitter=config.jitter, blur=config.blur, noise=config.noise)
    return no_augmentation()


def steps_of_both_stages(config: Config) -> int:
    """What `all_labels` gets: as many steps as every other row has seen with its warm start."""
    return config.warm_start_steps + config.steps


def rate_of(config: Config, stage: Literal["warm start", "method", "both"]) -> optax.Schedule:
    """Constant, or falling to zero along a cosine from the warm start's end; of `both` one after the other."""
    warm = optax.constant_schedule(config.warm_start_learning_rate)
    method = (optax.cosine_decay_schedule(config.learning_rate, config.steps) if config.schedule == "cosine" else
              optax.constant_schedule(config.learning_rate))
    joined = optax.join_schedules([warm, method], [config.warm_start_steps])
    return {"warm start": warm, "method": method, "both": joined}[stage]


def terms(parts: Parts, **changes) -> Objective:
    """The four terms of the paper."""
    config = parts.config
    streams = ("labelled",) if config.all_labelled else ("labelled", "unlabelled")
    return semi_supervised_objective(parts.codec, **({
        "streams": streams, "supervised_weight": config.supervised_weight, "semantic": config.semantic,
        "equivariance": config.equivariance, "invariance": config.invariance,
        "ti_reduction": config.invariance_reduction, "half": config.half} | changes))


# Variants: each builds a Method from the parts


def _shared(parts: Parts, *, warped: bool = False, stage: Literal["warm start", "method", "both"] = "method") -> dict:
    return {"codec": parts.codec, "optimizer": optax.scale_by_adam(), "learning_rate": rate_of(parts.config, stage),
            "augment": parts.warped if warped else parts.augment, "normalise": imagenet_normalise,
            "draw_map": draw_homography(parts.config.perspective)}


def build_ours(
    parts: Parts, *, objective: Objective | None = None, warped: bool = False,
    stage: Literal["warm start", "method", "both"] = "method",
) -> Method:
    """The method with its four terms, or with another objective: its ablations, ELT and pseudo-labels."""
    config = parts.config
    return semi_supervised(
        parts.network, parts.skeleton, objective=terms(parts) if objective is None else objective,
        feature_width=config.feature_width, detach_masks=config.detach_masks, warped_pass=config.warped_pass,
        **_shared(parts, warped=warped, stage=stage))


def build_without(parts: Parts, *names: str) -> Method:
    """The method less some terms."""
    return build_ours(parts, objective=without(terms(parts), *names))


def build_supervised(
    parts: Parts, *, warped: bool = False, stage: Literal["warm start", "method", "both"] = "method"
) -> Method:
    """The supervised term alone: heatmap MSE."""
    objective = without(terms(parts), "semantic", "equivariance", "invariance")
    return build_ours(parts, objective=objective, warped=warped, stage=stage)


def build_elt(parts: Parts, form: Literal["inverse_heatmap", "forward_heatmap", "coordinates"]) -> Method:
    """Equivariant landmark transformation (Honari et al. 2018), in one of three forms."""
    config = parts.config
    streams = ("labelled",) if config.all_labelled else ("labelled", "unlabelled")
    weight = config.elt_coordinates if form == "coordinates" else config.elt
    return build_ours(parts, objective=equivariant_landmark_objective(
        parts.codec, form=form, streams=streams, supervised_weight=config.supervised_weight,
        equivariance=weight, half=config.half))


def build_pseudo_labels(parts: Parts, *, warped: bool = False) -> Method:
    """Training on labels and pseudo-labels; with `warped`, every other picture of both is also moved."""
    config = parts.config
    objective = pseudo_label_objective(parts.codec, supervised_weight=config.supervised_weight, half=config.half)
    return build_ours(parts, objective=objective, warped=warped)


def build_mean_teacher(parts: Parts, *, warped: bool = False) -> Method:
    """Mean teacher; with `warped`, every other labelled picture is also moved, as the student's others are."""
    config = parts.config
    objective = mean_teacher_objective(parts.codec, supervised_weight=config.supervised_weight,
                                       consistency=config.consistency)
    shared = _shared(parts) | {"augment": {"labelled": parts.warped if warped else parts.augment,
                                           "unlabelled": parts.augment}}
    return mean_teacher(parts.network, parts.skeleton, objective=objective, decay=config.decay, **shared)


def build_gen(parts: Parts) -> Method:
    """Image generation (Jakab et al. 2018) beside the supervised term."""
    config = parts.config
    perceptual = {"perceptual": VGG(16, IMM_TAPS)} if config.perceptual else {}
    objective = image_generation_objective(
        parts.codec, perceptual=bool(config.perceptual), supervised_weight=config.supervised_weight,
        reconstruction=config.reconstruction, half=config.half)
    generator = image_generator(config.generator_widths) if config.generator_widths else None
    return image_generation(parts.network, parts.skeleton, objective=objective, generator=generator,
                            size=config.generator_size, **perceptual, **_shared(parts))


def perceptual_start(parts: Parts) -> dict:
    """What `gen` starts from beside the network: the weights of VGG-16, if the config names them. Prints a report."""
    config = parts.config
    if not config.perceptual:
        return {}
    side = config.generator_size
    fresh = jax.jit(VGG(16, IMM_TAPS).init)(jax.random.key(0), jnp.zeros((1, side, side, 3)))
    imported = load_vgg(fresh, config.perceptual)
    print(f"VGG-16 weights: {imported.report}")
    return {"perceptual": imported.variables}


@functools.lru_cache(maxsize=4)
def read_semantic(config: Config, skeleton: Skeleton) -> Callable[[Mapping, Example], Semantic]:
    """(variables, a batch) -> what a trained network's features say; one function for each config."""
    network = parts_of(config, skeleton).network
    return functools.partial(representations, network, imagenet_normalise)


class Recipe(NamedTuple):
    """How a variant comes about: a method, and what it learns from."""

    build: Callable[[Parts], Method]
    teacher: str = ""  # the variant whose predictions label the unlabelled pictures
    everything: bool = False  # all training pictures with labels, for the steps of both stages


RECIPES: dict[str, Recipe] = {
    "ours": Recipe(build_ours),
    "supervised": Recipe(build_supervised),
    "pl": Recipe(build_pseudo_labels, teacher="supervised"),
    "elt": Recipe(lambda p: build_elt(p, "inverse_heatmap")),
    "elt_forward": Recipe(lambda p: build_elt(p, "forward_heatmap")),
    "elt_coordinates": Recipe(lambda p: build_elt(p, "coordinates")),
    "gen": Recipe(build_gen),
    "mean_teacher": Recipe(build_mean_teacher),
    "supervised_warped": Recipe(lambda p: build_supervised(p, warped=True)),
    "pl_warped": Recipe(lambda p: build_pseudo_labels(p, warped=True), teacher="supervised_warped"),
    "mean_teacher_warped": Recipe(lambda p: build_mean_teacher(p, warped=True)),
    "no_sc": Recipe(lambda p: build_without(p, "semantic")),
    "no_te": Recipe(lambda p: build_without(p, "equivariance")),
    "no_ti": Recipe(lambda p: build_without(p, "invariance")),
    "sc_only": Recipe(lambda p: build_without(p, "equivariance", "invariance")),
    "ti_only": Recipe(lambda p: build_without(p, "semantic", "equivariance")),
    "te_labelled_only": Recipe(lambda p: build_ours(p, objective=terms(p, equivariance_on=("labelled",)))),
    "no_ground_truth_in_te": Recipe(lambda p: build_ours(p, objective=terms(p, ground_truth_in_equivariance=False))),
    "no_ground_truth": Recipe(lambda p: build_ours(p, objective=terms(p, ground_truth=False))),
    "all_labels": Recipe(lambda p: build_supervised(p, stage="both"), everything=True),
}


@functools.lru_cache(maxsize=32)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """The method of a variant; built once, so that all seeds share what is compiled."""
    return RECIPES[variant].build(parts_of(config, skeleton))


@functools.lru_cache(maxsize=4)
def build_warm_start(config: Config, skeleton: Skeleton) -> Method:
    """The stage that all variants of a seed start from."""
    return build_supervised(parts_of(config, skeleton), stage="warm start")


@functools.lru_cache(maxsize=4)
def distilled(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """A variant whose predictions are averaged over transforms, as the teacher of pseudo-labels."""
    parts = parts_of(config, skeleton)
    predict = distilled_predict(parts.network, parts.codec, imagenet_normalise, skeleton, flip=config.flip)
    return build(config, skeleton, variant)._replace(predict=predict)


VARIANTS: dict[str, Variant] = {
    "ours": Variant("method", "semantic consistency, equivariance and invariance beside the labels", "ours"),
    "supervised": Variant("rival", "the labels alone", "HRNet"),
    "pl": Variant("rival", "hard labels of the supervised network under six transforms, trained again", "PL"),
    "elt": Variant("rival", "equivariance of heatmaps, moved back", "ELT"),
    "elt_forward": Variant("rival", "equivariance of heatmaps, moved forward, of predictions only", "ELT, forward"),
    "elt_coordinates": Variant("rival", "equivariance of soft-argmax coordinates", "ELT, coordinates"),
    "gen": Variant("rival", "pictures generated from their points", "Gen"),
    "mean_teacher": Variant("rival", "heatmaps of an averaged network", "mean teacher"),
    "supervised_warped": Variant("control", "the labels alone, the method's warp on half of a batch"),
    "pl_warped": Variant("control", "PL from and with the warp on half of a batch"),
    "mean_teacher_warped": Variant("control", "mean teacher, the warp on half of the labelled pictures"),
    "no_sc": Variant("ablation", "without semantic consistency", "TE + TI"),
    "no_te": Variant("ablation", "without equivariance", "TI + SC"),
    "no_ti": Variant("ablation", "without invariance", "TE + SC"),
    "sc_only": Variant("ablation", "semantic consistency alone beside the labels", "SC"),
    "ti_only": Variant("ablation", "invariance alone beside the labels", "TI"),
    "te_labelled_only": Variant("ablation", "equivariance of labelled pictures only"),
    "no_ground_truth_in_te": Variant("ablation", "equivariance of predictions on labelled pictures, too"),
    "no_ground_truth": Variant("ablation", "predictions in place of true heatmaps in all unsupervised terms"),
    "all_labels": Variant("bound", "all training pictures labelled, steps of both stages", "HRNet, 100 %"),
}
NEED_UNLABELLED = ("pl", "pl_warped", "te_labelled_only")  # rows that make no sense where every picture is labelled
