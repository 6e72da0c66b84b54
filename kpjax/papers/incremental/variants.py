"""Variants, and their methods: of the base, of KA-Net's stage and of later steps, each built once
per config.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from kpjax import Method, Skeleton, methods
from kpjax.losses import Objective, Term
from kpjax.methods import Setup
from kpjax.methods.incremental_family.importance import Measure
from kpjax.models import RSN, association_network
from kpjax.models.association import Variant as KaNet
from kpjax.papers.configs import network_of, optimizer_of
from kpjax.papers.engine import Variant
from kpjax.papers.incremental.config import Config, Weights


# compared by identity: `setting_of` returns the same one for the same arguments
@dataclass(frozen=True, eq=False)
class Setting:
    """All that the methods of a preset are compiled for: steps, seeds and weights share it."""

    config: Config
    setup: Setup


def setting_of(config: Config, skeleton: Skeleton, *, mirrored: bool = False) -> Setting:
    """Returns the setting of a config. Weights are arrays in `Increment`: configs that differ in
    them share it.

    mirrored: see `Protocol`; images are mirrored only where no step splits a pair of keypoints.
    """
    return _built(replace(config, summary="", weights=Weights()), skeleton, mirrored)


@functools.lru_cache(maxsize=8)
def _built(config: Config, skeleton: Skeleton, mirrored: bool) -> Setting:
    optimizer = config.optimizer
    return Setting(
        config,
        Setup(
            network_of(config, len(skeleton.names)),
            skeleton,
            config.heatmaps.codec(config.data.image_size),
            optimizer_of(config, optimizer.adam()),
            optimizer.rate_of_stage(optimizer.learning_rate, config.steps),
            config.augment.build(skeleton, flip=mirrored),
            config.backbone.normalise,
        ),
    )


# Parts of variants

Terms = Mapping[str, Callable[[Setting], Term]]
BaseKind = Literal["base", "base_cpr", "base_rw", "joint"]
WALK = methods.walk_by_updates()
TERMS: Terms = {
    # of all old keypoints
    "distillation": lambda s: methods.spatial_distillation_term(reduction=s.config.reduction),
    # the distance from KA-Net's maps
    "association": lambda s: methods.association_term(reduction=s.config.reduction),
    # the distance from the old model's own points
    "self_training": lambda s: methods.self_training_term(
        s.setup.codec, reduction=s.config.reduction
    ),
    # the distance from the true points, in labels that the setting does not have
    "true_points": lambda s: methods.true_points_term(s.setup.codec, reduction=s.config.reduction),
    # the old model's sure points as labels
    "replay": lambda s: methods.memory_replay_term(s.setup.codec, above=s.config.replay_above),
    "entropy": lambda s: methods.entropy_term(),
    "penalty": lambda s: methods.penalty_term(),
}


@dataclass(frozen=True, eq=False)  # compared by identity, so that a method is built once for each
class Recipe:
    """Construction of a variant."""

    terms: Terms = field(default_factory=dict)  # of later steps, beside the labels'
    weights: Mapping[str, str] = field(default_factory=dict)  # by term, a field of `Weights`
    base: BaseKind = "base"  # step 0; "joint" trains on all steps at once and ends there
    ka_net: bool = False  # whether a later step has a first stage
    triples: Literal["", "protocol", "random"] = ""
    rerendered: bool = False  # whether a Gaussian at KA-Net's point takes the place of its map
    over_old: bool = False  # whether KA-Net's weight is divided by the number of old keypoints
    short: bool = False  # whether a later step is as short as where KA-Net has its part of it
    old_labels: bool = False  # whether later steps have labels of their triples' old keypoints
    memory: Literal["", "fisher", "mas", "walk", "afec"] = ""  # kept for the next steps

    def increment_steps(self, config: Config) -> int:
        """Returns the optimizer steps of the second stage of a later step: all where there is no
        KA-Net, and the variant is not `short`.
        """
        return config.steps - (config.association_steps if self.ka_net or self.short else 0)

    def later_steps(self, config: Config) -> int:
        """Returns the optimizer steps of a later step, KA-Net's among them."""
        return self.increment_steps(config) if self.short else config.steps

    def weights_of(self, config: Config, old: int) -> dict[str, float]:
        """Returns the factors of the terms by name, in a step with so many old keypoints."""
        found = {term: getattr(config.weights, weight) for term, weight in self.weights.items()}
        if self.over_old:
            found["association"] /= max(old, 1)
        return found


