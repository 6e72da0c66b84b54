"""The baselines of RegDA against their games by hand, every pass computed anew; and the pooled
statistics of AdaBN.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_regda as by_regda
import tiny_parts
from tiny_parts import BATCH, MODEL, batch, centred

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.domain_distances import multi_kernel_mmd
from kpjax.methods.forward import train_pass
from kpjax.methods.regda_family import two_regressors
from kpjax.methods.regda_family.feature_matching import DomainDiscriminator, adabn, dan, dann
from kpjax.methods.regda_family.regda import regda
from kpjax.methods.regda_family.teacher_adaptation import teacher_adaptation
from kpjax.methods.regda_family.two_regressors import dd, mcd
from kpjax.models.layers import batch_norm_groups

ALL = ("features", "head", "adversary")


# Two regressors


@by_regda.differentiated
def disparity_discrepancy(params, statistics, streams, scale):
    images, labels, weights, _ = by_regda.example_of(streams)
    main, other, after = by_regda.both_heads(params, statistics, images["source"], -scale)
    target, target_other, after = by_regda.both_heads(params, after, images["target"], -scale)
    value = by_regda.kl(main, labels, weights, 0.0) + 2 * by_regda.kl(
        other, by_regda.rendered(main)[0], weights, by_regda.EPSILON
    )
    return value - by_regda.kl(
        target_other, by_regda.rendered(target)[0], jnp.ones_like(weights), by_regda.EPSILON
    ), after


def softmaxes_apart(params, statistics, streams):
    """The mean difference of the heads' softmaxes on the target, times the number of cells."""
    *maps, after = by_regda.both_heads(
        params, statistics, by_regda.example_of(streams)[0]["target"]
    )
    first, second = (
        jax.nn.softmax(each.reshape(BATCH, -1, each.shape[-1]), axis=1) for each in maps
    )
    return first.shape[1] * jnp.abs(first - second).mean(), after


def both_fitted(params, statistics, streams, scale):
    images, labels, weights, _ = by_regda.example_of(streams)
    main, other, after = by_regda.both_heads(params, statistics, images["source"])
    return by_regda.kl(main, labels, weights, 0.0) + by_regda.kl(other, labels, weights, 0.0), after


@by_regda.differentiated
def driven_apart(params, statistics, streams, scale):
    fitted, after = both_fitted(params, statistics, streams, scale)
    apart, after = softmaxes_apart(params, after, streams)
    return fitted - apart, after


@by_regda.differentiated
def brought_together(params, statistics, streams, scale):
    return softmaxes_apart(params, statistics, streams)


@pytest.mark.parametrize(
    ("factory", "options", "steps", "losses"),
    [
        (dd, {"margin": 2.0}, [(disparity_discrepancy, ALL)], ["total"]),
        (
            mcd,
            {},
            [
                (by_regda.differentiated(both_fitted), ALL),
                (driven_apart, ("head", "adversary")),
                *2 * [(brought_together, ("features",))],
            ],
            ["supervised", "drive_apart", "bring_together"],
        ),
    ],
)
def test_a_game_of_two_regressors_is_the_one_by_hand(factory, options, steps, losses, monkeypatch):
    assert two_regressors.FEATURE_STEPS == 4
    monkeypatch.setattr(two_regressors, "FEATURE_STEPS", 2)
    method = tiny_parts.build(factory, **by_regda.SETTINGS | options)
    state = tiny_parts.drawn_state(method)._replace(step=jnp.int32(by_regda.FULL))
    *expected, values = by_regda.by_hand(steps, state, by_regda.STREAMS, by_regda.SCALE)
    *found, seen = by_regda.found_in(
        *jax.jit(method.update)(state, by_regda.STREAMS, jax.random.key(0)), losses
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen, [*values[:2], *values[-1:]][: len(losses)], rtol=1e-4)


# Matched features


