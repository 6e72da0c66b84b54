"""KAMP's second stage (arXiv 2503.20248): new keypoints for a trained network whose data are gone, and its baselines.

The old model is the teacher: frozen, in evaluation mode, like the KA-Nets of the first stage (`association`). Old
keypoints have no labels. The student starts as a copy of the teacher with new channels in its head, and minimises

    l_MP = l_GT + alpha (l_KSD + l_KA)                                                             (equation 4)

from the labels of the new keypoints, the teacher's maps of the old ones, and KA-Net's map of one old keypoint of each
triple. Its trunk and the new channels of its head are trained. Gradients reach the trunk through the old channels,
which do not change. All three networks see the same augmented image, of which parts may be hidden from the student.

Baselines are this method with another objective (`objectives`), and a `Tracker` where they keep statistics.
"""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment, no_augmentation
from kpjax.losses.objective import Objective, total, without
from kpjax.methods.forward import augmented, checked_views, initial_variables, train_pass, unit_range
from kpjax.methods.incremental_family.association_forward import (
    answered,
    association_pass,
    checked_association,
    initial_association,
    labelled_triples,
    misled_maps,
    rerendered,
)
from kpjax.methods.incremental_family.objectives import DISTILLATION, NEW_KEYPOINTS
from kpjax.methods.incremental_family.pseudo_label_confidence import Confidence
from kpjax.methods.incremental_family.step_spec import (
    Increment,
    head_channels,
    increment_of,
    needed,
    with_new_channels,
)
from kpjax.methods.setup import Setup
from kpjax.models.association import AssociationNetwork
from kpjax.optimization import descend
from kpjax.structures import Example, Method, Metrics, Prediction, Start, Streams, Trained, Variables, named_key

STREAM = "labelled"
KEPT = ("anchor", "importance")  # trees of the start that terms read unchanged
OUTPUTS = ("heatmaps", "coarse", "teacher", "association", "confidence", "parameters", "tracked", *KEPT)
WHOLE = no_augmentation()
BALANCE_DECAY = 0.99
LARGEST_BALANCE = 1e5


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
    gradient_norms: jax.Array  # (2,) float32, averages of those of new_keypoints and of the rest; 0 if not balanced
    frozen: Mapping[str, Any]  # increment; teacher, association, anchor and importance, if a term reads them


