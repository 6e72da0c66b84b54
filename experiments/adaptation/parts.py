"""The networks and methods that all rows are built from."""
import functools
import json
from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments.adaptation.config import Config
from experiments.adaptation.variants import RECIPES
from experiments.networks import heatmap_network
from kpjax.augment.augmentations import compose_augmentations, no_augmentation, random_flip, random_scale_rotation
from kpjax.heatmaps import codec
from kpjax.losses.heatmap import heatmap_mse
from kpjax.methods.core_adaptation.adaptation import (
    HEAD,
    adaptation,
    adaptation_objective,
    plain_variables,
    released_learning_rate,
    released_optimizer,
)
from kpjax.methods.core_adaptation.parametrisation import Parametrisation
from kpjax.methods.core_adaptation.view_pairs import similarity_views, spline_views
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.supervised_learning import supervised
from kpjax.models.convolution import uniform_fan_in
from kpjax.models.hourglass_network import STRIDE, hourglass
from kpjax.models.network import HeatmapHead, KeypointNetwork
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.models.vgg import DESCRIPTION, RELU_TAPS, VGG, RandomFeatures, random_features
from kpjax.models.weights.imagenet import load_vgg
from kpjax.structures import Method, Skeleton, Trained, named_key

# The fields of a config that make a method: configs that agree in them share what is compiled.
Settings = namedtuple("Settings", (
    "image_size", "width", "depth", "landmarks", "dtype", "steps", "learning_rate", "schedule", "weight_decay", "clip",
    "views", "deviations", "shown", "temperature", "sigma", "generator_width", "generator_blocks", "compare",
    "perceptual", "perceptual_depth", "perceptual_imagenet", "feature_form", "feature_weight", "stand_in_widths",
    "statistics", "core_network"))


def as_it_is(images: jax.Array) -> jax.Array:
    """The networks of the paper read pictures in [0, 1]."""
    return images


def network(config: Config | Settings, keypoints: int) -> KeypointNetwork:
    """The network of the core and of all rows: the hourglass, or under a person's own core its network with a head of
    the same kind as the hourglass has."""
    if own := getattr(config, "core_network", ""):
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(own).items()}
        known = heatmap_network(told.pop("network"), keypoints, stride=STRIDE, **told)
        return known.clone(head=HeatmapHead(keypoints, output_init=uniform_fan_in, dtype=jnp.dtype(config.dtype)))
    return hourglass(keypoints, width=config.width, depth=config.depth, dtype=jnp.dtype(config.dtype))


def discovered_points(count: int) -> Skeleton:
    """Points that nobody named."""
    return Skeleton(tuple(f"point_{number}" for number in range(count)))


def rate_of(config: Config | Settings) -> optax.Schedule:
    """The learning rate of both networks, falling to zero along a cosine or in the released code's two drops."""
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(config.learning_rate, config.steps)
    return released_learning_rate(config.steps, config.learning_rate)


def build(config: Config, variant: str) -> Method:
    """The method of a row; built once, so that all seeds and all rows that train alike share what is compiled."""
    settings = Settings(*(getattr(config, name, "") for name in Settings._fields))
    return _built(settings, RECIPES[variant].parametrisation)


def judge(config: Config) -> Method:
    """Whose `predict` evaluates every row as a plain network, so that it is compiled once."""
    return build(config, "finetuned")


def as_judged(trained: Trained, variant: str) -> Trained:
    """A row's result as `judge` reads it: all weights, the projections folded in, and nothing frozen."""
    plain = plain_variables(trained, RECIPES[variant].parametrisation)
    body = {name: tree for name, tree in plain["params"].items() if name != HEAD}
    return Trained({"params": {"free": body, HEAD: plain["params"][HEAD]}, "batch_stats": plain["batch_stats"]}, {})


@functools.lru_cache(maxsize=32)
def _built(settings: Settings, parametrisation: Parametrisation) -> Method:
    features = settings.compare == "features"
    size = settings.image_size, settings.image_size
    views = spline_views() if settings.views == "spline" else similarity_views(
        deviations=settings.deviations, size=size, shown=settings.shown)
    return adaptation(
        network(settings, settings.landmarks), discovered_points(settings.landmarks),
        objective=adaptation_objective(perceptual=features, form=settings.feature_form,
                                       features=settings.feature_weight),
        optimizer=released_optimizer(decay=settings.weight_decay, clip=settings.clip),
        learning_rate=rate_of(settings), augment=no_augmentation(),
        normalise=imagenet_normalise if settings.core_network else as_it_is, trained=parametrisation,
        generator=ResidualGenerator(settings.generator_width, settings.generator_blocks, jnp.dtype(settings.dtype)),
        perceptual=perceptual_network(settings) if features else None,
        perceptual_normalise=imagenet_normalise if settings.perceptual_imagenet else as_it_is,
        view_pair=views, temperature=settings.temperature, sigma=settings.sigma, statistics=settings.statistics)


@functools.lru_cache(maxsize=4)
def build_core(config: Config, skeleton: Skeleton) -> Method:
    """The supervised network of another category that all rows start from."""
    coding = codec(image_size=config.image_size, heatmap_size=config.image_size // STRIDE, sigma=config.core_sigma)
    mirrored = (random_flip(skeleton),) if skeleton.flip else ()
    drops = {config.core_steps * share // 11: 0.1 for share in (6, 9)}
    return supervised(
        network(config, len(skeleton.names)), skeleton, codec=coding, optimizer=optax.scale_by_adam(),
        learning_rate=optax.piecewise_constant_schedule(config.core_learning_rate, drops),
        augment=compose_augmentations(random_scale_rotation(), *mirrored), normalise=as_it_is, loss=heatmap_mse)


def random_core(config: Config, seed: int) -> dict:
    """The variables of a fresh network, in place of a trained core."""
    images = jnp.zeros((1, config.image_size, config.image_size, 3))
    fresh = jax.jit(functools.partial(network(config, config.landmarks).init, train=False))
    return fresh(named_key(jax.random.key(seed), "random core"), images)


# What pictures are compared by


def comparison(config: Config) -> str:
    """What a painted picture and its target are compared by, in words."""
    if config.compare == "pixels":
        return "pixels"
    return f"pixels and {f'VGG-{config.perceptual_depth}' if config.perceptual else DESCRIPTION}"


def perceptual_network(config: Config | Settings) -> nn.Module:
    """VGG, or where no weights of it are named, the random features that stand in for it."""
    if not config.perceptual:
        return RandomFeatures(config.stand_in_widths, jnp.dtype(config.dtype))
    return VGG(config.perceptual_depth, RELU_TAPS, jnp.dtype(config.dtype))


def perceptual_start(config: Config) -> dict[str, Any]:
    """What rows start from beside the core: the weights of the network that compares pictures, the same for all seeds.
    Says what it is.

    Raises InputError for a file of VGG's weights that is not there or not what was asked for.
    """
    print(f"pictures are compared by {comparison(config)}")
    if config.compare == "pixels":
        return {}
    if not config.perceptual:
        key = named_key(jax.random.key(0), "random features")
        return {"perceptual": random_features(key, config.stand_in_widths)[1]}
    images = jnp.zeros((1, config.image_size, config.image_size, 3))
    fresh = jax.jit(VGG(config.perceptual_depth, RELU_TAPS).init)(jax.random.key(0), images)
    imported = load_vgg(fresh, config.perceptual)
    print(f"VGG-{config.perceptual_depth} weights: {imported.report}")
    return {"perceptual": imported.variables}
