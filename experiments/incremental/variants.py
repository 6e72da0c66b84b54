"""The rows of the incremental tables: what the loss of a step is made of, and what is kept between steps."""
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments.command_line import Variant
from experiments.decoding import decoder
from experiments.incremental.config import Config
from experiments.networks import heatmap_network
from experiments.strong_augmentation import strong_augmentation
from kpjax.augment import (
    Augment,
    compose_augmentations,
    no_augmentation,
    random_flip,
    random_scale_rotation,
    random_warp,
)
from kpjax.heatmaps import Codec, codec
from kpjax.losses.objective import Objective, Term
from kpjax.methods.adaptive_consolidation import adaptive_consolidation
from kpjax.methods.association import association
from kpjax.methods.importance import Measure, fisher, memory_aware_synapses
from kpjax.methods.incremental import incremental
from kpjax.methods.incremental_objectives import (
    association_term,
    channel_distillation_term,
    entropy_term,
    mse_distillation_term,
    new_keypoints_term,
    penalty_term,
    self_training_term,
    spatial_distillation_term,
)
from kpjax.methods.passes import imagenet_normalise
from kpjax.methods.pseudo_label_confidence import Confidence, Doubt, hard, soft, spread
from kpjax.methods.riemannian_walk import RiemannianWalk, walk_by_path, walk_by_updates
from kpjax.models.association_network import Variant as AssociationName
from kpjax.models.association_network import association_network
from kpjax.models.network import KeypointNetwork
from kpjax.random_maps import draw_affine
from kpjax.structures import Method, Skeleton


class Parts(NamedTuple):
    """What all methods of a preset are built from."""

    config: Config
    points: Skeleton
    network: KeypointNetwork
    codec: Codec
    augment: Augment


@functools.lru_cache(maxsize=8)
def parts_of(config: Config, points: Skeleton, mirrored: bool) -> Parts:
    """Built once per config, so that all steps and seeds share what is compiled. mirrored: see `Protocol`."""
    network = heatmap_network(
        config.network, len(points.names), stride=config.image_size // config.heatmap_size, widths=config.widths,
        depth=config.depth, head_layers=config.head_layers, head_width=config.head_width, dtype=config.dtype,
        width=config.width, modules=config.modules, blocks=config.blocks, stem_width=config.stem_width,
        taps=config.taps, rematerialise=config.rematerialise)
    how = ({"rounded": True, "window": 3.0, "keep": "window"} if config.targets == "official" else
           {"rounded": False, "window": None})
    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma, grid=config.grid,
                   decoder=decoder(config.decoder, sigma=config.sigma), **how)
    return Parts(config, points, network, coding, _augmentation(config, points, mirrored))


def _augmentation(config: Config, points: Skeleton, mirrored: bool) -> Augment:
    """What every method does to every picture. Mirrored only where no pair of keypoints comes apart."""
    flip = config.flip and bool(points.flip) and mirrored
    if config.augmentation == "official":
        return compose_augmentations(random_scale_rotation(), *((random_flip(points),) if flip else ()))
    if config.augmentation == "strong":
        return strong_augmentation(points, rotation=config.rotation, zoom=config.zoom, shift=config.shift, flip=flip,
                                   jitter=config.jitter, blur=config.blur, noise=config.noise)
    if config.augmentation == "xray":
        return random_warp(draw_affine(degrees=10.0, scale=(1.0, 1.0), shift=0.02))
    return no_augmentation()


