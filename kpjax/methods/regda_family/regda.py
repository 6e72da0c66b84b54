"""Regressive domain adaptation (Jiang et al., CVPR 2021): labels in one domain, unlabelled images
of another.

A main regressor f and an adversarial regressor f' read the features psi of one network. Each
iteration has three steps, all of them minimisations:

A. source: f fits the labels and f' fits f's own predictions (weight gamma);
B. target: f' alone moves to where a wrong prediction would lie, for keypoints mostly on another
keypoint. This is the
*ground-false* map, the union of f's predictions for the other keypoints;
C. target: psi alone moves so that f' agrees again with f's prediction (the *ground-truth* map),
through a gradient scaled by lambda(step).

No gradient reaches f from B, C or the disparity of A: the maps are rendered at f's arg-max and are
constants.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.heatmaps import Codec
from kpjax.losses import adversarial
from kpjax.losses.gradient_scaling import scale_gradient, warm_start
from kpjax.losses.heatmap import heatmap_kl
from kpjax.losses.objective import Objective, Term, check_objective, total, views as views_read
from kpjax.methods import forward
from kpjax.methods.gradient_step import gradient_steps
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables, require_parts
from kpjax.optimization import Schedule, descend, group_rates, schedule_of
from kpjax.structures import Example, Method, Metrics, Start, Streams, Variables, named_key

FEATURES = ("backbone", "upsampling")  # psi in the paper


class State(NamedTuple):
    """The state of `regda`, `mcd` and `dd`.

    Optimizer states are by group: features (psi), head (f), adversary (f', in `mcd` the second
    head).
    """

    step: jax.Array
    variables: Variables  # psi and f
    adversary: Variables  # f'
    optimizer_state: Mapping[str, optax.OptState]
    frozen: Mapping[str, Any]  # empty


class Supervision(NamedTuple):
    """Reading of the source by f: of the view `source`."""

    logits: jax.Array  # (B, h, w, K)
    labels: jax.Array  # (B, h, w, K)
    weights: jax.Array  # (B, K)


class Disparity(NamedTuple):
    """Reading of one domain by f': of the views `source_disparity`, `target_false` and
    `target_truth`.
    """

    logits: jax.Array  # logits of f', (B, h, w, K)
    maps: adversarial.PseudoMaps  # maps of f
    weights: jax.Array  # (B, K)


SOURCE, SOURCE_DISPARITY = "source", "source_disparity"  # the views of step A
TARGET_FALSE, TARGET_TRUTH = "target_false", "target_truth"  # the views of steps B and C


def disparity_term(
    weight: float,
    loss: Callable[[jax.Array, adversarial.PseudoMaps, jax.Array], jax.Array],
    view: str,
) -> Term:
    """Builds a term that compares f' with f's maps. loss: `(logits of f', maps, weights)`; view:
    SOURCE_DISPARITY, or a view of the target."""
    return Term(weight, lambda outputs, streams: loss(*outputs[view]), (view,))


def regda_objective(
    *,
    margin: float = 4.0,
    disagree: Callable[
        [jax.Array, adversarial.PseudoMaps, jax.Array], jax.Array
    ] = adversarial.maximum_disparity,
) -> Objective:
    """Builds the objective: the labels, the agreement of f' with f on the source, and both games on
    the target.

    These are the terms `supervised` and `source_disparity` of step A, `target_false` of step B,
    `target_truth` of step C. The step of a term is that of the view which it reads. `margin` is
    gamma, and eta is 1, as in the authors' code. `disagree` is the loss of step B, `(logits of f',
    maps, weights)`, which is minimised.
    """
    return {
        "supervised": Term(1.0, lambda outputs, streams: heatmap_kl(*outputs[SOURCE]), (SOURCE,)),
        "source_disparity": disparity_term(margin, adversarial.minimum_disparity, SOURCE_DISPARITY),
        "target_false": disparity_term(1.0, disagree, TARGET_FALSE),
        "target_truth": disparity_term(1.0, adversarial.minimum_disparity, TARGET_TRUTH),
    }


def all_keypoints(example: Example) -> jax.Array:
    """Returns weight 1 for every target keypoint: no label is used (the authors' code reads
    visibility here).
    """
    return jnp.ones(example.visible.shape, jnp.float32)


def labels_of_source(codec: Codec, source: Example) -> tuple[jax.Array, jax.Array]:
    """Returns the maps of the source's labels (B, h, w, K) and weights (B, K): 0, too, of keypoints
    that are known to be absent. A softmax has no empty map to learn, and f' none to agree with.
    """
    labels, weights = codec.encode(source)
    return labels, jnp.where(source.visible < -0.5, 0.0, weights)


def nothing_positive(logits: jax.Array) -> jax.Array:
    """Computes the share of maps (B, h, w, K) without a positive logit, which the authors' decoder
    puts at (0, 0).
    """
    return (logits.max((1, 2)) <= 0).mean(dtype=jnp.float32)


def regda(
    setup: Setup,
    *,
    objective: Objective,
    adversary: nn.Module | None = None,
    coefficient: Schedule = warm_start,
    pseudo_maps: Callable[[jax.Array], adversarial.PseudoMaps] = adversarial.ground_false_by_others,
    target_weights: Callable[[Example], jax.Array] = all_keypoints,
    carried: tuple[str, ...] = FEATURES,
) -> Method:
    """Builds RegDA; it reads the streams `source` (labelled) and `target` (no labels needed).

    B and C, which see the same features of the target, share one pass; the running statistics of
    the second one follow in closed form. The start may have `variables` of the source pretraining.

    Args:
        setup: features psi and head f of the model are used separately. Learning rates are those of
            `features`, `head` and `adversary`, each with an optimizer state of its own. That of the
            features is stepped in A and in C, that of the adversary in A and in B, as in the
            authors' code.
        objective: of `regda_objective`, or an ablation of it. A step without a term is not run.
        adversary: the head f'; None for one like the model's.
        coefficient: lambda, a function of the step (float32).
        pseudo_maps: main logits (B, h, w, K) -> ground-truth and ground-false maps.
        target_weights: target example -> (B, K), the weights of a target image's keypoints.
        carried: parts of `start['variables']` to take over; the authors' code carries psi only and
            starts both heads fresh.

    Raises:
        ValueError: a term reads views of two steps, or a view that RegDA does not have.
        TypeError: the objective is no mapping from names to terms.
        InputError: the model has no features and head, or the optimizer holds its learning rate.
    """
    check_objective(objective)
    require_parts(setup.model, "regda")
    model, optimizer, normalise = setup.model, setup.optimizer, setup.normalise
    in_a, in_b, in_c = (
        _terms_of(objective, views)
        for views in ({SOURCE, SOURCE_DISPARITY}, {TARGET_FALSE}, {TARGET_TRUTH})
    )
    if wrong := sorted(set(objective) - {*in_a, *in_b, *in_c}):
        raise ValueError(
            f"objective: term {wrong[0]!r} reads {', '.join(objective[wrong[0]].reads) or 'nothing'}; a "
            f"term reads {SOURCE} and {SOURCE_DISPARITY}, or {TARGET_FALSE}, or {TARGET_TRUTH}"
        )
    moved_in_a: tuple[str, ...] = ("features", "head")
    if SOURCE_DISPARITY in views_read(in_a):
        moved_in_a += ("adversary",)
    head = model.head
    adversary_head = head if adversary is None else adversary

    def features_pass(params, statistics, images):
        """Computes psi of normalised images, and the statistics of its two parts after the pass."""
        features, after = forward.train_pass(model, params, statistics, images, method="features")
        return features, {name: after[name] for name in FEATURES if name in after}

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = forward.empty_images(setup.augment, streams, "source")
        variables = initial_variables(setup, named_key(key, "model"), images, start, carried)
        shape = jax.eval_shape(
            lambda: model.apply(variables, images, train=False, method="features")
        )
        fresh = adversary_head.init(
            named_key(key, "adversary"), jnp.zeros(shape.shape, shape.dtype), train=False
        )
        adversary_variables = {
            "params": fresh["params"],
            "batch_stats": fresh.get("batch_stats", {}),
        }
        params = variables["params"]
        states = {
            "features": optimizer.init({name: params[name] for name in FEATURES if name in params}),
            "head": optimizer.init(params["head"]),
            "adversary": optimizer.init(adversary_variables["params"]),
        }
        return State(jnp.int32(0), variables, adversary_variables, states, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = forward.prepare_streams(
            setup.augment, forward.named_streams(streams, ("source", "target")), key
        )
        source, target = normalise(views["source"].image), normalise(views["target"].image)
        labels, label_weights = labels_of_source(setup.codec, views["source"])
        weights = target_weights(views["target"])
        scale = coefficient(state.step.astype(jnp.float32))
        params = {
            "features": {
                name: tree for name, tree in state.variables["params"].items() if name in FEATURES
            },
            "head": state.variables["params"]["head"],
            "adversary": state.adversary["params"],
        }
        statistics = dict(state.variables["batch_stats"])
        head_statistics = statistics.pop("head", {})
        adversary_statistics = state.adversary["batch_stats"]

        def step_down(group, gradient):
            params[group], optimizer_state[group] = descend(
                optimizer,
                gradient,
                optimizer_state[group],
                params[group],
                schedule_of(setup.learning_rate, group),
                state.step,
            )

        # Step A: source.
        def fit_source(params):
            features, after = features_pass(params["features"], statistics, source)
            logits, head_after = forward.train_pass(head, params["head"], head_statistics, features)
            outputs, adversary_after = (
                {SOURCE: Supervision(logits, labels, label_weights)},
                adversary_statistics,
            )
            if "adversary" in moved_in_a:
                adversary_logits, adversary_after = forward.train_pass(
                    adversary_head,
                    params["adversary"],
                    adversary_statistics,
                    scale_gradient(features, scale),
                )
                outputs[SOURCE_DISPARITY] = Disparity(
                    adversary_logits, pseudo_maps(logits), label_weights
                )
            value, parts = total(in_a, outputs, views)
            return value, (parts, (after, head_after, adversary_after))

        moved, optimizer_state, (statistics, head_statistics, adversary_statistics), metrics = (
            gradient_steps(
                fit_source,
                {group: params[group] for group in moved_in_a},
                state,
                optimizer,
                setup.learning_rate,
            )
        )
        params |= moved

        if in_b or in_c:

            def target_features(features_params):
                return features_pass(features_params, statistics, target)

            features, back_to_params, after = jax.vjp(
                target_features, params["features"], has_aux=True
            )
            logits, head_after = forward.train_pass(head, params["head"], head_statistics, features)
            if in_b and in_c:  # each has a pass of its own
                after = forward.statistics_after_second_pass(statistics, after)
                head_after = forward.statistics_after_second_pass(head_statistics, head_after)
            maps, statistics, head_statistics = pseudo_maps(logits), after, head_after
            metrics |= {"nothing_positive/target": nothing_positive(logits)}

        # Step B: target, adversary only.
        if in_b:

            def leave_truth(adversary_params):
                adversary_logits, adversary_after = forward.train_pass(
                    adversary_head, adversary_params, adversary_statistics, features
                )
                false, parts = total(
                    in_b, {TARGET_FALSE: Disparity(adversary_logits, maps, weights)}, views
                )
                return false, (parts, adversary_after)

            (_, (parts, adversary_statistics)), false_gradient = jax.value_and_grad(
                leave_truth, has_aux=True
            )(params["adversary"])
            step_down("adversary", false_gradient)
            metrics |= parts | {"gradient_norm/adversary": optax.tree.norm(false_gradient)}

        # Step C: target, features only.
        if in_c:

            def return_to_truth(features):
                adversary_logits, adversary_after = forward.train_pass(
                    adversary_head,
                    params["adversary"],
                    adversary_statistics,
                    scale_gradient(features, scale),
                )
                truth, parts = total(
                    in_c, {TARGET_TRUTH: Disparity(adversary_logits, maps, weights)}, views
                )
                return truth, (parts, adversary_after)

            (_, (parts, adversary_statistics)), features_gradient = jax.value_and_grad(
                return_to_truth, has_aux=True
            )(features)
            (truth_gradient,) = back_to_params(features_gradient)
            step_down("features", truth_gradient)
            metrics |= parts | {"gradient_norm/features_target": optax.tree.norm(truth_gradient)}

        head_part = {"head": head_statistics} if "head" in state.variables["batch_stats"] else {}
        variables = {
            "params": params["features"] | {"head": params["head"]},
            "batch_stats": statistics | head_part,
        }
        adversary_variables = {"params": params["adversary"], "batch_stats": adversary_statistics}
        return State(
            state.step + 1, variables, adversary_variables, optimizer_state, state.frozen
        ), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        ("source", "target"),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


def _terms_of(objective: Objective, views: set[str]) -> Objective:
    """Returns the terms that read some of these views and no others."""
    return {
        name: term for name, term in objective.items() if term.reads and set(term.reads) <= views
    }
