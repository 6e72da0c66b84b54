"""Supervised learning: the reference of every comparison, and the first stage of most systems."""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.heatmaps import Codec
from kpjax.losses.heatmap import heatmap_kl
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import Normalise, augmented, empty_images, heatmap_predict, initial_variables, train_pass
from kpjax.optimization import LearningRate, descend
from kpjax.structures import Example, Method, Metrics, Skeleton, Start, Streams, Variables, named_key

HeatmapLoss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # (heatmaps, targets, weights) -> scalar


class State(NamedTuple):
    """The state of `supervised`."""

    step: jax.Array
    variables: Variables
    optimizer_state: optax.OptState
    frozen: Mapping[str, Any]  # empty


def supervised_objective(
    codec: Codec, loss: HeatmapLoss = heatmap_kl, stream: str = "labelled", weight: float = 1.0
) -> Objective:
    """Builds one term, `supervised`: the loss between a stream's heatmaps and those rendered from its labels."""

    def fit_labels(outputs, streams):
        return loss(outputs[stream], *codec.encode(streams[stream]))

    return {"supervised": Term(weight, fit_labels, reads=(stream,))}


def supervised(
    model: nn.Module, skeleton: Skeleton, *,
    codec: Codec, optimizer: optax.GradientTransformation, learning_rate: LearningRate, augment: Augment,
    normalise: Normalise, loss: HeatmapLoss = heatmap_kl, stream: str = "labelled"
) -> Method:
    """Fits the heatmaps of a labelled stream. The start may have `variables`.

    Args:
        model: `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K).
        skeleton: the K keypoints.
        codec: encodes labels and decodes predictions.
        optimizer: without its learning rate.
        learning_rate: of the step, one for all parameters or one for each top-level name.
        augment: applied to the batch on the device.
        normalise: images in [0, 1] -> the model's input.
        loss: `heatmap_kl` (RegDA's first stage) or `heatmap_mse` (Xiao et al. 2018, Simple Baselines).
        stream: the name of the labelled stream.
    """
    objective = supervised_objective(codec, loss, stream)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(augment, streams, stream)
        variables = initial_variables(model, named_key(key, "model"), images, start)
        return State(jnp.int32(0), variables, optimizer.init(variables["params"]), {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views: dict[str, Example] = augmented(augment, {stream: streams[stream]}, key)

        def objective_of(params):
            heatmaps, statistics = train_pass(
                model, params, state.variables["batch_stats"], normalise(views[stream].image))
            value, parts = total(objective, {stream: heatmaps}, views)
            return value, (parts, statistics)

        params = state.variables["params"]
        (value, (parts, statistics)), gradient = jax.value_and_grad(objective_of, has_aux=True)(params)
        params, optimizer_state = descend(optimizer, gradient, state.optimizer_state, params, learning_rate, state.step)
        metrics = parts | {"loss/total": value, "gradient_norm/model": optax.tree.norm(gradient)}
        variables = {"params": params, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    return Method(init, update, heatmap_predict(model, codec, normalise), (stream,), skeleton)
