"""Variables that a network starts from."""
import functools
from typing import Any

import jax
import jax.numpy as jnp

from kpjax.models.network import KeypointNetwork
from kpjax.models.weights.imagenet import load_imagenet
from kpjax.models.weights.torch_names import describe


def imagenet_start(network: KeypointNetwork, weights: str, *, image_size: int, seed: int) -> dict[str, Any]:
    """Returns fresh variables with a backbone of ImageNet, as the `start` of a method; {} if `weights` is empty.

    Args:
        network: whose backbone the weights are for.
        weights: a file or the name of a model on the hub, see `load_imagenet`.
        image_size: px.
        seed: of all other variables.

    Raises:
        InputError: the weights cannot be found or do not belong to the network.
    """
    if not weights:
        return {}
    images = jnp.zeros((1, image_size, image_size, 3))
    fresh = jax.jit(functools.partial(network.init, train=False))(jax.random.key(seed), images)
    imported = load_imagenet(fresh, weights)
    print(f"{weights}: {describe(imported.report)}")
    return {"variables": imported.variables}
