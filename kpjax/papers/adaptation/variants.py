"""Variants: what is compared, and how each is built."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from kpjax import (
    Example,
    InputError,
    Method,
    Prediction,
    Skeleton,
    Trained,
    Variables,
    augment,
    codec,
    methods,
    models,
    named_key,
)
from kpjax.methods import perceptual
from kpjax.methods.adaptation_family.adaptation import HEAD, released_optimizer
from kpjax.methods.adaptation_family.trunk_clusters import trunk_clusters_predict
from kpjax.methods.adaptation_family.view_pairs import similarity_views
from kpjax.models.hourglass_network import STRIDE
from kpjax.models.layers import uniform_fan_in
from kpjax.models.vgg import DESCRIPTION, RELU_TAPS
from kpjax.papers import configs
from kpjax.papers.adaptation import config as presets
from kpjax.papers.adaptation.config import STAND_IN, Config
from kpjax.papers.engine import Variant


class Recipe(NamedTuple):
    """Construction of a variant."""

    #: the weights that are trained, and how they make a network
    parametrisation: methods.Parametrisation
    #: its start; "adapted" is the result of that variant, its projections folded in
    core: Literal["trained", "random", "adapted", "none"] = "trained"
    clusters: bool = False  # nothing is trained: landmarks are clusters of the core's features

    @property
    def before(self) -> str:
        """The variant whose result it starts from; "" for none."""
        return ADAPTED if self.core == ADAPTED else ""


ADAPTED = "adapted"
# Variants with one parametrisation share programs.
PROJECTED, PROJECTED_EVERY = methods.adapted(), methods.adapted(every=True)

VARIANTS: dict[str, Variant] = {
    "adapted": Variant(
        "method",
        "the core's kernels frozen, a small matrix for each",
        "Proposed",
        Recipe(PROJECTED),
    ),
    "finetuned": Variant(
        "baseline", "all weights trained from the core", "Finetune", Recipe(methods.finetuned())
    ),
    "scratch": Variant(
        "baseline",
        "all weights trained from a fresh start",
        "Scratch",
        Recipe(methods.scratch(), "none"),
    ),
    "random_core": Variant(
        "control", "the same matrices on frozen random kernels", recipe=Recipe(PROJECTED, "random")
    ),
    "trunk_clusters": Variant(
        "control",
        "nothing trained: where features of the core's trunk are nearest to those of a cluster",
        recipe=Recipe(methods.finetuned(), clusters=True),
    ),
    "adapted_every": Variant(
        "ablation",
        "every convolution frozen and projected, as the paper's text says",
        recipe=Recipe(PROJECTED_EVERY),
    ),
    "finetuned_last": Variant(
        "ablation",
        "the last layers and the head trained from the core, all else frozen",
        "Finetune, last layers",
        Recipe(methods.finetuned_last()),
    ),
    "finetuned_from_adapted": Variant(
        "ablation",
        "all weights trained from the adapted network, its matrices folded in",
        "Finetune after projections",
        Recipe(methods.finetuned(keeps_head=True), "adapted"),
    ),
}


def parametrisation_of(config: Config, variant: str) -> methods.Parametrisation:
    """Returns the weights that a variant trains; the config says which kernels are projected where
    the variant does not.
    """
    of_recipe = VARIANTS[variant].recipe.parametrisation
    if of_recipe is PROJECTED and config.projected == "every":
        return PROJECTED_EVERY
    return of_recipe


def network(config: Config, keypoints: int) -> models.KeypointNetwork:
    """Builds the network of the core and of all variants, with the head of an hourglass."""
    dtype = jnp.dtype(config.network.dtype)
    built = config.backbone.applied_to(config.network.build(keypoints, stride=STRIDE))
    return built.clone(head=models.HeatmapHead(keypoints, output_init=uniform_fan_in, dtype=dtype))


def build(config: Config, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds and variants that train alike share
    what is compiled.
    """
    built = _built(presets.of_method(config), parametrisation_of(config, variant))
    if VARIANTS[variant].recipe.clusters:
        return built._replace(predict=_clusters_predict(presets.of_method(config)))
    return built


