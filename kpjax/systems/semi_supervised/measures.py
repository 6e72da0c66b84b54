"""Measures of a finished network beside its errors: equivariance, peaks of heatmaps, semantic features."""
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kpjax import Example, Method
from kpjax.augment.random_maps import PERSPECTIVE
from kpjax.heatmaps import Codec, geometry
from kpjax.input.source import Source
from kpjax.losses import semantic_consistency
from kpjax.methods.semi_supervised_family.semantic_features import Semantic
from kpjax.training.evaluation import reduce

ReadSemantic = Callable[[Mapping[str, Any], Example], Semantic]  # (variables, a batch) -> semantics of its features


def equivariance_and_peaks(method: Method, state, source: Source, *, batch_size: int) -> dict[str, float]:
    """Measures `equivariance_px` and `mean_peak` on a source.

    equivariance_px: the mean of |M p(x) - p(g(x))| over labelled keypoints that x and g(x) show, in pixels of the
    network's images. The perspective map g depends on the image's number alone, M moves keypoints by it, and p
    predicts them. mean_peak: the mean maximum of the heatmaps of labelled keypoints in x; targets have a peak of 1. NaN
    where nothing counts.
    """
    sums = reduce(_sums(method.predict), state, source, batch_size=batch_size)
    error, moved, peaks, seen = (float(sums[name]) for name in ("error", "moved", "peaks", "seen"))
    return {"equivariance_px": error / moved if moved else math.nan, "mean_peak": peaks / seen if seen else math.nan}


@functools.lru_cache(maxsize=16)
def _sums(predict: Callable):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        images = batch.image.astype(jnp.float32)
        first = jax.random.fold_in(jax.random.key(0), 0xceabd40f)  # a fixed stream of maps
        keys = jax.vmap(lambda number: jax.random.fold_in(first, number))(jnp.maximum(batch.index, 0))
        maps = jax.vmap(lambda key: PERSPECTIVE(key, images.shape[1:3]))(keys)
        warped = geometry.warp(images, maps)
        unseen = batch._replace(keypoints=jnp.zeros_like(batch.keypoints), visible=jnp.zeros_like(batch.visible))
        plain, moved = (predict(state, unseen._replace(image=image)) for image in (images, warped))
        error = jnp.linalg.norm(geometry.move_points(maps, plain.keypoints) - moved.keypoints, axis=-1)
        seen = _shown(batch) * weights[:, None]
        inside = jnp.where(geometry.in_frame(geometry.move_points(maps, batch.keypoints), images.shape[1:3]), seen, 0.0)
        peaks = jnp.concatenate([maps.max((1, 2)) for maps in plain.heatmaps], -1).astype(jnp.float32)
        return {"error": (error * inside).sum(), "moved": inside.sum(), "peaks": (peaks * seen).sum(),
                "seen": seen.sum()}

    return measure


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
