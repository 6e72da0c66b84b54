"""The network that compares images: VGG by its weights, or random features in its place."""

from typing import Any

import jax
import jax.numpy as jnp

from kpjax import models, named_key
from kpjax.methods import perceptual
from kpjax.models.vgg import DESCRIPTION, RELU_TAPS
from kpjax.papers.adaptation.config import STAND_IN, Config


def _vgg(config: Config) -> models.VGG:
    depth, dtype = config.comparison.vgg_depth, jnp.dtype(config.network.dtype)
    return models.VGG(depth, RELU_TAPS, dtype)


def comparing(config: Config) -> dict[str, Any]:
    """Returns that network, and how it reads images where that is not as they are.

    Raises InputError where the config leaves it open.
    """
    comparison = config.comparison
    comparison.check()
    if comparison.perceptual == STAND_IN:
        dtype = jnp.dtype(config.network.dtype)
        return {"perceptual": models.RandomFeatures(comparison.stand_in_widths, dtype)}
    return perceptual.perceptual_options(comparison.perceptual, _vgg(config))


def perceptual_start(config: Config) -> dict[str, Any]:
    """Returns the weights of that network, the same for all seeds, as a part of the start; reports
    what it is. Raises InputError where the config leaves it open.
    """
    comparison = config.comparison
    comparison.check()
    if comparison.perceptual == STAND_IN:
        print(f"images are compared by pixels and {DESCRIPTION}")
        key = named_key(jax.random.key(0), "random features")
        return {"perceptual": models.random_features(key, comparison.stand_in_widths)[1]}
    side = config.data.image_size
    return perceptual.perceptual_start(comparison.perceptual, _vgg(config), image_size=side)


def perceptual_shapes(config: Config) -> dict[str, Any]:
    """Returns the shapes of those weights, and reads none."""
    network, side = comparing(config)["perceptual"], config.data.image_size
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return {"perceptual": jax.eval_shape(network.init, jax.random.key(0), images)}
