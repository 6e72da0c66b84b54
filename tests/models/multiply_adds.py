"""Multiplications with additions of a network, counted from its shapes without running it."""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.models import KeypointNetwork
from kpjax.models.layers import Convolution, TransposedConvolution


@functools.cache
def traced(model: KeypointNetwork, side: int = 256) -> tuple[Any, Mapping[str, int]]:
    """Returns the shapes of a network's variables, and the multiply-adds of one forward pass over
    one image of `side` px, by part: backbone, upsampling and head.

    Only convolutions and dense layers of the model itself count, whatever a rewriting for some
    backend spends more.
    """
    counts: Counter[str] = Counter()

    def count(run, arguments, options, context):
        output = run(*arguments, **options)
        layer = context.module
        if context.method_name == "__call__" and isinstance(
            layer, (Convolution, TransposedConvolution, nn.Dense)
        ):
            kernel = layer.variables["params"]["kernel"]
            # Every weight is used once for each position: of the input where the stride is that of
            # the output.
            grid = arguments[0] if isinstance(layer, TransposedConvolution) else output
            counts[layer.path[0]] += grid.size // grid.shape[-1] * kernel.size
        return output

    with nn.intercept_methods(count):
        images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        variables = jax.eval_shape(
            functools.partial(model.init, train=False), jax.random.key(0), images
        )
    return variables, dict(counts)
