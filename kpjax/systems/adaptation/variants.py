"""Variants: what is compared, and how each is built."""

import functools
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from kpjax import Method, Skeleton, Trained, Variables, augment, codec, methods, models, named_key
from kpjax.methods import perceptual
from kpjax.methods.adaptation_family.adaptation import HEAD, RELEASED_SIGMA, released_optimizer
from kpjax.methods.adaptation_family.view_pairs import similarity_views
from kpjax.models.hourglass_network import STRIDE
from kpjax.models.layers import uniform_fan_in
from kpjax.models.vgg import DESCRIPTION, RELU_TAPS
from kpjax.systems import configs
from kpjax.systems.adaptation import config as presets
from kpjax.systems.adaptation.config import STAND_IN, Config
from kpjax.systems.system import Variant


class Recipe(NamedTuple):
    """Construction of a variant."""

    #: the weights that are trained, and how they make a network
    parametrisation: methods.Parametrisation
    core: Literal["trained", "random", "none"] = "trained"  # its start


PROJECTED = methods.adapted()  # variants with one parametrisation share programs

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
}


def network(config: Config, keypoints: int) -> models.KeypointNetwork:
    """Builds the network of the core and of all variants, with the head of an hourglass."""
    dtype = jnp.dtype(config.network.dtype)
    built = config.backbone.applied_to(config.network.build(keypoints, stride=STRIDE))
    return built.clone(head=models.HeatmapHead(keypoints, output_init=uniform_fan_in, dtype=dtype))


def build(config: Config, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds and variants that train alike share
    what is compiled.
    """
    return _built(presets.of_method(config), VARIANTS[variant].recipe.parametrisation)


@functools.lru_cache(maxsize=32)
def _built(config: Config, parametrisation: methods.Parametrisation) -> Method:
    comparison, optimizer, side = config.comparison, config.optimizer, config.data.image_size
    released = released_optimizer(decay_to=optimizer.decay_to)
    # which features compare images
    comparing = (
        {
            "perceptual": models.RandomFeatures(
                comparison.stand_in_widths, jnp.dtype(config.network.dtype)
            )
        }
        if comparison.perceptual == STAND_IN
        else perceptual.perceptual_options(comparison.perceptual, _vgg(config))
    )
    balanced = isinstance(comparing["perceptual"], models.FeatureMaps)
    setup = methods.Setup(
        network(config, config.landmarks),
        Skeleton(tuple(f"point_{number}" for number in range(config.landmarks))),
        codec(image_size=side, heatmap_size=side // STRIDE, sigma=RELEASED_SIGMA),
        configs.optimizer_of(replace(config, backbone=configs.Backbone()), released),
        optimizer.rates(config.steps),
        augment.no_augmentation(),
        config.backbone.normalise,
    )
    return methods.adaptation(
        setup,
        objective=methods.adaptation_objective(perceptual=True, balanced=balanced),
        trained=parametrisation,
        generator=models.ResidualGenerator(
            comparison.generator_width, comparison.generator_blocks, jnp.dtype(config.network.dtype)
        ),
        **comparing,
        view_pair=similarity_views(size=(side, side), shown=config.shown),
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
    """Returns a variant's result as the variables of a plain network."""
    return methods.plain_variables(trained, VARIANTS[variant].recipe.parametrisation)


# The network that compares images


def _vgg(config: Config) -> models.VGG:
    return models.VGG(19, RELU_TAPS, jnp.dtype(config.network.dtype))


def perceptual_start(config: Config) -> dict[str, Any]:
    """Returns the weights of that network, the same for all seeds, as a part of the start; reports
    what it is.
    """
    comparison = config.comparison
    if comparison.perceptual == STAND_IN:
        print(f"images are compared by pixels and {DESCRIPTION}")
        key = named_key(jax.random.key(0), "random features")
        return {"perceptual": models.random_features(key, comparison.stand_in_widths)[1]}
    return perceptual.perceptual_start(
        comparison.perceptual, _vgg(config), image_size=config.data.image_size
    )
