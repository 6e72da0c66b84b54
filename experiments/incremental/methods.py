"""The methods of the incremental rows: of the base, of KA-Net's stage and of later steps, each built once."""
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments.incremental.config import Config
from experiments.incremental.parts import Parts, Setting
from experiments.incremental.variants import RECIPES, rerenders, steps_of
from kpjax.losses.objective import Objective, Term
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.incremental_learning.association import association
from kpjax.methods.incremental_learning.importance import Measure, fisher, memory_aware_synapses
from kpjax.methods.incremental_learning.incremental import incremental
from kpjax.methods.incremental_learning.memories import (
    RiemannianWalk,
    adaptive_consolidation,
    walk_by_path,
    walk_by_updates,
)
from kpjax.methods.incremental_learning.objectives import coarse_term, new_keypoints_term
from kpjax.methods.incremental_learning.pseudo_label_confidence import Confidence, Uncertainty, hard, soft, spread
from kpjax.models.association import Variant as AssociationName
from kpjax.models.association import association_network
from kpjax.structures import Method


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


def _shared(parts: Parts) -> dict:
    config = parts.config
    return {"codec": parts.codec, "optimizer": optimizer_of(config), "augment": parts.augment,
            "normalise": imagenet_normalise}


def _incremental(parts: Parts, objective: Objective, rate: float, steps: int, **options) -> Method:
    config = parts.config
    return incremental(
        parts.network, parts.skeleton, objective=objective, learning_rate=rate_of(config, rate, steps),
        freeze_old_heads=config.freeze_old_heads, **_shared(parts), **options)


def _objective(parts: Parts, terms: tuple[Callable[[Parts], dict[str, Term]], ...]) -> Objective:
    config = parts.config
    if config.network == "rsn":
        labels = coarse_term(image_size=(config.image_size,) * 2, heatmap_size=(config.heatmap_size,) * 2,
                             grid=config.grid)
    else:
        labels = new_keypoints_term(parts.codec, config.half)
    objective = {"new_keypoints": labels}
    for made in terms:
        objective |= made(parts)
    return objective


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
        parts.network, parts.skeleton, network=network_of(config, network, inputs), slots=config.triples,
        learning_rate=rate_of(config, config.association_learning_rate, steps_of(config, "kamp").association),
        **_shared(parts), **options)


@functools.lru_cache(maxsize=8)
def doubt_of(setting: Setting) -> Uncertainty:
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
