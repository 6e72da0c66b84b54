"""Losses between an image and its reconstruction, on pixels and on a network's features."""

from collections.abc import Sequence
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Features = Float[Array, "batch _height _width _channels"]
Weight = Float[Array, "batch _rows _columns 1"]  # weight of pixels, in [0, 1]
SMALLEST = 1e-12  # averages below it divide as it does


def pixel_mse(
    images: Float[Array, "batch height width channels"],
    targets: Float[Array, "batch height width channels"],
    *,
    weight: Weight | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Array, ""]:
    """Computes the squared difference of two batches of images, in float32.

    Args:
        images, targets: reconstructions, and the images to match.
        weight: of each pixel's square. The mean is over all pixels whatever their weight, as in
            IMM's code.
        reduction: "mean" over all pixels, channels and images; "sum" over an image's pixels and
            channels, then the mean over images.
    """
    chex.assert_rank(images, 4)
    chex.assert_equal_shape([images, targets])
    if weight is not None:
        chex.assert_shape(weight, (*images.shape[:3], 1))
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
    """Computes the mean difference, squared or absolute, of every layer over batch, space and
    channels, in float32.

    Perceptual losses sum these (Johnson et al. 2016) or balance them first (`balanced_distances`).

    Args:
        features, targets: layers of two batches of images, of any dtype. The images themselves may
            be one of them.
        weight: of the images' pixels, resized to each layer by linear interpolation, as in IMM's
            code. The mean is over all places whatever their weight.
        form: "squared" or "absolute".
    """
    measure = {"squared": jnp.square, "absolute": jnp.abs}[form]

    def distance(found: jax.Array, target: jax.Array) -> jax.Array:
        chex.assert_rank(found, 4)
        chex.assert_equal_shape([found, target])
        difference = measure(found.astype(jnp.float32) - target.astype(jnp.float32))
        if weight is None:
            return difference.mean()
        chex.assert_shape(weight, (found.shape[0], None, None, 1))
        size = (*difference.shape[:3], 1)
        return (difference * jax.image.resize(weight, size, "linear", antialias=False)).mean()

    return jnp.stack(
        [distance(found, target) for found, target in zip(features, targets, strict=True)]
    )


def feature_sizes(
    targets: Sequence[Features], *, form: Literal["squared", "absolute"] = "squared"
) -> Float[Array, "layers"]:
    """Computes the mean square, or absolute value, of every layer over batch, space and channels,
    in float32.

    It is the distance of `feature_distances` from features that are all zero, and balances layers
    (see `balanced_distances`) without a running average.
    """
    chex.assert_rank(list(targets), 4)
    return feature_distances([jnp.zeros_like(layer) for layer in targets], targets, form=form)


def moved_averages(
    averages: Float[Array, "layers"], distances: Float[Array, "layers"], *, decay: float = 0.99
) -> Float[Array, "layers"]:
    """Updates running averages with the distances of one more batch: decay * averages + (1 - decay)
    * distances.

    The averages belong to a method's state, and are constant to the gradient. IMM (Jakab et al.
    2018) updates them before use.
    """
    chex.assert_rank(averages, 1)
    chex.assert_equal_shape([averages, distances])
    return jax.lax.stop_gradient(decay * averages + (1 - decay) * distances)


def balanced_distances(
    distances: Float[Array, "layers"], averages: Float[Array, "layers"]
) -> Float[Array, ""]:
    """Sums the distances, each divided by its running average: about the number of layers, whatever
    their units.

    The averages are constants to the gradient; in IMM's code the newest batch's share of 1 % has
    one. IMM multiplies the sum by 1000. Source: Jakab et al. 2018, after Chen and Koltun 2017.
    """
    chex.assert_rank(distances, 1)
    chex.assert_equal_shape([distances, averages])
    return (distances / jnp.maximum(jax.lax.stop_gradient(averages), SMALLEST)).sum()