def matched(params, statistics, discriminator, apart):
    """The supervised loss, and how far apart pooled features of both streams are; statistics after
    both passes.
    """
    images, labels, weights, _ = by_regda.example_of(by_regda.STREAMS)
    pooled, heatmaps, after = {}, {}, statistics
    for name in ("source", "target"):
        variables = {"params": params["model"], "batch_stats": after}
        maps, _ = MODEL.apply(
            variables, images[name], train=True, mutable=["batch_stats"], method="backbone_features"
        )
        heatmaps[name], mutated = MODEL.apply(
            variables, images[name], train=True, mutable=["batch_stats"]
        )
        pooled[name], after = maps[-1].mean((1, 2)), mutated["batch_stats"]
    supervised = by_regda.kl(heatmaps["source"], labels, weights, 0.0)
    distance, discriminator_after = apart(params, discriminator, pooled["source"], pooled["target"])
    return supervised + distance, (supervised, distance, after, discriminator_after)


def discrepancy(params, discriminator, source, target):
    return multi_kernel_mmd(source, target), {}


def confusion(params, discriminator, source, target):
    """Behind a reversed gradient, which the discriminator's own parameters do not see."""
    probability, after = train_pass(
        DomainDiscriminator(),
        params["discriminator"],
        discriminator,
        by_regda.seen_by(-by_regda.SCALE, jnp.concatenate([source, target])),
    )
    return -0.5 * (
        jnp.log(probability[:BATCH]).mean() + jnp.log(1 - probability[BATCH:]).mean()
    ), after


@pytest.mark.parametrize(
    ("factory", "apart", "term"), [(dan, discrepancy, "discrepancy"), (dann, confusion, "domain")]
)
def test_matching_of_features_is_a_step_down_its_gradient_by_hand(factory, apart, term):
    method = tiny_parts.build(factory, **by_regda.SETTINGS | {"optimizer": optax.identity()})
    state = tiny_parts.drawn_state(method)._replace(step=jnp.int32(by_regda.FULL))
    params = {"model": state.variables["params"]} | (
        {"discriminator": state.discriminator["params"]} if state.discriminator else {}
    )
    gradient, (supervised, distance, *after) = jax.jit(
        jax.grad(
            lambda params: matched(
                params,
                state.variables["batch_stats"],
                state.discriminator.get("batch_stats"),
                apart,
            ),
            has_aux=True,
        )
    )(params)
    moved, metrics = jax.jit(method.update)(state, by_regda.STREAMS, jax.random.key(0))
    np.testing.assert_allclose(
        [metrics["loss/supervised"], metrics[f"loss/{term}"]],
        [supervised, distance],
        rtol=1e-4,
        atol=1e-6,
    )
    found = {"model": moved.variables["params"]} | (
        {"discriminator": moved.discriminator["params"]} if state.discriminator else {}
    )
    chex.assert_trees_all_close(
        found,
        jax.tree.map(lambda p, g: p - by_regda.RATE * g, params, gradient),
        rtol=1e-4,
        atol=1e-5,
    )
    chex.assert_trees_all_close(
        [moved.variables["batch_stats"], moved.discriminator.get("batch_stats", {})],
        after,
        rtol=1e-4,
        atol=1e-5,
    )


# AdaBN


