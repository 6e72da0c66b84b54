"""Domain adaptation by matching features: AdaBN (Li et al. 2016), DAN (Long et al. 2015) and DANN
(Ganin et al. 2016).

AdaBN replaces the BatchNorm statistics of a trained network by those of the target domain, and
nothing else. It is the cheap control of domain adaptation: it learns no parameter, and takes most
of the gain wherever the domains differ in colour and contrast.

DAN and DANN add one term on the pooled features of the backbone to the supervised heatmap loss on
the source. They were made for classification and are baselines of RegDA here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.losses.domain_distances import domain_confusion, multi_kernel_mmd
from kpjax.losses.gradient_scaling import scale_gradient, warm_start
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    check_equal_batches,
    deinterleave,
    empty_images,
    interleave,
    named_streams,
    prepare_streams,
    train_pass,
)
from kpjax.methods.gradient_step import gradient_steps
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.models.layers import MOMENTUM, BatchNorm, batch_norm_groups
from kpjax.optimization import Schedule, group_rates, schedule_of
from kpjax.structures import Method, Metrics, Start, Streams, Variables, named_key

# AdaBN


class BatchStatisticsState(NamedTuple):
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


def adabn(setup: Setup) -> Method:
    """Replaces all running statistics by those of the unlabelled stream `target`, pooled over all
    batches seen.

    After n updates they are the mean, and the mean of the batches' unbiased variances, as BatchNorm
    keeps them, plus the variance of their means. Earlier layers see each batch's own statistics, as
    they do in training. Where BatchNorm normalises groups of a batch, each group counts as a batch.
    The start has the `variables` of the trained network.

    Args:
        setup: with the augmentation that the network was trained under; plain images have other
            statistics. Optimizer and learning rate are not used.
    """
    # which would be normalised by those of zero, and stay zero
    if getattr(setup.model, "frozen_statistics", False):
        setup = setup._replace(model=setup.model.clone(frozen_statistics=False))

    def init(key: jax.Array, streams: Streams, start: Start) -> BatchStatisticsState:
        images = empty_images(setup.augment, streams, "target")
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        zeros = _each_norm(lambda norm: jnp.zeros_like(norm["mean"]), variables["batch_stats"])
        return BatchStatisticsState(jnp.int32(0), variables, zeros, zeros, {})

    def measured(variables: Variables, images: jax.Array) -> tuple[Any, Any]:
        """Returns the means and variances of a batch, and the squares of its means, each as the mean
        over groups.
        """
        # Running statistics that start at zero become (1 - momentum) times the batch's own.
        zeros = jax.tree.map(jnp.zeros_like, variables["batch_stats"])

        def of_group(images: jax.Array) -> Any:
            _, scaled = train_pass(setup.model, variables["params"], zeros, images)
            return jax.tree.map(lambda leaf: leaf / (1 - MOMENTUM), scaled)

        def squared_means(batch: Any) -> Any:
            return _each_norm(lambda norm: jnp.square(norm["mean"]), batch)

        groups = batch_norm_groups.value
        if groups == 1:
            batch = of_group(images)
            return batch, squared_means(batch)
        # BatchNorm's own mean over groups has lost how far their means lie apart.
        with batch_norm_groups(1):
            each = jax.vmap(of_group)(images.reshape(groups, -1, *images.shape[1:]))
        return jax.tree.map(lambda leaf: leaf.mean(0), (each, squared_means(each)))

    def update(
        state: BatchStatisticsState, streams: Streams, key: jax.Array
    ) -> tuple[BatchStatisticsState, Metrics]:
        view = prepare_streams(setup.augment, named_streams(streams, ("target",)), key)["target"]
        batch, squares = measured(state.variables, setup.normalise(view.image))
        mean_sum = _each_norm(lambda norm, s: s + norm["mean"], batch, state.mean_sum)
        square_sum = _each_norm(
            lambda norm, square, s: s + norm["var"] + square, batch, squares, state.square_sum
        )
        count = (state.step + 1).astype(jnp.float32)

        def pooled(norm, means, squares):
            mean = means / count
            variance = squares / count - jnp.square(mean)
            return {"mean": mean, "var": jnp.maximum(variance, 0)}

        statistics = _each_norm(pooled, state.variables["batch_stats"], mean_sum, square_sum)
        moved = sum(
            jnp.abs(new - old).mean()
            for new, old in zip(
                jax.tree.leaves(statistics),
                jax.tree.leaves(state.variables["batch_stats"]),
                strict=True,
            )
        )
        variables = {"params": state.variables["params"], "batch_stats": statistics}
        metrics = {
            "loss/total": jnp.float32(0),
            "statistics/moved": jnp.asarray(moved, jnp.float32),
        }
        return BatchStatisticsState(
            state.step + 1, variables, mean_sum, square_sum, state.frozen
        ), metrics

    return Method(init, update, heatmap_predict(setup), ("target",), setup.skeleton)


class State(NamedTuple):
    """The state of `dan` and `dann`; `discriminator` is empty in `dan`."""

    step: jax.Array
    variables: Variables
    discriminator: Variables
    optimizer_state: Mapping[str, optax.OptState]
    frozen: Mapping[str, Any]  # empty


class DomainDiscriminator(nn.Module):
    """Pooled features (B, C) -> probability (B,) of the source domain: two hidden layers with
    BatchNorm.
    """

    width: int = 1024

    @nn.compact
    def __call__(self, features, train: bool):
        x = features.astype(jnp.float32)
        for layer in range(2):
            x = nn.Dense(self.width, name=f"layer{layer}")(x)
            x = nn.relu(BatchNorm(name=f"norm{layer}")(x, train))
        return nn.sigmoid(nn.Dense(1, name="out")(x))[:, 0]


def _pool(backbone_features) -> jax.Array:
    """Averages the deepest feature map (B, h, w, C) over space, in float32."""
    return backbone_features[-1].astype(jnp.float32).mean((1, 2))


def _feature_matching(
    setup: Setup, objective: Objective, discriminator: nn.Module | None, coefficient: Schedule
) -> Method:
    model = setup.model
    optimizer = setup.optimizer
    learning_rate = setup.learning_rate

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches(named_streams(streams, ("source", "target")))
        images = empty_images(setup.augment, streams, "source")
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        states = {"model": optimizer.init(variables["params"])}
        discriminator_variables = {}
        if discriminator is not None:
            features = jax.eval_shape(
                lambda: _pool(
                    model.apply(variables, images, train=False, method="backbone_features")
                )
            )
            fresh = discriminator.init(
                named_key(key, "discriminator"),
                jnp.zeros(features.shape, features.dtype),
                train=False,
            )
            discriminator_variables = {
                "params": fresh["params"],
                "batch_stats": fresh["batch_stats"],
            }
            states["discriminator"] = optimizer.init(fresh["params"])
        return State(jnp.int32(0), variables, discriminator_variables, states, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        views = prepare_streams(setup.augment, named_streams(streams, ("source", "target")), key)
        source = setup.normalise(views["source"].image)
        target = setup.normalise(views["target"].image)
        scale = coefficient(state.step.astype(jnp.float32))

        def objective_of(params):
            source_maps, after = train_pass(
                model,
                params["model"],
                state.variables["batch_stats"],
                source,
                method="backbone_features",
            )
            features, after = train_pass(
                model, params["model"], after, source_maps, method="upsample"
            )
            heatmaps, after = train_pass(model, params["model"], after, features, method="regress")
            target_maps, after = train_pass(
                model, params["model"], after, target, method="backbone_features"
            )
            # The target passes through the rest, too: without it BatchNorm there would know the
            # source alone.
            target_features, after = train_pass(
                model, params["model"], after, target_maps, method="upsample"
            )
            _, after = train_pass(model, params["model"], after, target_features, method="regress")
            outputs = {
                "source": heatmaps,
                "source_features": _pool(source_maps),
                "target_features": _pool(target_maps),
            }
            discriminator_after = {}
            if discriminator is not None:
                # The reversed gradient makes the features indistinguishable to the discriminator.
                both = scale_gradient(
                    interleave(outputs["source_features"], outputs["target_features"]), -scale
                )
                probabilities, discriminator_after = train_pass(
                    discriminator, params["discriminator"], state.discriminator["batch_stats"], both
                )
                outputs["source_probability"], outputs["target_probability"] = deinterleave(
                    probabilities, 2
                )
            value, parts = total(objective, outputs, views)
            return value, (parts, (after, discriminator_after))

        params = {"model": state.variables["params"]}
        rates = {
            "model": {
                name: schedule_of(learning_rate, "head" if name == "head" else "features")
                for name in params["model"]
            }
        }
        if discriminator is not None:
            params["discriminator"] = state.discriminator["params"]
            rates["discriminator"] = schedule_of(learning_rate, "adversary")
        params, states, (statistics, discriminator_after), metrics = gradient_steps(
            objective_of, params, state, optimizer, rates
        )
        variables = {"params": params["model"], "batch_stats": statistics}
        discriminator_variables = (
            {}
            if discriminator is None
            else {"params": params["discriminator"], "batch_stats": discriminator_after}
        )
        return State(
            state.step + 1, variables, discriminator_variables, states, state.frozen
        ), metrics

    groups = learning_rate
    if discriminator is None and isinstance(groups, Mapping):
        groups = {name: rate for name, rate in groups.items() if name != "adversary"}
    return Method(
        init,
        update,
        heatmap_predict(setup),
        ("source", "target"),
        setup.skeleton,
        group_rates(optimizer, groups),
    )


def dan(setup: Setup) -> Method:
    """Trains with the supervised loss plus the multi-kernel maximum mean discrepancy of the pooled
    features (DAN).

    It reads the streams `source` and `target`, in batches of one size (linear-time estimator). The
    start may have `variables`.

    Args:
        setup: with learning rates for `features` and `head`.

    Raises:
        InputError: for batches of different sizes.
    """

    def discrepancy(outputs, streams):
        return multi_kernel_mmd(outputs["source_features"], outputs["target_features"])

    objective = dict(supervised_objective(setup.codec, stream="source"))
    objective["discrepancy"] = Term(1.0, discrepancy, reads=("source_features", "target_features"))
    return _feature_matching(setup, objective, None, warm_start)


def reversal(step: jax.Array) -> jax.Array:
    """Computes the coefficient of DANN's gradient reversal: `warm_start` up to 1."""
    return warm_start(step, high=1.0)


def dann(setup: Setup, *, coefficient: Schedule = reversal) -> Method:
    """Trains with the supervised loss plus a discriminator of pooled features behind a reversed
    gradient (DANN).

    It reads the streams `source` and `target`, in batches of one size. The start may have
    `variables`.

    Args:
        setup: with learning rates for `features`, `head` and `adversary` (the discriminator).
        coefficient: of the reversed gradient, a function of the step.

    Raises:
        InputError: for batches of different sizes.
    """

    def confusion(outputs, streams):
        return domain_confusion(outputs["source_probability"], outputs["target_probability"])

    objective = dict(supervised_objective(setup.codec, stream="source"))
    objective["domain"] = Term(1.0, confusion, reads=("source_features", "target_features"))
    return _feature_matching(setup, objective, DomainDiscriminator(), coefficient)
