"""Domain adaptation by two regressors that disagree: MCD (Saito et al. 2018) and DD (Zhang et al.
2019), on heatmaps.

Both play a literal min-max game where RegDA has two minimisations, and are its nearest baselines.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kpjax.losses import adversarial
from kpjax.losses.domain_distances import softmax_discrepancy
from kpjax.losses.gradient_scaling import scale_gradient, warm_start
from kpjax.losses.heatmap import heatmap_kl
from kpjax.methods.forward import empty_images, named_streams, prepare_streams, train_pass
from kpjax.methods.gradient_step import gradient_steps
from kpjax.methods.regda_family.regda import (
    FEATURES,
    State,
    all_keypoints,
    labels_of_source,
    nothing_positive,
)
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables, require_parts
from kpjax.models.network import KeypointNetwork
from kpjax.optimization import Schedule, descend, group_rates, schedule_of
from kpjax.structures import Example, Method, Metrics, Start, Streams, named_key


class _Groups(NamedTuple):
    """Parameters, or BatchNorm statistics, by group."""

    features: Any
    head: Any
    adversary: Any


def _init(setup: Setup, carried: tuple[str, ...]):
    require_parts(setup.model, "a method with two regressors")
    model = setup.model
    optimizer = setup.optimizer

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(setup.augment, streams, "source")
        variables = initial_variables(setup, named_key(key, "model"), images, start, carried)
        shape = jax.eval_shape(
            lambda: model.apply(variables, images, train=False, method="features")
        )
        fresh = model.head.init(
            named_key(key, "adversary"), jnp.zeros(shape.shape, shape.dtype), train=False
        )
        adversary = {"params": fresh["params"], "batch_stats": fresh.get("batch_stats", {})}
        groups = _split(variables["params"], adversary["params"])
        states = {name: optimizer.init(tree) for name, tree in groups._asdict().items()}
        return State(jnp.int32(0), variables, adversary, states, {})

    return init


def _split(tree, adversary) -> _Groups:
    return _Groups(
        {name: tree[name] for name in FEATURES if name in tree}, tree.get("head", {}), adversary
    )


def _state(state: State, params: _Groups, statistics: _Groups, optimizer_state) -> State:
    head = {"head": statistics.head} if "head" in state.variables["batch_stats"] else {}
    variables = {
        "params": params.features | {"head": params.head},
        "batch_stats": statistics.features | head,
    }
    adversary = {"params": params.adversary, "batch_stats": statistics.adversary}
    return State(state.step + 1, variables, adversary, optimizer_state, state.frozen)


def _two_heads(
    model: KeypointNetwork, params: _Groups, statistics: _Groups, images: jax.Array, behind
):
    """Runs both heads on features of normalised images; `behind` stands between features and second
    head.
    """
    features, after = train_pass(
        model, params.features, statistics.features, images, method="features"
    )
    first, head_after = train_pass(model.head, params.head, statistics.head, features)
    second, adversary_after = train_pass(
        model.head, params.adversary, statistics.adversary, behind(features)
    )
    features_after = {name: after[name] for name in FEATURES if name in after}
    return first, second, _Groups(features_after, head_after, adversary_after)


def dd(
    setup: Setup,
    *,
    margin: float = 4.0,
    coefficient: Schedule = warm_start,
    pseudo_maps: Callable[[jax.Array], adversarial.PseudoMaps] = adversarial.ground_false_by_others,
    target_weights: Callable[[Example], jax.Array] = all_keypoints,
    carried: tuple[str, ...] = FEATURES,
) -> Method:
    """Trains by disparity discrepancy on heatmaps, with the streams and the start of `regda`.

    The adversary agrees with f on the source and disagrees on the target; the features do the
    opposite through a reversed gradient. The disparity is the KL divergence to the map rendered at
    f's arg-max, as RegDA's. Here it is maximised literally.

    Args:
        margin: weight of the source's disparity relative to the target's.
        coefficient: of the reversed gradient, a function of the step.
        pseudo_maps: main logits (B, h, w, K) -> maps; only the ground truth is used.
        The others are as in `regda`.
    """
    model = setup.model
    normalise = setup.normalise

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = prepare_streams(setup.augment, named_streams(streams, ("source", "target")), key)
        labels, label_weights = labels_of_source(setup.codec, views["source"])
        statistics = _split(state.variables["batch_stats"], state.adversary["batch_stats"])
        weights = target_weights(views["target"])
        scale = coefficient(state.step.astype(jnp.float32))

        def reverse(features):
            return scale_gradient(features, -scale)

        def objective_of(groups):
            params = _Groups(**groups)
            logits, adversary, after = _two_heads(
                model, params, statistics, normalise(views["source"].image), reverse
            )
            target_logits, target_adversary, after = _two_heads(
                model, params, after, normalise(views["target"].image), reverse
            )
            supervised = heatmap_kl(logits, labels, label_weights)
            source_disparity = adversarial.minimum_disparity(
                adversary, pseudo_maps(logits), label_weights
            )
            target_disparity = adversarial.minimum_disparity(
                target_adversary, pseudo_maps(target_logits), weights
            )
            value = supervised + (margin * source_disparity - target_disparity)
            parts = {
                "loss/supervised": supervised,
                "loss/source_disparity": source_disparity,
                "loss/target_disparity": target_disparity,
                "nothing_positive/target": nothing_positive(target_logits),
            }
            return value, (parts, after)

        params = _split(state.variables["params"], state.adversary["params"])
        moved, states, after, metrics = gradient_steps(
            objective_of, params._asdict(), state, setup.optimizer, setup.learning_rate
        )
        return _state(state, _Groups(**moved), after, states), metrics

    return Method(
        _init(setup, carried),
        update,
        heatmap_predict(setup),
        ("source", "target"),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


FEATURE_STEPS = 4  # steps of the features in an iteration of `mcd`


def mcd(setup: Setup, *, trade_off: float = 1.0, carried: tuple[str, ...] = FEATURES) -> Method:
    """Trains by maximum classifier discrepancy on heatmaps, with the streams, the start and the
    arguments of `regda`.

    Two equal heads learn the source and are driven apart on the target. The features then bring
    them together, FEATURE_STEPS times per iteration. The discrepancy, of weight `trade_off`, is the
    mean absolute difference of the two spatial softmaxes times the number of cells, so that it does
    not vanish on large maps. The prediction is the first head's.
    """
    model = setup.model
    normalise = setup.normalise

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = prepare_streams(setup.augment, named_streams(streams, ("source", "target")), key)
        source = normalise(views["source"].image)
        target = normalise(views["target"].image)
        labels, label_weights = labels_of_source(setup.codec, views["source"])
        params = _split(state.variables["params"], state.adversary["params"])
        statistics = _split(state.variables["batch_stats"], state.adversary["batch_stats"])
        states = dict(state.optimizer_state)
        metrics = {}

        def fit_source(params, statistics):
            first, second, after = _two_heads(
                model, params, statistics, source, lambda features: features
            )
            return heatmap_kl(first, labels, label_weights) + heatmap_kl(
                second, labels, label_weights
            ), after

        def discrepancy(params, statistics):
            first, second, after = _two_heads(
                model, params, statistics, target, lambda features: features
            )
            _, height, width, _ = first.shape
            return height * width * softmax_discrepancy(first, second), after

        def drive_apart(params, statistics):
            supervised, after = fit_source(params, statistics)
            apart, after = discrepancy(params, after)
            return supervised - trade_off * apart, after

        def bring_together(params, statistics):
            apart, after = discrepancy(params, statistics)
            return trade_off * apart, after

        def minimise(loss, groups, params, statistics):
            """Takes one step of some groups; the others are constants, so that nothing is computed
            for them.
            """
            moving = {name: getattr(params, name) for name in groups}
            (value, after), gradient = jax.value_and_grad(
                lambda moving: loss(params._replace(**moving), statistics), has_aux=True
            )(moving)
            for name in groups:
                moving[name], states[name] = descend(
                    setup.optimizer,
                    gradient[name],
                    states[name],
                    moving[name],
                    schedule_of(setup.learning_rate, name),
                    state.step,
                )
            return value, optax.tree.norm(gradient), params._replace(**moving), after

        supervised, norm, params, statistics = minimise(
            fit_source, _Groups._fields, params, statistics
        )
        metrics |= {
            "loss/total": supervised,
            "loss/supervised": supervised,
            "gradient_norm/all": norm,
        }
        value, norm, params, statistics = minimise(
            drive_apart, ("head", "adversary"), params, statistics
        )
        metrics |= {"loss/drive_apart": value, "gradient_norm/heads": norm}
        for _ in range(FEATURE_STEPS):
            value, norm, params, statistics = minimise(
                bring_together, ("features",), params, statistics
            )
        metrics |= {"loss/bring_together": value, "gradient_norm/features": norm}
        return _state(state, params, statistics, states), metrics

    return Method(
        _init(setup, carried),
        update,
        heatmap_predict(setup),
        ("source", "target"),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