# Methods


def _incremental(setting: Setting, terms: Terms, rate: float, steps: int, **options: Any) -> Method:
    config, side = setting.config, setting.config.heatmaps.heatmap_size
    labels = (
        methods.coarse_term(
            image_size=(config.data.image_size,) * 2,
            heatmap_size=(side, side),
            grid=config.heatmaps.grid,
        )
        if isinstance(config.network, RSN)
        else methods.new_keypoints_term(setting.setup.codec)
    )
    objective: Objective = {"new_keypoints": labels} | {
        name: built(setting) for name, built in terms.items()
    }
    return methods.incremental(
        setting.setup._replace(learning_rate=config.optimizer.rate_of_stage(rate, steps)),
        objective=objective,
        **options,
    )


@functools.lru_cache(maxsize=8)
def build_base(setting: Setting, kind: BaseKind, steps: int) -> Method:
    """Builds step 0, or the training on everything at once: the method of later steps with no old
    keypoint.
    """
    options = {"track": WALK.tracker} if kind == "base_rw" else {}
    return _incremental(
        setting,
        {"entropy": TERMS["entropy"]} if kind == "base_cpr" else {},
        setting.config.optimizer.base_learning_rate,
        steps,
        **options,
    )


@functools.lru_cache(maxsize=32)
def build_step(
    setting: Setting, recipe: Recipe, ka_net: KaNet = "paper", inputs: int = 2
) -> Method:
    """Builds the method of a variant in every step after the base.

    ka_net, inputs: of its KA-Net, if it has one.
    """
    options: dict[str, Any] = (
        {"association": ka_net_of(setting, ka_net, inputs), "rerender": recipe.rerendered}
        if recipe.ka_net
        else {}
    )
    if recipe.memory == "walk":
        options["track"] = WALK.tracker
    if recipe.memory == "afec":
        options["track"] = methods.adaptive_consolidation()
    steps = recipe.increment_steps(setting.config)
    return _incremental(
        setting, recipe.terms, setting.config.optimizer.learning_rate, steps, **options
    )


@functools.lru_cache(maxsize=8)
def ka_net_of(setting: Setting, name: KaNet, inputs: int) -> nn.Module:
    """Builds KA-Net. inputs: how many new keypoints it reads."""
    return association_network(
        name,
        inputs=inputs,
        dtype=jnp.dtype(setting.config.network.dtype),
        input_sigma=setting.config.association.input_sigma or None,
    )


@functools.lru_cache(maxsize=8)
def build_association(setting: Setting, ka_net: KaNet, inputs: int) -> Method:
    """Builds KA-Net's own stage."""
    config = setting.config
    rate = config.optimizer.rate_of_stage(
        config.optimizer.association_learning_rate, config.association_steps
    )
    return methods.association(
        setting.setup._replace(learning_rate=rate),
        network=ka_net_of(setting, ka_net, inputs),
        slots=config.association.triples,
    )


@functools.lru_cache(maxsize=8)
def importance_of(setting: Setting, kind: Literal["fisher", "mas"]) -> Measure:
    """Builds the sum over a step's images, after the step, that weighs the penalties of the next
    ones.
    """
    setup = setting.setup
    if kind == "mas":
        return methods.memory_aware_synapses(setup.model, setup.normalise)
    return methods.fisher(setup.model, setup.codec, setup.normalise)


# Variants

PLAIN = Recipe()  # the labels of the new keypoints alone
KAMP = {name: TERMS[name] for name in ("distillation", "association")}
PENALTY, ENTROPY = ({name: TERMS[name]} for name in ("penalty", "entropy"))
ALPHA = ("distillation", "association")  # terms whose weight is alpha


