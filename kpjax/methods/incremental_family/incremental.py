"""KAMP's second stage (arXiv 2503.20248): new keypoints for a trained network whose data are gone,
and its baselines.

The old model is the teacher: frozen, in evaluation mode, like the KA-Nets of the first stage
(`association`). Old keypoints have no labels. The student starts as a copy of the teacher with new
channels in its head, and minimises

    l_MP = l_GT + alpha (l_KSD + l_KA)                                                             (equation 4)

from the labels of the new keypoints, the teacher's maps of the old ones, and KA-Net's map of one
old keypoint of each triple. l_KA has the form of l_KSD (equation 5). The student's trunk and the
new channels of its head are trained. Gradients reach the trunk through the old channels, which do
not change. All three networks see the same augmented image, of which parts may be hidden from the
student.

Baselines are this method with another objective (`objectives`), and a `Tracker` where they keep
statistics.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.losses.objective import Objective, total
from kpjax.methods.forward import (
    checked_views,
    empty_images,
    named_streams,
    prepare_streams,
    train_pass,
    unit_range,
)
from kpjax.methods.incremental_family import association_forward
from kpjax.methods.incremental_family.objectives import DISTILLATION
from kpjax.methods.incremental_family.step_spec import (
    Increment,
    head_channels,
    increment_of,
    with_new_channels,
)
from kpjax.methods.setup import Setup, initial_variables, of_same_shapes, require
from kpjax.models.association import AssociationNetwork
from kpjax.optimization import descend, group_rates
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Start,
    Streams,
    Trained,
    Variables,
    named_key,
)

STREAM = "labelled"
KEPT = ("anchor", "importance")  # trees of the start that terms read unchanged
OUTPUTS = ("heatmaps", "coarse", "teacher", "association", "parameters", "tracked", *KEPT)


class Tracker(NamedTuple):
    """Statistics that a baseline accumulates over updates, in the state's field `tracked`."""

    init: Callable[[Any, Start], Any]  # (parameters, start) -> tree
    after_update: Callable[..., Any]  # (tree, *, gradient, old, new) -> tree; old, new: parameters


class State(NamedTuple):
    """The state of `incremental`."""

    step: jax.Array
    variables: Variables
    optimizer_state: optax.OptState
    tracked: Any  # a Tracker's; {} without one
    #: increment; teacher, association, anchor and importance, if a term reads them
    frozen: Mapping[str, Any]


