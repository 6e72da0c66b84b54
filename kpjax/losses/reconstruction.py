"""Losses between an image and its reconstruction, of pixels and of a network's features."""
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Features = Float[Array, "batch _height _width _channels"]
Weight = Float[Array, "batch _rows _columns 1"]  # of pixels, in [0, 1]
SMALLEST = 1e-12  # what an average is raised to before it divides


def pixel_mse(
    images: Float[Array, "batch height width channels"],
    targets: Float[Array, "batch height width channels"],
    *,
    weight: Weight | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Array, ""]:
    """The squared difference of two batches of images, in float32: its mean over all pixels, channels and images.

    weight: of each pixel's square; the mean is over all pixels whatever they weigh, as in IMM's code.
    reduction: "sum" adds up an image's pixels and channels, and is the mean over images only.
    """
    squared = jnp.square(images.astype(jnp.float32) - targets.astype(jnp.float32))
    squared = squared if weight is None else squared * weight
    return squared.mean() if reduction == "mean" else squared.sum((1, 2, 3)).mean()


def feature_distances(
    features: Sequence[Features],
    targets: Sequence[Features],
    *,
    weight: Weight | None = None,
    form: Literal["squared", "absolute"] = "squared",
) -> Float[Array, "layers"]:
    """The mean difference, squared or absolute, of every layer over batch, space and channels: (layers,) float32.

    features, targets: the same layers of two batches of images, of any dtype. The images themselves may be one of
    them. Perceptual losses sum these (Johnson et al. 2016) or balance them first (`balanced_distances`).
    weight: of the images' pixels, made as large as each layer by linear interpolation, as in IMM's code; the mean is
    over all places whatever they weigh.
    """
    measure = {"squared": jnp.square, "absolute": jnp.abs}[form]

    def distance(found: jax.Array, target: jax.Array) -> jax.Array:
        difference = measure(found.astype(jnp.float32) - target.astype(jnp.float32))
        if weight is None:
            return difference.mean()
        size = (*difference.shape[:3], 1)
        return (difference * jax.image.resize(weight, size, "linear", antialias=False)).mean()

    return jnp.stack([distance(found, target) for found, target in zip(features, targets, strict=True)])


def moved_averages(
    averages: Float[Array, "layers"], distances: Float[Array, "layers"], *, decay: float = 0.99
) -> Float[Array, "layers"]:
    """The running averages of distances after one more batch: decay * averages + (1 - decay) * distances, a constant.

    They are part of a method's state; in IMM (Jakab et al. 2018) they are moved before they are used.
    """
    return jax.lax.stop_gradient(decay * averages + (1 - decay) * distances)


def balanced_distances(
    distances: Float[Array, "layers"], averages: Float[Array, "layers"]
) -> Float[Array, ""]:
    """The sum of the distances, each divided by its running average: about the number of layers, whatever their units.

    Gradients treat the averages as constants (in IMM's code the newest batch's share of 1 % has a gradient). IMM
    multiplies the sum by 1000. Source: Jakab et al. 2018, after Chen and Koltun 2017.
    """
    return (distances / jnp.maximum(jax.lax.stop_gradient(averages), SMALLEST)).sum()
