"""Comparison of images by the features of a trained network, balanced by running averages (IMM,
Jakab et al. 2018).
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.losses.reconstruction import feature_distances, moved_averages
from kpjax.methods.forward import NORMALISATIONS, Normalise
from kpjax.methods.setup import require
from kpjax.models import FeatureMaps
from kpjax.models.networks import NETWORKS
from kpjax.platforms import run_once
from kpjax.structures import Start

# read by terms that compare features; also the name of the trained network in the start
PERCEPTUAL = "perceptual"


def check_network(network: nn.Module | None, read: Collection[str], method: str) -> None:
    """Raises ValueError if terms read features and there is no network; `method` is named in the
    message.
    """
    if PERCEPTUAL in read and network is None:
        raise ValueError(
            f"{method}: perceptual is None, but the objective compares features; give the network"
        )


class PerceptualComparison(NamedTuple):
    """Distances of pixels and of each feature map, and their running averages, which belong to a
    method's state.
    """

    #: `apply(variables, images)` -> feature maps, such as `kpjax.models.vgg.VGG`; never changes
    network: nn.Module
    normalise: Normalise  # images in [0, 1] -> the network's input

    def init(self, images: jax.Array, start: Start) -> tuple[jax.Array, Mapping[str, Any]]:
        """Returns averages (layers,) float32 of zero, pixels first, and the method's frozen
        trees."""
        variables = require(start, PERCEPTUAL)
        layers = 1 + len(jax.eval_shape(self.network.apply, variables, images))
        return jnp.zeros(layers, jnp.float32), {PERCEPTUAL: variables}

    def run(self, state: Any, images: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Computes the distances (layers,) float32, and the state's averages with this batch in
        them.
        """

        def layers(batch):
            return (batch, *self.network.apply(state.frozen[PERCEPTUAL], self.normalise(batch)))

        distances = feature_distances(layers(images), jax.lax.stop_gradient(layers(targets)))
        averages = moved_averages(state.averages, distances)
        return distances, jnp.where(state.step == 0, jax.lax.stop_gradient(distances), averages)


# Published weights of that network


def perceptual_options(weights: str, vgg: nn.Module) -> dict[str, Any]:
    """Returns the options of a method that compares images by features; {} without weights.

    The features are those of the backbone that known weights belong to, or of the VGG.
    """
    if not weights:
        return {}
    from kpjax.models.weights.pretrained import known_weights

    known = known_weights(weights)
    if known is None or known.network == "vgg":
        return {"perceptual": vgg}
    backbone = NETWORKS[known.network](**known.options).build(1).backbone
    return {
        "perceptual": FeatureMaps(backbone),
        "perceptual_normalise": NORMALISATIONS[known.normalisation],
    }


def perceptual_start(weights: str, vgg: nn.Module, *, image_size: int) -> dict[str, Any]:
    """Returns the weights of that network, for images of so many px, as a part of the start; {}
    without weights.
    """
    if not weights:
        return {}
    from kpjax.models.weights.pretrained import load_backbone, load_vgg
    from kpjax.models.weights.torch_names import describe

    network = perceptual_options(weights, vgg)["perceptual"]
    images = jnp.zeros((1, image_size, image_size, 3))
    fresh = run_once(network.init)(jax.random.key(0), images)
    imported = (load_vgg if network == vgg else load_backbone)(fresh, weights)
    print(f"images are compared by features of {weights}: {describe(imported.report)}")
    return {"perceptual": imported.variables}
