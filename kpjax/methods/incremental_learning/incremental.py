"""New keypoints for a trained network whose data are gone (KAMP, arXiv 2503.20248, stage II), and what rivals do there.

The old model is the teacher: frozen, in evaluation mode, as are the KA-Nets of the first stage (`association`). Old
keypoints have no labels. The student starts as a copy of the teacher with new channels in its head, and trains

    l_MP = l_GT + alpha (l_KSD + l_KA)                                                             (equation 4)

on the labels of the new keypoints, the teacher's maps of the old ones, and KA-Net's map of one old keypoint of each
triple. Its trunk and the new channels of its head move; gradients reach the trunk through the old channels, which stay
as they are. All three networks see the same augmented image.

Rivals are this method with another objective (`incremental_objectives`), and a Tracker where they keep statistics.
"""
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.heatmaps import Codec
from kpjax.losses.objective import Objective, total, views, without
from kpjax.methods.forward import Normalise, augmented, initial_variables, train_pass, unit_range
from kpjax.methods.incremental_learning.association_forward import (
    answered,
    association_pass,
    checked_association,
    initial_association,
    labelled_triples,
    rerendered,
)
from kpjax.methods.incremental_learning.objectives import DISTILLATION, NEW_KEYPOINTS
from kpjax.methods.incremental_learning.pseudo_label_confidence import Confidence
from kpjax.methods.incremental_learning.step_spec import (
    Increment,
    head_channels,
    increment_of,
    needed,
    with_new_channels,
)
from kpjax.models.association import AssociationNetwork
from kpjax.models.network import KeypointNetwork
from kpjax.optimization import LearningRate, descend
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Skeleton,
    Start,
    Streams,
    Trained,
    Variables,
    named_key,
)

STREAM = "labelled"
KEPT = ("anchor", "importance")  # trees of the start that terms read as they are
OUTPUTS = ("heatmaps", "coarse", "teacher", "association", "confidence", "parameters", "tracked", *KEPT)
BALANCE_DECAY = 0.99
LARGEST_BALANCE = 1e5


class Tracker(NamedTuple):
    """What a rival accumulates from update to update, in the state's field `tracked`."""

    init: Callable[[Any, Start], Any]  # (parameters, start) -> tree
    after_update: Callable[..., Any]  # (tree, *, gradient, plain_gradient, old, new) -> tree; old, new: parameters
    needs_plain_gradient: bool = False  # of the term `new_keypoints` alone; None is handed over otherwise


class State(NamedTuple):
    """Of `incremental`."""

    step: jax.Array
    variables: Variables
    optimizer_state: optax.OptState
    tracked: Any  # a Tracker's; {} without one
    gradient_norms: jax.Array  # (2,) float32, averages of those of new_keypoints and of the rest; 0 if not balanced
    frozen: Mapping[str, Any]  # increment, and what the terms read of teacher, association, anchor, importance


