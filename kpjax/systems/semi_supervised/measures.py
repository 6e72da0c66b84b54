"""Measures of a finished network beside its errors: what its labels leave to learn, and semantic features."""
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kpjax import Example, Method
from kpjax.heatmaps import Codec, geometry
from kpjax.input.source import Source
from kpjax.losses import semantic_consistency
from kpjax.methods.semi_supervised_family.semantic_features import Semantic
from kpjax.training.evaluation import reduce

ReadSemantic = Callable[[Mapping[str, Any], Example], Semantic]  # (variables, a batch) -> semantics of its features


def left_to_learn(method: Method, codec: Codec, state, labelled: Source, *, batch_size: int) -> float:
    """Measures the squared error of heatmaps on labelled images over that of empty maps.

    1 says that nothing was learnt. labelled: images as evaluation sees them. NaN where no keypoint is visible.
    """
    sums = reduce(_left_sums(method.predict, codec.encode), state, labelled, batch_size=batch_size)
    error, empty = float(sums["error"]), float(sums["empty"])
    return error / empty if empty else math.nan


@functools.lru_cache(maxsize=16)
def _left_sums(predict: Callable, encode: Callable):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        targets, counted = encode(batch)
        counted = (counted * weights[:, None])[:, None, None]
        maps = jnp.concatenate(predict(state, batch).heatmaps, -1).astype(jnp.float32)
        return {"error": (jnp.square(maps - targets) * counted).sum(), "empty": (jnp.square(targets) * counted).sum()}

    return measure


def consistency_over_chance(read: ReadSemantic, state, source: Source, *, batch_size: int) -> float:
    """Measures the semantic consistency loss of labelled keypoints over ln K: 1 is chance. Heatmaps are the masks.

    read: one function for each network, since it is compiled with the measure.
    """
    sums = reduce(_semantic_sums(read), state, source, batch_size=batch_size)
    count, keypoints = float(sums["count"]), len(source.skeleton.names)
    return float(sums["loss"]) / count / math.log(keypoints) if count and keypoints > 1 else math.nan


@functools.lru_cache(maxsize=16)
def _semantic_sums(read: ReadSemantic):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        counted = _shown(batch) * weights[:, None]
        loss = semantic_consistency(read(state.variables, batch).logits, counted)
        return {"loss": loss * counted.sum(), "count": counted.sum()}

    return measure


def _shown(batch: Example) -> jax.Array:
    """Returns (B, K) float32: 1 for labelled keypoints that the image shows."""
    return jnp.where(geometry.in_frame(batch.keypoints, batch.image.shape[1:3]), batch.visible, 0.0)
