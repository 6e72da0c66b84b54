"""Supervised learning: the reference of every comparison, and the first stage of most systems."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kpjax.heatmaps import Codec
from kpjax.losses.heatmap import heatmap_kl
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import empty_images, named_streams, prepare_streams, train_pass
from kpjax.methods.gradient_step import State, gradient_step
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.optimization import group_rates
from kpjax.structures import Method, Metrics, Start, Streams, named_key

# (heatmaps, targets, weights) -> scalar
HeatmapLoss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def supervised_objective(
    codec: Codec, loss: HeatmapLoss = heatmap_kl, stream: str = "labelled", weight: float = 1.0
) -> Objective:
    """Builds one term, `supervised`: the loss between a stream's heatmaps and those rendered from
    its labels.
    """

    def fit_labels(outputs, streams):
        return loss(outputs[stream], *codec.encode(streams[stream]))

    return {"supervised": Term(weight, fit_labels, reads=(stream,))}


def supervised(setup: Setup, *, loss: HeatmapLoss = heatmap_kl, stream: str = "labelled") -> Method:
    """Fits the heatmaps of a labelled stream. The start may have `variables`.

    Args:
        setup: learning rates, if there are several, are by top-level name of the parameters.
        loss: `heatmap_kl` (RegDA's first stage) or `heatmap_mse` (Xiao et al. 2018, Simple
            Baselines).
        stream: the name of the labelled stream.
    """
    objective = supervised_objective(setup.codec, loss, stream)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(setup.augment, streams, stream)
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        optimizer_state = setup.optimizer.init(variables["params"])
        return State(jnp.int32(0), variables, optimizer_state, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = prepare_streams(setup.augment, named_streams(streams, (stream,)), key)

        def objective_of(params):
            heatmaps, statistics = train_pass(
                setup.model,
                params,
                state.variables["batch_stats"],
                setup.normalise(views[stream].image),
            )
            value, parts = total(objective, {stream: heatmaps}, views)
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of, state.variables["params"], state, setup.optimizer, setup.learning_rate
        )
        variables = {"params": params, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        (stream,),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