@functools.lru_cache(maxsize=4)
def _clusters_predict(config: Config) -> Callable[[Trained, Example], Prediction]:
    return trunk_clusters_predict(
        network(config, config.landmarks),
        config.backbone.normalise,
        size=config.data.image_size // STRIDE,
    )


@functools.lru_cache(maxsize=32)
def _built(config: Config, parametrisation: methods.Parametrisation) -> Method:
    comparison, optimizer, side = config.comparison, config.optimizer, config.data.image_size
    released = released_optimizer(decay_to=optimizer.decay_to)
    comparing = _comparing(config)
    balanced = isinstance(comparing["perceptual"], models.FeatureMaps)
    setup = methods.Setup(
        network(config, config.landmarks),
        Skeleton(tuple(f"point_{number}" for number in range(config.landmarks))),
        codec(image_size=side, heatmap_size=side // STRIDE, sigma=config.point_sigma),
        configs.optimizer_of(replace(config, backbone=configs.Backbone()), released),
        optimizer.rates(config.steps),
        augment.no_augmentation(),
        config.backbone.normalise,
    )
    return methods.adaptation(
        setup,
        objective=methods.adaptation_objective(
            perceptual=True, form=comparison.perceptual_distance, balanced=balanced
        ),
        trained=parametrisation,
        generator=models.ResidualGenerator(
            comparison.generator_width, comparison.generator_blocks, jnp.dtype(config.network.dtype)
        ),
        **comparing,
        view_pair=similarity_views(size=(side, side), shown=config.shown),
        sigma=config.point_sigma,
    )


def as_evaluated(trained: Trained, variant: str) -> Trained:
    """Returns a variant's result for the method of `finetuned`: all weights, projections folded in,
    nothing frozen.
    """
    plain = plain_of(trained, variant)
    body = {name: tree for name, tree in plain["params"].items() if name != HEAD}
    return Trained(
        {
            "params": {"free": body, HEAD: plain["params"][HEAD]},
            "batch_stats": plain["batch_stats"],
        },
        {},
    )


def plain_of(trained: Trained, variant: str) -> Variables:
    """Returns a variant's result as the variables of a plain network.

    Which kernels were projected stands in the result, not in the config. Raises InputError for a
    variant that has no network of its own.
    """
    if VARIANTS[variant].recipe.clusters:
        raise InputError(
            "core", f"a run of {variant} has no network of its own; give the core that it read"
        )
    return methods.plain_variables(trained, VARIANTS[variant].recipe.parametrisation)


# The network that compares images


def _vgg(config: Config) -> models.VGG:
    depth, dtype = config.comparison.vgg_depth, jnp.dtype(config.network.dtype)
    return models.VGG(depth, RELU_TAPS, dtype)


def _comparing(config: Config) -> dict[str, Any]:
    """Returns that network, and how it reads images where that is not as they are.

    Raises InputError where the config leaves it open.
    """
    comparison = config.comparison
    comparison.check()
    if comparison.perceptual == STAND_IN:
        dtype = jnp.dtype(config.network.dtype)
        return {"perceptual": models.RandomFeatures(comparison.stand_in_widths, dtype)}
    return perceptual.perceptual_options(comparison.perceptual, _vgg(config))


def perceptual_start(config: Config, *, of_shapes: bool = False) -> dict[str, Any]:
    """Returns the weights of that network, the same for all seeds, as a part of the start; reports
    what it is. Raises InputError where the config leaves it open.

    of_shapes: for a plan, which reads no weights.
    """
    comparison = config.comparison
    comparing, side = _comparing(config), config.data.image_size
    if of_shapes:
        images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        network = comparing["perceptual"]
        return {"perceptual": jax.eval_shape(network.init, jax.random.key(0), images)}
    if comparison.perceptual == STAND_IN:
        print(f"images are compared by pixels and {DESCRIPTION}")
        key = named_key(jax.random.key(0), "random features")
        return {"perceptual": models.random_features(key, comparison.stand_in_widths)[1]}
    return perceptual.perceptual_start(comparison.perceptual, _vgg(config), image_size=side)