def test_adabn_pools_the_statistics_of_all_batches_and_moves_no_parameter():
    """The first norm sees the images themselves, so that its statistics are those of all of them,
    by hand.
    """
    method = tiny_parts.build(
        adabn, augment=no_augmentation(), model=MODEL.clone(frozen_statistics=True)
    )
    batches = [batch(f"target {number}") for number in range(3)]
    state = tiny_parts.drawn_state(method, streams={"target": batches[0]})
    before, update = state.variables, jax.jit(method.update)
    for example in batches:
        state, _ = update(state, {"target": example}, jax.random.key(0))
    chex.assert_trees_all_equal(
        before["params"], jax.tree.map(np.asarray, state.variables["params"]), strict=True
    )

    kernel = before["params"]["backbone"]["conv1"]["kernel"]
    images = np.concatenate([example.image for example in batches]).astype(np.float32) / 255 - 0.5
    values = jax.lax.conv_general_dilated(
        images, kernel, (4, 4), [(1, 1)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    flat = np.asarray(values, np.float64).reshape(len(batches), -1, values.shape[-1])
    mean = flat.mean((0, 1))
    # The unbiased variance within each batch, and the variance between their means.
    variance = flat.var(1, ddof=1).mean(0) + np.square(flat.mean(1) - mean).mean(0)
    found = state.variables["batch_stats"]["backbone"]["bn1"]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["var"], variance, rtol=1e-3)

    # Every deeper norm: the mean over batches of what a training pass measures.
    zeros = jax.tree.map(np.zeros_like, before["batch_stats"])
    scaled = jax.jit(lambda images: train_pass(MODEL, before["params"], zeros, centred(images))[1])
    measured = [
        jax.tree.map(lambda leaf: np.asarray(leaf) / 0.1, scaled(example.image / np.float32(255)))
        for example in batches
    ]
    for part, norm in (("backbone", "bn2"), ("upsampling", "bn"), ("head", "bn1")):
        means = [tree[part][norm]["mean"] for tree in measured]
        squares = [tree[part][norm]["var"] + tree[part][norm]["mean"] ** 2 for tree in measured]
        found = state.variables["batch_stats"][part][norm]
        np.testing.assert_allclose(found["mean"], np.mean(means, 0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            found["var"], np.mean(squares, 0) - np.mean(means, 0) ** 2, rtol=2e-3, atol=1e-5
        )


def test_each_group_of_batch_normalisation_is_a_batch_to_adabn():
    """How far the means of groups lie apart was lost: the second half is darker."""
    method = tiny_parts.build(adabn, augment=no_augmentation())
    whole = batch("target")
    image = np.array(whole.image)
    image[BATCH // 2 :] //= 4
    whole = whole._replace(image=image)
    halves = [
        jax.tree.map(lambda leaf, part=part: leaf[part], whole)
        for part in (slice(None, BATCH // 2), slice(BATCH // 2, None))
    ]

    def after(groups, examples):
        state = tiny_parts.drawn_state(method, streams={"target": whole})
        with batch_norm_groups(groups):
            update = jax.jit(method.update)
            for example in examples:
                state, _ = update(state, {"target": example}, jax.random.key(0))
        return state.variables["batch_stats"]

    in_groups = after(2, [whole])
    chex.assert_trees_all_close(in_groups, after(1, halves), rtol=1e-3, atol=1e-5)
    plain = after(1, [whole])["backbone"]["bn1"]["var"]
    np.testing.assert_allclose(in_groups["backbone"]["bn1"]["var"], plain, rtol=0.05)


@pytest.mark.parametrize(
    ("factory", "taught"), [(regda, False), (dd, False), (mcd, False), (teacher_adaptation, True)]
)
def test_a_source_keypoint_that_is_absent_teaches_heights_and_no_softmax(factory, taught):
    """A softmax has no empty map to learn: nobody knows where the adversary should agree, and a step is
    that of a keypoint without a label. Heights of 0 are learnt.
    """
    method = tiny_parts.build(factory, augment=no_augmentation())
    state, update = tiny_parts.drawn_state(method), jax.jit(method.update)

    def after(value):
        source = batch("source")
        visible = np.array(source.visible)
        visible[::2, 1] = value
        streams = {"source": source._replace(visible=visible), "target": batch("target")}
        return update(state._replace(step=jnp.int32(1)), streams, jax.random.key(0))

    absent, unlabelled = after(-1), after(0)
    if taught:
        assert absent[1]["loss/supervised"] != unlabelled[1]["loss/supervised"]
    else:
        chex.assert_trees_all_equal(absent, unlabelled)
