"""AdaBN (Li et al. 2016): the trained network with the BatchNorm statistics of the target domain, and nothing else.

This is the cheap control of domain adaptation. It learns no parameter, and takes most of the gain of adaptation
wherever the domains differ in colour and contrast.
"""
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, augmented, heatmap_predict, initial_variables, train_pass
from kpjax.models.normalization import MOMENTUM
from kpjax.structures import Method, Metrics, Skeleton, Start, Streams, Variables, named_key


class State(NamedTuple):
    """The state of `adabn`. The sums run over the batches seen so far."""

    step: jax.Array
    variables: Variables
    mean_sum: Any  # sum of batch means, one per BatchNorm
    square_sum: Any  # sum of batch means of squares
    frozen: Mapping[str, Any]  # empty


def _is_statistics(node) -> bool:
    return isinstance(node, Mapping) and set(node) == {"mean", "var"}


def _each_norm(function, *trees):
    return jax.tree.map(function, *trees, is_leaf=_is_statistics)


def adabn(
    model: nn.Module, skeleton: Skeleton, *, codec: Codec, augment: Augment, normalise: Normalise,
    stream: str = "target",
) -> Method:
    """Replaces all running statistics by those of an unlabelled stream, pooled over all batches seen.

    After n updates they are the mean, and the mean of squares less the squared mean, over n batches. For one pass over
    a set this is exact, up to the earlier layers, which see each batch's own statistics as they do in training.

    Args:
        augment: the one that the network was trained under; plain images have other statistics.
        stream: the name of the unlabelled stream.
        The others are as in `supervised`.

    Returns:
        The method. start: `variables` of the trained network.
    """

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = jnp.zeros((1, *streams[stream].image.shape[1:]), jnp.float32)
        variables = initial_variables(model, named_key(key, "model"), images, start)
        zeros = _each_norm(lambda norm: jnp.zeros_like(norm["mean"]), variables["batch_stats"])
        return State(jnp.int32(0), variables, zeros, zeros, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        view = augmented(augment, {stream: streams[stream]}, key)[stream]
        # Running statistics that start at zero become (1 - momentum) times the batch's own.
        zeros = jax.tree.map(jnp.zeros_like, state.variables["batch_stats"])
        _, scaled = train_pass(model, state.variables["params"], zeros, normalise(view.image))
        batch = jax.tree.map(lambda leaf: leaf / (1 - MOMENTUM), scaled)
        mean_sum = _each_norm(lambda norm, s: s + norm["mean"], batch, state.mean_sum)
        square_sum = _each_norm(lambda norm, s: s + norm["var"] + jnp.square(norm["mean"]), batch, state.square_sum)
        count = (state.step + 1).astype(jnp.float32)

        def pooled(norm, means, squares):
            mean = means / count
            return {"mean": mean, "var": jnp.maximum(squares / count - jnp.square(mean), 0)}

        statistics = _each_norm(pooled, state.variables["batch_stats"], mean_sum, square_sum)
        moved = sum(jnp.abs(new - old).mean() for new, old in zip(
            jax.tree.leaves(statistics), jax.tree.leaves(state.variables["batch_stats"]), strict=True))
        variables = {"params": state.variables["params"], "batch_stats": statistics}
        metrics = {"loss/total": jnp.float32(0), "statistics/moved": jnp.asarray(moved, jnp.float32)}
        return State(state.step + 1, variables, mean_sum, square_sum, state.frozen), metrics

    return Method(init, update, heatmap_predict(model, codec, normalise), (stream,), skeleton)