def _kamp(alpha: str = "kamp", terms: Mapping[str, Any] = KAMP, **options: Any) -> Recipe:
    return Recipe(
        terms, dict.fromkeys(ALPHA, alpha), **{"ka_net": True, "triples": "protocol"} | options
    )


VARIANTS: dict[str, Variant] = {
    "kamp": Variant(
        "method",
        "distillation of all old keypoints and KA-Net's maps of one, as printed",
        "KAMP",
        _kamp(),
    ),
    "kamp_rerendered": Variant(
        "method",
        "a Gaussian at KA-Net's point, weighed as one of the old keypoints; not in the paper",
        "",
        _kamp("kamp_rerendered", rerendered=True, over_old=True),
    ),
    "finetune": Variant("baseline", "the new labels alone", "Finetune", PLAIN),
    "lwf": Variant(
        "baseline",
        "distillation across channels",
        "LWF",
        Recipe(
            {"distillation": lambda s: methods.channel_distillation_term()}, {"distillation": "lwf"}
        ),
    ),
    "ewc": Variant(
        "baseline",
        "elastic weight consolidation",
        "",
        Recipe(PENALTY, {"penalty": "ewc"}, memory="fisher"),
    ),
    "mas": Variant(
        "baseline", "memory aware synapses", "", Recipe(PENALTY, {"penalty": "mas"}, memory="mas")
    ),
    "rw": Variant(
        "baseline",
        "Riemannian walk",
        "",
        Recipe(
            {"penalty": lambda s: methods.penalty_term(half=False)},
            {"penalty": "rw"},
            base="base_rw",
            memory="walk",
        ),
    ),
    "afec": Variant(
        "baseline",
        "EWC, and a pull to a network that learnt the new keypoints alone",
        "",
        Recipe(
            {**PENALTY, "expanded": lambda s: methods.penalty_term(tracked=True)},
            {"penalty": "afec", "expanded": "afec_expanded"},
            memory="afec",
        ),
    ),
    "cpr": Variant(
        "baseline",
        "EWC, and broad answers",
        "CPR",
        Recipe(
            PENALTY | ENTROPY,
            {"penalty": "cpr", "entropy": "cpr_entropy"},
            "base_cpr",
            memory="fisher",
        ),
    ),
    "self_training": Variant(
        "control",
        "kamp_rerendered with the old model's own point in KA-Net's place",
        "",
        _kamp(
            "self_training",
            KAMP | {"association": TERMS["self_training"]},
            ka_net=False,
            over_old=True,
        ),
    ),
    "memory_replay": Variant(
        "control",
        "the old model's sure points of all old keypoints as labels, without distillation",
        "",
        Recipe({"replay": TERMS["replay"]}, {"replay": "memory_replay"}),
    ),
    "ksd_only_short": Variant(
        "control",
        "distillation alone, for as many steps as the student of KA-Net has",
        "",
        Recipe({"distillation": TERMS["distillation"]}, {"distillation": "ksd_only"}, short=True),
    ),
    "ksd_only": Variant(
        "ablation",
        "without KA-Net",
        "KSD only",
        Recipe({"distillation": TERMS["distillation"]}, {"distillation": "ksd_only"}),
    ),
    "ka_only": Variant(
        "ablation",
        "without distillation",
        "KA only",
        _kamp(terms={"association": TERMS["association"]}),
    ),
    "random_triples": Variant(
        "ablation",
        "keypoints of the auxiliary task at random",
        "random triples",
        _kamp(triples="random"),
    ),
    "kamp_true_points": Variant(
        "oracle",
        "kamp_rerendered with the true old point in KA-Net's place: reads labels of old keypoints",
        "",
        _kamp(
            "kamp_rerendered",
            KAMP | {"association": TERMS["true_points"]},
            ka_net=False,
            over_old=True,
            short=True,
            old_labels=True,
        ),
    ),
    "joint": Variant(
        "oracle",
        "all images with the labels of all keypoints, at once",
        "Joint",
        Recipe(base="joint"),
    ),
}