def incremental(
    setup: Setup, *, objective: Objective, association: nn.Module | None = None, rerender: bool = False,
    freeze_old_heads: bool = True, freeze_statistics: bool = False, confidence: Confidence | None = None,
    balance: float | None = None, track: Tracker | None = None, misled: float = 0.0, student_view: Augment = WHOLE
) -> Method:
    """Builds the method; it reads the stream `labelled`, in which the new keypoints have labels.

    Terms get (outputs, {"labelled": the augmented batch}). Outputs always have "increment", "parameters"
    (those in training), "tracked" and "labelled_triples" (B, T). The others are computed only if a term reads them:
    "heatmaps" (B, h, w, K) of the student; "teacher" (B, h, w, K); "association" (B, h, w, T), and with it
    "association_peaks" (B, T) of KA-Net's own maps; "confidence" (B, K); "anchor" and "importance" (trees like the
    parameters); "coarse" (the student's maps at every depth of a network that has several, the last being "heatmaps").

    `predict` sets maps of keypoints that are neither old nor new to 0, and so their scores. The start has `teacher`,
    the old model's variables, from which the student is copied, with new channels of the head at random; without it
    `variables`, or a fresh network. It has `increment`, by default as in `increment_of`; `association`, the first
    stage's variables, see `checked_association`; `anchor` and `importance`.

    Args:
        setup: its skeleton has the keypoints of the whole protocol, K, and its model a channel for each.
        objective: as of `incremental_objective`. `Increment.weights` multiplies its terms by name.
        association: KA-Net, the same as in the first stage; None is `AssociationNetwork()`.
        rerender: whether the codec's Gaussian, where it decodes KA-Net's map, replaces it.
        freeze_old_heads: whether head channels of old keypoints stay bit-identical; those of unknown ones always do.
        freeze_statistics: whether the student runs on its stored BatchNorm statistics and keeps them.
        confidence: weights of pseudo-labels; None accepts all.
        balance: multiplies all terms but `new_keypoints` by a factor that holds the norm of their gradient at this
            multiple of that of `new_keypoints`, both averaged over about 100 steps. None: no factor.
        track: statistics of the parameters' path.
        misled: share of the old model's maps that are shifted, see `misled_maps`.
        student_view: changes the student's images alone, after the augmentation, and moves nothing.

    Raises:
        ValueError: a term reads an unknown output.
        InputError: from `init`, if the start lacks a tree that a term reads.
    """
    read = checked_views(objective, OUTPUTS, "incremental")
    ka_net = association or AssociationNetwork()
    weighs = confidence is not None and "confidence" in read
    needs_teacher = "teacher" in read or "association" in read or weighs
    model, codec, normalise = setup.model, setup.codec, setup.normalise
    keypoints = len(setup.skeleton.names)
    new_alone = {name: term for name, term in objective.items() if name == NEW_KEYPOINTS}
    others = without(objective, *new_alone)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        required = {"teacher": needs_teacher} | {name: name in read for name in ("association", *KEPT)}
        given = {name: needed(start, name) for name, wanted in required.items() if wanted}
        images = jnp.zeros((1, *streams[STREAM].image.shape[1:]), jnp.float32)
        step = jax.tree.map(jnp.asarray, increment_of(start, keypoints))
        fresh = initial_variables(model, named_key(key, "model"), images, {})
        if "teacher" in start:
            copied = initial_variables(model, named_key(key, "model"), images, {"variables": start["teacher"]})
            variables = with_new_channels(named_key(key, "head"), copied, fresh, step.new)
        else:
            variables = initial_variables(model, named_key(key, "model"), images, start)
        frozen = {"increment": step} | given
        if needs_teacher:
            frozen["teacher"] = {name: given["teacher"][name] for name in fresh}
        if "association" in read:
            nets = initial_association(
                ka_net, named_key(key, "association"), model, images, fresh, step.triples.shape[0])
            frozen["association"] = checked_association(nets, given["association"])
        params = variables["params"]
        tracked = track.init(params, start) if track is not None else {}
        return State(jnp.int32(0), variables, setup.optimizer.init(params), tracked, jnp.zeros(2, jnp.float32), frozen)

    def frozen_outputs(state: State, view: Example) -> dict[str, Any]:
        """Returns all outputs that do not depend on the parameters in training."""
        step = increment_of(state.frozen, keypoints)
        outputs = {"increment": step, "tracked": state.tracked, "labelled_triples": labelled_triples(
            codec, view, step.triples)} | {name: state.frozen[name] for name in KEPT if name in read}
        images = normalise(view.image)
        if needs_teacher:
            teacher = state.frozen["teacher"]
            features, outputs["teacher"] = answered(model, teacher, images)
            if misled:
                outputs["teacher"] = misled_maps(outputs["teacher"], view.index, misled)
        if "association" in read:
            maps, _ = association_pass(ka_net, state.frozen["association"], codec, features, view, step.triples)
            outputs["association"] = rerendered(codec, maps) if rerender else maps
            outputs["association_peaks"] = maps.max((1, 2))
        outputs["confidence"] = jnp.ones((view.image.shape[0], keypoints), jnp.float32)
        if weighs:
            outputs["confidence"] = confidence(
                lambda moved: answered(model, teacher, normalise(moved))[1], view.image, outputs["teacher"],
                step.threshold)
        return jax.lax.stop_gradient(outputs)

    def student(params, statistics, images):
        """Returns the outputs of the network in training, and its statistics afterwards."""
        if not read & {"heatmaps", "coarse"}:
            return {}, statistics
        method = "all_heatmaps" if "coarse" in read else None
        if freeze_statistics:
            answer = model.apply({"params": params, "batch_stats": statistics}, images, train=False, method=method)
        else:
            answer, statistics = train_pass(model, params, statistics, images, method=method)
        return ({"heatmaps": answer[-1], "coarse": answer} if "coarse" in read else {"heatmaps": answer}), statistics

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        seen = augmented(setup.augment, {STREAM: streams[STREAM]}, key)
        given = frozen_outputs(state, seen[STREAM])
        harder, _ = student_view(named_key(key, "student view"), seen[STREAM])
        step: Increment = given["increment"]
        trainable = head_channels(
            state.variables["params"], step.new if freeze_old_heads else jnp.maximum(step.old, step.new))

        def losses(params):
            """Returns ((new_keypoints, the rest), (metrics, statistics)), both weighted."""
            answers, statistics = student(params, state.variables["batch_stats"], normalise(harder.image))
            outputs = given | answers | {"parameters": params}
            plain, parts = total(new_alone, outputs, seen, step.weights)
            rest, more = total(others, outputs, seen, step.weights)
            metrics = {name: (parts | more)[f"loss/{name}"] for name in objective}
            metrics = {f"loss/{name}": value for name, value in metrics.items()}
            if DISTILLATION in objective and "teacher" in outputs:
                own = objective[DISTILLATION].function(outputs | {"heatmaps": outputs["teacher"]}, seen)
                metrics["loss/centred_distillation"] = metrics[f"loss/{DISTILLATION}"] - own
            return (plain, rest), (metrics, statistics)

        def of_trainable(gradient):
            return jax.tree.map(lambda chosen, leaf: jnp.where(chosen, leaf, jnp.zeros_like(leaf)), trainable, gradient)

        old, norms = state.variables["params"], state.gradient_norms
        if balance is not None:
            (plain, rest), pull, (metrics, statistics) = jax.vjp(losses, old, has_aux=True)
            one, none = jnp.float32(1), jnp.float32(0)
            plain_gradient, of_rest = (of_trainable(pull(pair)[0]) for pair in ((one, none), (none, one)))
            norms, factor = _balanced(balance, norms, plain_gradient, of_rest, state.step)
            metrics["weight/balance"] = factor
            gradient = jax.tree.map(lambda a, b: a + factor.astype(b.dtype) * b, plain_gradient, of_rest)
            value = plain + factor * rest
        else:
            def summed(params):
                (plain, rest), auxiliary = losses(params)
                return plain + rest, auxiliary

            (value, (metrics, statistics)), gradient = jax.value_and_grad(summed, has_aux=True)(old)
            gradient = of_trainable(gradient)
        moved, optimizer_state = descend(
            setup.optimizer, gradient, state.optimizer_state, old, setup.learning_rate, state.step)
        # Weight decay and old moments move parameters that have no gradient.
        new = jax.tree.map(jnp.where, trainable, moved, old)
        tracked = state.tracked if track is None else track.after_update(
            state.tracked, gradient=gradient, old=old, new=new)
        metrics |= {"loss/total": value, "gradient_norm/model": optax.tree.norm(gradient)}
        variables = {"params": new, "batch_stats": statistics}
        return State(state.step + 1, variables, optimizer_state, tracked, norms, state.frozen), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        step = increment_of(state.frozen, keypoints)
        known = jnp.maximum(step.old, step.new)[None, None, None] > 0
        heatmaps = model.apply(state.variables, normalise(unit_range(example).image), train=False)
        heatmaps = jnp.where(known, heatmaps, 0.0)
        found, scores = codec.decode(heatmaps)
        return Prediction(found, scores, (heatmaps,))

    return Method(init, update, predict, (STREAM,), setup.skeleton)


def _balanced(ratio: float, norms: jax.Array, plain, rest, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns averages of the two gradients' norms, and the rest's factor. The first steps average over all so far."""
    share = jnp.maximum(1 - BALANCE_DECAY, 1 / (step.astype(jnp.float32) + 1))
    now = jnp.stack([optax.tree.norm(plain), optax.tree.norm(rest)])
    norms = norms + share * (now - norms)
    # At the first step the student equals its teacher, and there may be nothing to balance.
    factor = ratio * norms[0] / jnp.maximum(norms[1], 1e-12)
    return norms, jnp.minimum(factor, LARGEST_BALANCE)
