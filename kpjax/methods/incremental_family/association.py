"""KAMP's first stage (arXiv 2503.20248): KA-Nets learn the place of an old keypoint from labelled
new ones.

Each triple has one old keypoint o and two new ones. The Gaussians h of the new ones mask the frozen
old extractor's features, F ⊙ h. From these a small network phi predicts a heatmap of o. Its target
is the old model's own map of o, since no label of an old keypoint exists. Where the old model is
right on most images, phi learns the relation between the new keypoints and o. It may then be right
where the old model is not.

Only the KA-Nets are trained. The second stage is `incremental`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax import geometry
from kpjax.heatmaps import Codec, decode_argmax
from kpjax.losses.distillation import mse_distillation
from kpjax.methods.forward import (
    Normalise,
    empty_images,
    named_streams,
    prepare_streams,
    unit_range,
)
from kpjax.methods.gradient_step import State, gradient_step
from kpjax.methods.incremental_family.association_forward import (
    association_inputs,
    association_pass,
    channels,
    frozen_forward,
    initial_association,
    labelled_triples,
    predicted,
    slot,
    teacher_answer,
)
from kpjax.methods.incremental_family.step_spec import increment_of
from kpjax.methods.setup import Setup, require
from kpjax.models.association import AssociationNetwork, input_windows
from kpjax.models.network import KeypointNetwork
from kpjax.optimization import group_rates
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Start,
    Streams,
    Trained,
    named_key,
)

STREAM = "labelled"
# (state, batch, weights (B,)) -> sums
Measure = Callable[[Any, Example, jax.Array], dict[str, jax.Array]]


def association(setup: Setup, *, network: nn.Module | None = None, slots: int = 1) -> Method:
    """Builds the method; it reads the stream `labelled`, in which the new keypoints have labels.

    The loss is, summed over triples, 1/2 the mean squared difference from the target over cells and
    images; the paper does not state its distance. Images without both new keypoints are left out of
    the mean. `predict` returns the old model's predictions, for it sees no labels;
    `association_predict` reads those of the new keypoints. The start has `teacher`, the old model's
    variables, and `increment`, see `increment_of`. KA-Nets start at random.

    Args:
        setup: learning rates, if there are several, are those of each KA-Net, `triple_0` and on.
        network: KA-Net, from `AssociationInputs` to (B, h, w, 1); None is `AssociationNetwork()`.
        slots: number of triples where the start has no increment.

    Raises InputError from `init` if there is no teacher.
    """
    ka_net = network or AssociationNetwork()
    model = setup.model
    codec = setup.codec
    normalise = setup.normalise
    keypoints = len(setup.skeleton.names)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(setup.augment, streams, STREAM)
        teacher = require(start, "teacher")
        step = jax.tree.map(jnp.asarray, increment_of(start, keypoints, slots))
        variables = initial_association(
            ka_net, named_key(key, "association"), model, images, teacher, step.triples.shape[0]
        )
        frozen = {"teacher": teacher, "increment": step}
        optimizer_state = setup.optimizer.init(variables["params"])
        return State(jnp.int32(0), variables, optimizer_state, frozen)

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = prepare_streams(setup.augment, named_streams(streams, (STREAM,)), key)
        view = views[STREAM]
        step = increment_of(state.frozen, keypoints)
        teacher = state.frozen["teacher"]
        inputs = normalise(view.image)
        features, heatmaps, told = teacher_answer(model, teacher, codec, inputs, view, step)
        old = step.triples[:, 0]
        believed = labelled_triples(codec, view, step.triples) * channels(told, old)
        truth = channels(heatmaps, old)

        def loss_of(params):
            variables = {"params": params, "batch_stats": state.variables["batch_stats"]}
            maps, statistics = association_pass(
                ka_net, variables, codec, features, view, step.triples, train=True
            )
            losses = [
                weight * mse_distillation(truth[..., [t]], maps[..., [t]], None, believed[:, t])
                for t, weight in enumerate(step.triple_weights)
            ]
            metrics = {f"loss/{slot(t)}": loss for t, loss in enumerate(losses)}
            return sum(losses), (metrics, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            loss_of,
            state.variables["params"],
            state,
            setup.optimizer,
            setup.learning_rate,
            norms=lambda gradient: {"association": gradient},
        )
        variables = {"params": params, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        old = increment_of(state.frozen, keypoints).old
        _, heatmaps = frozen_forward(
            model, state.frozen["teacher"], normalise(unit_range(example).image)
        )
        return predicted(codec, heatmaps, old)

    return Method(
        init,
        update,
        predict,
        (STREAM,),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


def association_predict(
    model: KeypointNetwork, codec: Codec, normalise: Normalise, network: nn.Module | None = None
) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that READS THE LABELS of the new keypoints: a diagnostic of `association`,
    not a detector.

    Wherever both new keypoints of an image are labelled, the KA-Net's map replaces the channel of
    the triple's old keypoint. All other channels are the old model's; keypoints that are not old
    have empty maps. Of two triples with the same old keypoint, the later one counts. The arguments
    are those of `association`.
    """
    ka_net = network or AssociationNetwork()

    def predict(state: Trained, example: Example) -> Prediction:
        view = unit_range(example)
        step, heatmaps, maps = _answers(model, ka_net, codec, normalise, state, view)
        known = labelled_triples(codec, view, step.triples) * step.triple_weights[None]
        for number in range(step.triples.shape[0]):
            of_old = jax.nn.one_hot(step.triples[number, 0], heatmaps.shape[-1])
            replaced = (known[:, [number]] * of_old[None])[:, None, None] > 0
            heatmaps = jnp.where(replaced, maps[..., [number]], heatmaps)
        return predicted(codec, heatmaps, step.old)

    return predict