# What rows have in common


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Adam on gradients of bounded norm, with weight decay beside its step; the learning rate is apart."""
    return optax.chain(
        *([optax.clip_by_global_norm(config.clip)] if config.clip else []), optax.scale_by_adam(),
        *([optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []))


def rate_of(config: Config, rate: float, steps: int) -> optax.Schedule:
    """A linear rise, then the config's schedule over so many steps."""
    rise = min(config.warmup_steps, steps // 5)
    left = steps - rise
    after = {"constant": lambda: optax.constant_schedule(rate),
             "cosine": lambda: optax.cosine_decay_schedule(rate, left),
             "steps": lambda: optax.piecewise_constant_schedule(
                 rate, {round(0.7 * steps) - rise: 0.1, round(0.9 * steps) - rise: 0.1})}[config.schedule]()
    return optax.join_schedules([optax.linear_schedule(rate / 10, rate, rise), after], [rise]) if rise else after


class Steps(NamedTuple):
    """How many optimizer steps the stages have."""

    base: int
    association: int  # of each later step; 0 where a row has no KA-Net
    increment: int  # of each later step

    @property
    def later(self) -> int:
        """Of a later step in all."""
        return self.association + self.increment


def steps_of(config: Config, variant: str) -> Steps:
    """Rows without KA-Net train as long as those with it."""
    share = round(config.association_share * config.steps) if RECIPES[variant].association else 0
    share = min(max(share, 1), config.steps - 1) if RECIPES[variant].association else 0
    return Steps(config.base_steps, share, config.steps - share)


def _shared(parts: Parts) -> dict:
    config = parts.config
    return {"codec": parts.codec, "optimizer": optimizer_of(config), "augment": parts.augment,
            "normalise": imagenet_normalise}


def _incremental(parts: Parts, objective: Objective, rate: float, steps: int, **options) -> Method:
    config = parts.config
    return incremental(
        parts.network, parts.points, objective=objective, learning_rate=rate_of(config, rate, steps),
        freeze_old_heads=config.freeze_old_heads, **_shared(parts), **options)


# Terms beside that of the new keypoints


def _spatial(config: Config) -> dict:
    return {"reduction": config.reduction, "mode": config.distillation_mode, "temperature": config.temperature}


def _distilled(parts: Parts) -> dict[str, Term]:
    return {"distillation": spatial_distillation_term(**_spatial(parts.config))}


def _associated(parts: Parts) -> dict[str, Term]:
    return {"association": association_term(loss=parts.config.ka_loss, **_spatial(parts.config))}


def _self_trained(parts: Parts) -> dict[str, Term]:
    return {"association": self_training_term(parts.codec, loss=parts.config.ka_loss, **_spatial(parts.config))}


def _penalty(parts: Parts) -> dict[str, Term]:
    return {"penalty": penalty_term()}


def _entropy(parts: Parts) -> dict[str, Term]:
    return {"entropy": entropy_term(parts.config.cpr_entropy_of)}


class Recipe(NamedTuple):
    """What a row is made of."""

    terms: tuple[Callable[[Parts], dict[str, Term]], ...] = ()  # beside the new keypoints', in later steps
    base_terms: tuple[Callable[[Parts], dict[str, Term]], ...] = ()  # beside it, in step 0
    association: Literal["", "plain", "distant", "filtered"] = ""  # the first stage of a later step
    triples: Literal["", "protocol", "random"] = ""
    rerendered: bool | None = None  # KA-Net's maps; None as the config says
    over_old: bool | None = None  # whether their weight is divided by the number of old keypoints; None likewise
    memory: Literal["", "fisher", "online_fisher", "mas", "walk", "afec"] = ""  # what is kept for the next steps


KAMP = (_distilled, _associated)
RECIPES: dict[str, Recipe] = {
    "kamp": Recipe(KAMP, association="plain", triples="protocol", rerendered=False, over_old=False),
    "kamp_rerendered": Recipe(KAMP, association="plain", triples="protocol", rerendered=True, over_old=True),
    "finetune": Recipe(),
    "lwf": Recipe((lambda p: {"distillation": channel_distillation_term(p.config.lwf_temperature)},)),
    "ewc": Recipe((_penalty,), memory="fisher"),
    "online_ewc": Recipe((_penalty,), memory="online_fisher"),
    "mas": Recipe((_penalty,), memory="mas"),
    "rw": Recipe((lambda p: {"penalty": penalty_term(half=False)},), memory="walk"),
    "afec": Recipe((_penalty, lambda p: {"expanded": penalty_term(tracked=True)}), memory="afec"),
    "cpr": Recipe((_penalty, _entropy), base_terms=(_entropy,), memory="fisher"),
    "mse_distillation": Recipe((lambda p: {"distillation": mse_distillation_term(p.config.half)},)),
    "self_training": Recipe((_distilled, _self_trained), triples="protocol", over_old=True),
    "ksd_only": Recipe((_distilled,)),
    "ka_only": Recipe((_associated,), association="plain", triples="protocol"),
    "random_triples": Recipe(KAMP, association="plain", triples="random"),
    "kamp_filtered": Recipe(KAMP, association="filtered", triples="protocol"),
    "kamp_distant": Recipe(KAMP, association="distant", triples="protocol"),
    "joint": Recipe(),
}
VARIANTS: dict[str, Variant] = {
    "kamp": Variant("method", "distillation of all old keypoints and KA-Net's maps of one, as printed", "KAMP"),
    "kamp_rerendered": Variant("method", "a Gaussian at KA-Net's arg-max, weighed as one of the old keypoints"),
    "finetune": Variant("rival", "the new labels alone", "Finetune"),
    "lwf": Variant("rival", "distillation across channels", "LWF"),
    "ewc": Variant("rival", "elastic weight consolidation"),
    "online_ewc": Variant("rival", "elastic weight consolidation with fading importances"),
    "mas": Variant("rival", "memory aware synapses"),
    "rw": Variant("rival", "Riemannian walk"),
    "afec": Variant("rival", "EWC, and a pull to a network that learnt the new keypoints alone"),
    "cpr": Variant("rival", "EWC, and broad answers", "CPR"),
    "mse_distillation": Variant("control", "squared distance to the old model's heatmaps"),
    "self_training": Variant("control", "kamp_rerendered with the old model's own arg-max in KA-Net's place"),
    "ksd_only": Variant("ablation", "without KA-Net", "KSD only"),
    "ka_only": Variant("ablation", "without distillation", "KA only"),
    "random_triples": Variant("ablation", "keypoints of the auxiliary task at random", "random triples"),
    "kamp_filtered": Variant("ablation", "pseudo-labels that the old model doubts are left out"),
    "kamp_distant": Variant("ablation", "KA-Net that sees the whole picture"),
    "joint": Variant("bound", "all pictures with the labels of all keypoints, at once", "Joint"),
}


def weights_of(config: Config, variant: str, old: int) -> dict[str, float]:
    """What multiplies the terms of a row, by name, in a step with so many old keypoints."""
    recipe, terms = RECIPES[variant], {}
    if variant in ("lwf", "mse_distillation", "ksd_only"):
        terms["distillation"] = getattr(config, variant)
    if recipe.triples:
        alpha = alpha_of(config, variant)
        over_old = config.ka_weight == "alpha_over_old" if recipe.over_old is None else recipe.over_old
        terms |= {"distillation": alpha, "association": alpha / max(old, 1) if over_old else alpha}
    if recipe.memory:
        terms["penalty"] = getattr(config, variant)
    if variant == "afec":
        terms["expanded"] = config.afec_expanded
    if variant == "cpr":
        terms["entropy"] = config.cpr_entropy
    return terms


def alpha_of(config: Config, variant: str) -> float:
    """The weight of a row's spatial distillation. Ablations have that of the row that they are made from."""
    if variant in ("kamp", "kamp_rerendered", "ksd_only", "self_training"):
        return getattr(config, variant)
    return config.kamp_rerendered if config.ka_target == "rerendered" else config.kamp


def rerenders(config: Config, variant: str) -> bool:
    """Whether the student sees KA-Net's arg-max as a Gaussian, or KA-Net's map."""
    asked = RECIPES[variant].rerendered
    return config.ka_target == "rerendered" if asked is None else asked


# Methods


def _objective(parts: Parts, terms: tuple[Callable[[Parts], dict[str, Term]], ...]) -> Objective:
    objective = {"new_keypoints": new_keypoints_term(parts.codec, parts.config.half)}
    for made in terms:
        objective |= made(parts)
    return objective


class Setting(NamedTuple):
    """What decides how a method is compiled. Methods are built once for each, so that steps and seeds share them."""

    config: Config
    points: Skeleton
    mirrored: bool

    @property
    def parts(self) -> Parts:
        return parts_of(self.config, self.points, self.mirrored)


@functools.lru_cache(maxsize=8)
def build_base(setting: Setting, kind: Literal["base", "base_cpr", "base_rw", "joint"], steps: int) -> Method:
    """Step 0, or the training on everything at once: the method of later steps with no old keypoint."""
    parts, config = setting.parts, setting.config
    terms = RECIPES["cpr"].base_terms if kind == "base_cpr" else ()
    options = {"track": walk(config).tracker} if kind == "base_rw" else {}
    return _incremental(parts, _objective(parts, terms), config.base_learning_rate, steps, **options)


@functools.lru_cache(maxsize=32)
def build(setting: Setting, variant: str, network: AssociationName = "paper", inputs: int = 2) -> Method:
    """The method of a row in every step after the base. network, inputs: of its KA-Net, if it has one."""
    parts, config, recipe = setting.parts, setting.config, RECIPES[variant]
    options = {"freeze_statistics": config.freeze_statistics}
    if recipe.association:
        options |= {"association": network_of(config, network, inputs), "rerender": rerenders(config, variant)}
    if recipe.association == "filtered":
        options["confidence"] = confidence_of(setting)
    if config.balance and len(recipe.terms):
        options["balance"] = config.balance
    if recipe.memory == "walk":
        options["track"] = walk(config).tracker
    if recipe.memory == "afec":
        options["track"] = adaptive_consolidation()
    return _incremental(parts, _objective(parts, recipe.terms), config.learning_rate,
                        steps_of(config, variant).increment, **options)


@functools.lru_cache(maxsize=8)
def network_of(config: Config, name: AssociationName, inputs: int) -> nn.Module:
    """KA-Net. inputs: how many new keypoints it reads."""
    return association_network(name, inputs=inputs, dtype=jnp.dtype(config.dtype))


@functools.lru_cache(maxsize=8)
def build_association(setting: Setting, kind: str, network: AssociationName, inputs: int) -> Method:
    """KA-Net's own stage. kind: of `Recipe.association`."""
    parts, config = setting.parts, setting.config
    options = {"confidence": confidence_of(setting)} if kind == "filtered" else {}
    return association(
        parts.network, parts.points, network=network_of(config, network, inputs), slots=config.triples,
        learning_rate=rate_of(config, config.association_learning_rate, steps_of(config, "kamp").association),
        **_shared(parts), **options)


@functools.lru_cache(maxsize=8)
def doubt_of(setting: Setting) -> Doubt:
    """How much the old model doubts its own answers in kamp_filtered: how far they wander when pictures are turned."""
    return spread(setting.parts.codec.to_heatmap)


@functools.lru_cache(maxsize=8)
def confidence_of(setting: Setting) -> Confidence:
    """Which of the old model's answers kamp_filtered believes."""
    return (hard if setting.config.filter_mode == "hard" else soft)(doubt_of(setting))


@functools.lru_cache(maxsize=8)
def walk(config: Config) -> RiemannianWalk:
    """The form of the Riemannian walk that the config names."""
    return walk_by_updates() if config.rw_form == "cpr" else walk_by_path()


@functools.lru_cache(maxsize=8)
def importance_of(setting: Setting, kind: Literal["fisher", "mas"]) -> Measure:
    """What is summed over a step's pictures after the step, for the penalties of the next ones."""
    parts, shared = setting.parts, not setting.config.freeze_old_heads
    if kind == "mas":
        return memory_aware_synapses(parts.network, imagenet_normalise, shared_heads=shared)
    return fisher(parts.network, parts.codec, imagenet_normalise, half=setting.config.half, shared_heads=shared,
                  batch_approximation=setting.config.batch_fisher)