def incremental(
    setup: Setup,
    *,
    objective: Objective,
    association: nn.Module | None = None,
    rerender: bool = False,
    track: Tracker | None = None,
) -> Method:
    """Builds the method; it reads the stream `labelled`, in which the new keypoints have labels.

    Terms get (outputs, {"labelled": the augmented batch}). Outputs always have "increment",
    "parameters" (those in training), "tracked" and "labelled_triples" (B, T). The others are
    computed only if a term reads them: "heatmaps" (B, h, w, K) of the student; "teacher" (B, h, w,
    K), and beside it "believed" (B, K), the weights of its maps; "association" (B, h, w, T);
    "anchor" and "importance" (trees like the parameters); "coarse" (the student's maps at every
    depth of a network that has several, the last being "heatmaps").

    `predict` sets maps of keypoints that are neither old nor new to 0, and so their scores. The
    start has `teacher`, the old model's variables, from which the student is copied, with new
    channels of the head at random; without it `variables`, or a fresh network. It has `increment`,
    by default as in `increment_of`; `association`, the first stage's variables, see
    `checked_association`; `anchor` and `importance`.

    Args:
        setup: its skeleton has the keypoints of the whole protocol, K, and its model a channel for
            each.
        objective: as of `incremental_objective`. `Increment.weights` multiplies its terms by name.
        association: KA-Net, the same as in the first stage; None is `AssociationNetwork()`.
        rerender: whether the codec's Gaussian, where it decodes KA-Net's map, replaces it.
        track: statistics of the parameters' path.

    Raises:
        ValueError: a term reads an unknown output.
        InputError: from `init`, if the start lacks a tree that a term reads.
    """
    read = checked_views(objective, OUTPUTS, "incremental")
    ka_net = association or AssociationNetwork()
    needs_teacher = "teacher" in read or "association" in read
    model, codec, normalise = setup.model, setup.codec, setup.normalise
    keypoints = len(setup.skeleton.names)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        required = {"teacher": needs_teacher} | {
            name: name in read for name in ("association", *KEPT)
        }
        given = {name: require(start, name) for name, wanted in required.items() if wanted}
        images = empty_images(setup.augment, streams, STREAM)
        step = jax.tree.map(jnp.asarray, increment_of(start, keypoints))
        fresh = initial_variables(setup, named_key(key, "model"), images, {})
        if "teacher" in start:
            teacher = of_same_shapes(
                fresh, {of: start["teacher"].get(of, {}) for of in fresh}, "start", "'teacher'"
            )
            variables = with_new_channels(named_key(key, "head"), teacher, fresh, step.new)
        else:
            variables = initial_variables(setup, named_key(key, "model"), images, start)
        frozen = {"increment": step} | given
        if needs_teacher:
            frozen["teacher"] = teacher
        if "association" in read:
            nets = association_forward.initial_association(
                ka_net, named_key(key, "association"), model, images, fresh, step.triples.shape[0]
            )
            frozen["association"] = association_forward.checked_association(
                nets, given["association"]
            )
        params = variables["params"]
        tracked = track.init(params, start) if track is not None else {}
        return State(jnp.int32(0), variables, setup.optimizer.init(params), tracked, frozen)

    def frozen_outputs(state: State, view: Example) -> dict[str, Any]:
        """Returns all outputs that do not depend on the parameters in training."""
        step = increment_of(state.frozen, keypoints)
        outputs = {name: state.frozen[name] for name in KEPT if name in read} | {
            "increment": step,
            "tracked": state.tracked,
            "labelled_triples": association_forward.labelled_triples(codec, view, step.triples),
        }
        images = normalise(view.image)
        if needs_teacher:
            features, outputs["teacher"], believed = association_forward.teacher_answer(
                model, state.frozen["teacher"], codec, images, view, step
            )
            outputs["believed"] = believed
            outputs["labelled_triples"] *= association_forward.channels(
                believed, step.triples[:, 0]
            )
        if "association" in read:
            maps, _ = association_forward.association_pass(
                ka_net, state.frozen["association"], codec, features, view, step.triples
            )
            outputs["association"] = association_forward.rerender(codec, maps) if rerender else maps
        return jax.lax.stop_gradient(outputs)

    def student(params, statistics, images):
        """Returns the outputs of the network in training, and its statistics afterwards."""
        if not read & {"heatmaps", "coarse"}:
            return {}, statistics
        method = "all_heatmaps" if "coarse" in read else None
        answer, statistics = train_pass(model, params, statistics, images, method=method)
        return (
            {"heatmaps": answer[-1], "coarse": answer} if "coarse" in read else {"heatmaps": answer}
        ), statistics

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        seen = prepare_streams(setup.augment, named_streams(streams, (STREAM,)), key)
        given = frozen_outputs(state, seen[STREAM])
        step: Increment = given["increment"]
        trainable = head_channels(state.variables["params"], step.new)

        def objective_of(params):
            answers, statistics = student(
                params, state.variables["batch_stats"], normalise(seen[STREAM].image)
            )
            outputs = given | answers | {"parameters": params}
            value, metrics = total(objective, outputs, seen, step.weights)
            if DISTILLATION in objective and "teacher" in outputs:
                own = objective[DISTILLATION].function(
                    outputs | {"heatmaps": outputs["teacher"]}, seen
                )
                metrics["loss/centred_distillation"] = metrics[f"loss/{DISTILLATION}"] - own
            return value, (metrics, statistics)

        old = state.variables["params"]
        (value, (metrics, statistics)), gradient = jax.value_and_grad(objective_of, has_aux=True)(
            old
        )
        gradient = jax.tree.map(
            lambda chosen, leaf: jnp.where(chosen, leaf, jnp.zeros_like(leaf)), trainable, gradient
        )
        moved, optimizer_state = descend(
            setup.optimizer, gradient, state.optimizer_state, old, setup.learning_rate, state.step
        )
        # Weight decay and old moments move parameters that have no gradient.
        new = jax.tree.map(jnp.where, trainable, moved, old)
        tracked = (
            state.tracked
            if track is None
            else track.after_update(state.tracked, gradient=gradient, old=old, new=new)
        )
        metrics |= {"loss/total": value, "gradient_norm/model": optax.tree.norm(gradient)}
        variables = {"params": new, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, tracked, state.frozen), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        step = increment_of(state.frozen, keypoints)
        heatmaps = model.apply(state.variables, normalise(unit_range(example).image), train=False)
        known = jnp.maximum(step.old, step.new)
        return association_forward.predicted(codec, heatmaps, known)

    return Method(
        init,
        update,
        predict,
        (STREAM,),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