# Diagnostics, measures for `kpjax.training.evaluation.reduce`. A fraction is a sum over `count`,
# both (T,) float32 by triple, of images on which both new keypoints are labelled.


def ka_reach(
    model: KeypointNetwork,
    codec: Codec,
    normalise: Normalise,
    reach: float,
    input_sigma: float | None = None,
) -> Measure:
    """Builds a measure of what KA-Net can see of the old keypoint, where the old model finds it.

    It returns {"within", "input", "count"}. "within" counts images whose old keypoint lies within
    KA-Net's reach; below a fraction of 0.8, choose a network with a longer reach. "input" sums the
    larger of KA-Net's two input maps at the old keypoint's own cell; above a mean of 0.1 KA-Net
    sees the features that its teacher has answered from, and can copy the answer: choose a smaller
    `input_sigma`, or larger maps.

    The state's `frozen` has `teacher` and `increment`; KA-Nets need not exist. `reach` is that of
    `kpjax.models.association.reach`, in heatmap pixels along each axis, from at least one of the
    two new keypoints. `input_sigma` is KA-Net's. The others are as in `association`.
    """

    def measure(state: Trained, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        view = unit_range(batch)
        step = increment_of(state.frozen, batch.keypoints.shape[1])
        inputs = normalise(view.image)
        features, heatmaps, told = teacher_answer(
            model, state.frozen["teacher"], codec, inputs, view, step
        )
        _, height, width, _ = heatmaps.shape
        old_maps = channels(heatmaps, step.triples[:, 0])
        old, _ = decode_argmax(old_maps)
        new = geometry.move_points(codec.to_heatmap, batch.keypoints)

        def longer_axis(which):
            """Returns the larger of both axes' distances of a new keypoint from the old one."""
            chosen = jnp.take(new, step.triples[:, which], axis=1)
            return jnp.abs(chosen - old).max(-1)

        cells = old.astype(jnp.int32)
        columns = jax.nn.one_hot(cells[..., 0], width)
        rows = jax.nn.one_hot(cells[..., 1], height)
        windows = [
            input_windows(association_inputs(codec, features, view, triple), input_sigma)
            for triple in step.triples
        ]
        seen = []
        for number, maps in enumerate(windows):
            at_old = jnp.einsum(
                "bhwn,bh,bw->bn",
                maps,
                rows[:, number],
                columns[:, number],
                precision=jax.lax.Precision.HIGHEST,
            )
            seen.append(at_old.max(-1))
        within = jnp.minimum(longer_axis(1), longer_axis(2)) <= reach
        sums = {"within": within, "input": jnp.stack(seen, -1)}
        known = labelled_triples(codec, batch, step.triples) * channels(told, step.triples[:, 0])
        return _sum_over_batch(sums, known * weights[:, None])

    return measure


FAR = 0.1
SAME = 0.02


def copies_of_teacher(
    model: KeypointNetwork, codec: Codec, normalise: Normalise, network: nn.Module | None = None
) -> Measure:
    """Builds a measure of how much KA-Net copies from the old model: it READS THE LABELS of old
    keypoints.

    It returns {"copied", "count", "wrong", "wrong_copied", "wrong_copied_by_chance"}. "copied"
    counts images where the arg-max of both is the same; above a fraction of 0.95 nothing has been
    associated. "wrong" counts images with a label of the old keypoint from which the old model is
    further than FAR; "wrong_copied" those among them where KA-Net's point lies within SAME of the
    old model's; "wrong_copied_by_chance" those where it does so although KA-Net is given the new
    keypoints of another image of the batch. FAR and SAME are shares of the image's side.

    The measure reads a state of `association`, whose arguments it has.
    """
    ka_net = network or AssociationNetwork()

    def measure(state: Trained, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        view = unit_range(batch)
        step, heatmaps, maps = _answers(model, ka_net, codec, normalise, state, view)
        old = step.triples[:, 0]
        side = min(view.image.shape[1:3])
        # Of the next image: a batch is padded by its first, which would be given itself as what
        # stands before it.
        next_keypoints = jnp.roll(view.keypoints, -1, 0)
        next_visible = jnp.roll(view.visible, -1, 0)
        other = view._replace(keypoints=next_keypoints, visible=next_visible)
        _, _, elsewhere = _answers(model, ka_net, codec, normalise, state, other)
        known = labelled_triples(codec, view, step.triples)
        seen = (channels(view.visible, old) > 0).astype(jnp.float32)
        both = known * labelled_triples(codec, other, step.triples) * seen
        both *= (weights.sum() > 1).astype(both.dtype)  # an image alone in its batch has no other

        def distance(points, others):
            return jnp.linalg.norm(points - others, axis=-1) / side

        own = channels(heatmaps, old)
        told, _ = codec.decode_each(own)
        truth = jnp.take(view.keypoints, old, axis=1)
        far = distance(told, truth) > FAR
        wrong = both * far.astype(jnp.float32)
        answer, _ = codec.decode_each(maps)
        same = distance(told, answer) <= SAME
        answer_elsewhere, _ = codec.decode_each(elsewhere)
        same_elsewhere = distance(told, answer_elsewhere) <= SAME
        own_cells, _ = decode_argmax(own)
        cells, _ = decode_argmax(maps)
        copied = (own_cells == cells).all(-1)
        counts = _sum_over_batch({"copied": copied}, known * weights[:, None])
        copies = {"wrong_copied": same, "wrong_copied_by_chance": same_elsewhere}
        of_wrong = _sum_over_batch(copies, wrong * weights[:, None], count="wrong")
        return counts | of_wrong

    return measure


def _answers(model, network, codec, normalise, state: Trained, view: Example):
    """Returns (increment, the old model's heatmaps (B, h, w, K), the KA-Nets' maps (B, h, w, T))
    for evaluation.
    """
    step = increment_of(state.frozen, view.keypoints.shape[1])
    inputs = normalise(view.image)
    features, heatmaps = frozen_forward(model, state.frozen["teacher"], inputs)
    maps, _ = association_pass(network, state.variables, codec, features, view, step.triples)
    return step, heatmaps, maps


def _sum_over_batch(
    values: Mapping[str, jax.Array], weights: jax.Array, count: str = "count"
) -> dict[str, jax.Array]:
    """Sums (B, T) values of triples over the batch, each with its weight (B, T)."""
    sums = {}
    for name, value in values.items():
        sums[name] = (weights * value.astype(jnp.float32)).sum(0)
    return sums | {count: weights.sum(0)}