def incremental(
    model: KeypointNetwork,
    skeleton: Skeleton,
    *,
    objective: Objective,
    codec: Codec,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    augment: Augment,
    normalise: Normalise,
    association: nn.Module | None = None,
    rerender: bool = False,
    freeze_old_heads: bool = True,
    freeze_statistics: bool = False,
    confidence: Confidence | None = None,
    balance: float | None = None,
    track: Tracker | None = None,
) -> Method:
    """Builds the method; it reads the stream `labelled`, of which the new keypoints have labels.

    model: with a channel for each keypoint of the whole protocol, K; `points` names them.
    objective: as `incremental_objective` makes it. Its terms get (outputs, {"labelled": the augmented batch}). Always
        in outputs are "increment", "parameters" (those in training), "tracked" and "labelled_triples" (B, T). By the
        names that a term reads: "heatmaps" (B, h, w, K) of the student, "teacher" (B, h, w, K), "association"
        (B, h, w, T) and beside it "association_peaks" (B, T) of KA-Net's own maps, "confidence" (B, K), "anchor" and
        "importance" (trees like the parameters), and "coarse" (the student's maps at every depth of a network that has
        several, the last being "heatmaps"). What no term reads is not computed. `Increment.weights` multiplies terms by
        name.
    optimizer: without its learning rate. learning_rate: of the step, one for all or one for each top-level name.
    association: KA-Net, the same as in the first stage; None is `AssociationNetwork()`.
    rerender: its map is replaced by the codec's Gaussian at its arg-max.
    freeze_old_heads: head channels of old keypoints stay bit-identical; those of unknown ones do in any case.
    freeze_statistics: the student runs on its stored BatchNorm statistics, and keeps them.
    confidence: which pseudo-labels to believe; None believes all.
    balance: where given, all terms but `new_keypoints` are multiplied by a factor which holds the norm of their
        gradient at this multiple of that of `new_keypoints`, both averaged over about 100 steps.
    track: statistics of the path of the parameters.

    start: `teacher`, the old model's variables, from which the student is copied; without it `variables`, or a fresh
    network. With a teacher the new channels of the head are drawn afresh. `increment`, by default as `increment_of`
    says. `association`, the first stage's variables, see `checked_association`. `anchor`, `importance`. Raises
    InputError from `init` for a tree that a term reads and the start lacks, and ValueError for an unknown name.

    predict: maps of keypoints that are neither old nor new are 0, and so are their scores.
    """
    read = views(objective)
    if unknown := sorted(read - set(OUTPUTS)):
        raise ValueError(f"incremental has no output {unknown[0]!r}; its terms may read {', '.join(OUTPUTS)}")
    ka_net = association or AssociationNetwork()
    doubted = confidence is not None and "confidence" in read
    taught = "teacher" in read or "association" in read or doubted
    keypoints = len(skeleton.names)
    new_alone = {name: term for name, term in objective.items() if name == NEW_KEYPOINTS}
    others = without(objective, *new_alone)
    separate = balance is not None or (track is not None and track.needs_plain_gradient)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        required = {"teacher": taught, "association": "association" in read} | {name: name in read for name in KEPT}
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
        if taught:
            frozen["teacher"] = {name: given["teacher"][name] for name in fresh}
        if "association" in read:
            nets = initial_association(
                ka_net, named_key(key, "association"), model, images, fresh, step.triples.shape[0])
            frozen["association"] = checked_association(nets, given["association"])
        params = variables["params"]
        tracked = track.init(params, start) if track is not None else {}
        return State(jnp.int32(0), variables, optimizer.init(params), tracked, jnp.zeros(2, jnp.float32), frozen)

    def frozen_outputs(state: State, view: Example) -> dict[str, Any]:
        """All that does not depend on the parameters in training."""
        step = increment_of(state.frozen, keypoints)
        outputs = {"increment": step, "tracked": state.tracked, "labelled_triples": labelled_triples(
            codec, view, step.triples)} | {name: state.frozen[name] for name in KEPT if name in read}
        images = normalise(view.image)
        if taught:
            teacher = state.frozen["teacher"]
            features, outputs["teacher"] = answered(model, teacher, images)
        if "association" in read:
            maps, _ = association_pass(ka_net, state.frozen["association"], codec, features, view, step.triples)
            outputs["association"] = rerendered(codec, maps) if rerender else maps
            outputs["association_peaks"] = maps.max((1, 2))
        outputs["confidence"] = jnp.ones((view.image.shape[0], keypoints), jnp.float32)
        if doubted:
            outputs["confidence"] = confidence(
                lambda moved: answered(model, teacher, normalise(moved))[1], view.image, outputs["teacher"],
                step.threshold)
        return jax.lax.stop_gradient(outputs)

    def student(params, statistics, images):
        """Outputs of the network in training, and its statistics afterwards."""
        if not read & {"heatmaps", "coarse"}:
            return {}, statistics
        method = "all_heatmaps" if "coarse" in read else None
        if freeze_statistics:
            answer = model.apply({"params": params, "batch_stats": statistics}, images, train=False, method=method)
        else:
            answer, statistics = train_pass(model, params, statistics, images, method=method)
        return ({"heatmaps": answer[-1], "coarse": answer} if "coarse" in read else {"heatmaps": answer}), statistics

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        seen = augmented(augment, {STREAM: streams[STREAM]}, key)
        given = frozen_outputs(state, seen[STREAM])
        step: Increment = given["increment"]
        trainable = head_channels(
            state.variables["params"], step.new if freeze_old_heads else jnp.maximum(step.old, step.new))

        def losses(params):
            """((new_keypoints, the rest), (metrics, statistics)), both weighted."""
            answers, statistics = student(params, state.variables["batch_stats"], normalise(seen[STREAM].image))
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

        old, norms, factor, plain_gradient = state.variables["params"], state.gradient_norms, jnp.float32(1), None
        if separate:
            (plain, rest), pull, (metrics, statistics) = jax.vjp(losses, old, has_aux=True)
            one, none = jnp.float32(1), jnp.float32(0)
            plain_gradient, of_rest = (of_trainable(pull(pair)[0]) for pair in ((one, none), (none, one)))
            if balance is not None:
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
        moved, optimizer_state = descend(optimizer, gradient, state.optimizer_state, old, learning_rate, state.step)
        # Weight decay and old moments move parameters that have no gradient.
        new = jax.tree.map(jnp.where, trainable, moved, old)
        tracked = state.tracked if track is None else track.after_update(
            state.tracked, gradient=gradient, plain_gradient=plain_gradient, old=old, new=new)
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

    return Method(init, update, predict, (STREAM,), skeleton)


def _balanced(ratio: float, norms: jax.Array, plain, rest, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(averages of the two gradients' norms, the factor of the rest's). The first steps average over all so far."""
    share = jnp.maximum(1 - BALANCE_DECAY, 1 / (step.astype(jnp.float32) + 1))
    now = jnp.stack([optax.tree.norm(plain), optax.tree.norm(rest)])
    norms = norms + share * (now - norms)
    # At the first step the student is its teacher, and there may be nothing to balance.
    factor = ratio * norms[0] / jnp.maximum(norms[1], 1e-12)
    return norms, jnp.minimum(factor, LARGEST_BALANCE)
