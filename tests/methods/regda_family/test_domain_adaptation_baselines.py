"""The baselines of RegDA and the AdaBN control, seen in the gradients that their optimizers are given.

One compiled update serves all tests of a method: the step of a state chooses coefficient and learning rates.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_parts
from test_regda import kl, rendered
from tiny_parts import BATCH, MODEL, assert_identical, assert_near, batch, body, centred, largest, recorder

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.adversarial import multi_kernel_mmd
from kpjax.methods.forward import train_pass
from kpjax.methods.regda_family.feature_matching import DomainDiscriminator, adabn, dan, dann
from kpjax.methods.regda_family.two_regressors import dd, mcd

RATE, SCALE = 0.1, 0.5
REVERSED, HEADS_ONLY, FEATURES_ONLY = 1, 2, 3  # steps; at 0 no gradient is reversed
STREAMS = {"source": batch("source"), "target": batch("target")}
OTHER_TARGET = STREAMS | {"target": batch("another target")}


def coefficient(step):
    return jnp.where(step == 0, 0.0, SCALE)


def rate_but(still):
    return lambda step: jnp.where(step == still, 0.0, RATE)


SETTINGS = {"optimizer": recorder(6), "augment": no_augmentation(),
            "learning_rate": {"features": rate_but(HEADS_ONLY), "head": rate_but(FEATURES_ONLY),
                              "adversary": rate_but(FEATURES_ONLY)}}


def compiled(method):
    """(first state, step of the state, streams -> (state, metrics) in numpy)."""
    first = jax.tree.map(jnp.asarray, tiny_parts.drawn_state(method))
    update = jax.jit(method.update)

    def after(step, streams=STREAMS, state=first):
        return jax.tree.map(np.asarray, update(state._replace(step=jnp.int32(step)), streams, jax.random.key(0)))

    return first, after


@pytest.fixture(scope="module")
def run_dd():
    return compiled(tiny_parts.build(dd, coefficient=coefficient, margin=2.0, **SETTINGS))


@pytest.fixture(scope="module")
def run_dann():
    return compiled(tiny_parts.build(dann, coefficient=coefficient, **SETTINGS))


@pytest.fixture(scope="module")
def run_mcd():
    return compiled(tiny_parts.build(mcd, **SETTINGS))


@pytest.fixture(scope="module")
def run_dan():
    return compiled(tiny_parts.build(dan, **SETTINGS))


def given(state, group, number=0):
    return jax.tree.map(lambda kept: kept[number], state.optimizer_state[group]["given"])


@jax.jit
def passes(params, statistics):
    """(source, target) in training mode: pooled features and heatmaps of the model, statistics threaded through."""
    images = {name: centred(jnp.asarray(example.image, jnp.float32) / 255) for name, example in STREAMS.items()}
    found = {}
    for name in ("source", "target"):
        maps, statistics = train_pass(MODEL, params, statistics, images[name], method="backbone_features")
        features, statistics = train_pass(MODEL, params, statistics, maps, method="upsample")
        found[name] = (maps[-1].mean((1, 2)), features)
    return found


# DAN and DANN


def test_dan_is_the_supervised_loss_plus_the_discrepancy_of_pooled_features(run_dan):
    first, after = run_dan
    _, metrics = after(0)
    np.testing.assert_allclose(metrics["loss/total"], metrics["loss/supervised"] + metrics["loss/discrepancy"],
                               rtol=1e-6)
    found = passes(first.variables["params"], first.variables["batch_stats"])
    expected = jax.jit(multi_kernel_mmd)(found["source"][0], found["target"][0])
    np.testing.assert_allclose(metrics["loss/discrepancy"], expected, rtol=1e-4, atol=1e-6)


def test_dan_moves_the_backbone_by_the_target_and_nothing_behind_it(run_dan):
    _, after = run_dan
    one, other = (given(after(0, streams)[0], "model") for streams in (STREAMS, OTHER_TARGET))
    assert_identical((one["upsampling"], one["head"]), (other["upsampling"], other["head"]))
    assert largest(jax.tree.map(np.subtract, one["backbone"], other["backbone"])) > 0


def test_dann_sends_nothing_of_the_domains_into_the_features_at_step_0(run_dann):
    _, after = run_dann
    one, other = (after(0, streams)[0] for streams in (STREAMS, OTHER_TARGET))
    assert_identical(given(one, "model"), given(other, "model"))
    assert largest(jax.tree.map(np.subtract, given(one, "discriminator"), given(other, "discriminator"))) > 0


def test_dann_reverses_the_gradient_of_the_features_and_not_the_discriminators(run_dann):
    """Against the gradient of the confusion alone, written out: the backbone's comes with -coefficient."""
    first, after = run_dann
    still, moved = after(0)[0], after(REVERSED)[0]
    assert_identical(given(still, "discriminator"), given(moved, "discriminator"))
    discriminator = DomainDiscriminator()

    def confusion(backbone):
        params = first.variables["params"] | {"backbone": backbone}
        found = passes(params, first.variables["batch_stats"])
        both = jnp.concatenate([found["source"][0], found["target"][0]])
        variables = first.discriminator
        probability, _ = train_pass(discriminator, variables["params"], variables["batch_stats"], both)
        return -0.5 * (jnp.log(probability[:BATCH]).mean() + jnp.log(1 - probability[BATCH:]).mean())

    plain = jax.jit(jax.grad(confusion))(first.variables["params"]["backbone"])
    difference = jax.tree.map(np.subtract, given(moved, "model")["backbone"], given(still, "model")["backbone"])
    assert largest(plain) > 1e-4
    assert_near(difference, jax.tree.map(lambda leaf: -SCALE * leaf, plain), rtol=1e-3, atol=1e-6)
    assert_identical(given(moved, "model")["upsampling"], given(still, "model")["upsampling"])


# DD


def test_dd_gives_the_adversary_its_own_game_and_the_features_the_reversed_one(run_dd):
    """The features' share is -coefficient times the gradient of the adversary's loss through its own features."""
    first, after = run_dd
    still, metrics = after(0)
    moved, _ = after(REVERSED)
    np.testing.assert_allclose(
        metrics["loss/total"],
        metrics["loss/supervised"] + 2 * metrics["loss/source_disparity"] - metrics["loss/target_disparity"], rtol=1e-5)
    assert_identical(given(still, "adversary"), given(moved, "adversary"))
    assert_identical(given(still, "head"), given(moved, "head"))

    def disparity(features):
        logits, _ = train_pass(MODEL.head, first.variables["params"]["head"],
                               first.variables["batch_stats"]["head"], jax.lax.stop_gradient(features))
        other, _ = train_pass(MODEL.head, first.adversary["params"], first.adversary["batch_stats"], features)
        return kl(other, rendered(logits)[0], 1.0, 0.0)

    def adversary_loss(features_params):
        params = first.variables["params"] | features_params
        found = passes(params, first.variables["batch_stats"])
        return 2 * disparity(found["source"][1]) - disparity(found["target"][1])

    plain = jax.jit(jax.grad(adversary_loss))(body(first.variables["params"]))
    difference = jax.tree.map(np.subtract, given(moved, "features"), given(still, "features"))
    assert largest(plain) > 1e-5
    assert_near(difference, jax.tree.map(lambda leaf: -SCALE * leaf, plain), rtol=1e-2, atol=1e-6)


def test_dd_at_step_0_learns_from_the_source_alone_but_for_the_adversary(run_dd):
    _, after = run_dd
    one, other = (after(0, streams)[0] for streams in (STREAMS, OTHER_TARGET))
    assert_identical(one.variables["params"], other.variables["params"])
    assert largest(jax.tree.map(np.subtract, one.adversary["params"], other.adversary["params"])) > 0


# MCD


def test_mcd_steps_each_group_as_often_as_its_game_says(run_mcd):
    counts = {group: int(state["count"]) for group, state in run_mcd[1](0)[0].optimizer_state.items()}
    assert counts == {"features": 1 + 4, "head": 2, "adversary": 2}  # all on the source; heads; features


def test_mcd_drives_apart_by_the_heads_alone_and_brings_together_by_the_features_alone(run_mcd):
    """With one side's learning rate at zero its parameters stay, whatever gradients it got in the other's steps."""
    first, after = run_mcd
    heads, _ = after(HEADS_ONLY)
    assert_identical(body(heads.variables["params"]), jax.tree.map(
        np.asarray, body(first.variables["params"])))
    features, _ = after(FEATURES_ONLY)
    assert_identical((features.variables["params"]["head"], features.adversary["params"]), jax.tree.map(
        np.asarray, (first.variables["params"]["head"], first.adversary["params"])))
    # Plain descent: the parameters are the start less the gradients that were given, and nothing else moved them.
    moved, _ = after(0)
    for group, before, now in (("features", body(first.variables["params"]),
                                body(moved.variables["params"])),
                               ("head", first.variables["params"]["head"], moved.variables["params"]["head"]),
                               ("adversary", first.adversary["params"], moved.adversary["params"])):
        expected = jax.tree.map(lambda leaf, kept: leaf - RATE * kept.sum(0), before,
                                moved.optimizer_state[group]["given"])
        assert_near(now, expected, rtol=1e-5)


# AdaBN


def test_adabn_pools_the_statistics_of_all_batches_and_moves_no_parameter():
    """The first norm sees the images themselves, so that its statistics are those of all of them, by hand."""
    method = tiny_parts.build(adabn, augment=no_augmentation())
    batches = [batch(f"target {number}") for number in range(3)]
    state = jax.jit(method.init)(jax.random.key(1), {"target": batches[0]}, {})
    before, update = jax.tree.map(np.asarray, state.variables), jax.jit(method.update)
    for example in batches:
        state, _ = update(state, {"target": example}, jax.random.key(0))
    assert_identical(before["params"], jax.tree.map(np.asarray, state.variables["params"]))

    kernel = before["params"]["backbone"]["conv1"]["kernel"]
    images = np.concatenate([example.image for example in batches]).astype(np.float32) / 255 - 0.5
    values = jax.lax.conv_general_dilated(images, kernel, (4, 4), [(1, 1)] * 2,
                                          dimension_numbers=("NHWC", "HWIO", "NHWC"))
    flat = np.asarray(values, np.float64).reshape(len(batches), -1, values.shape[-1])
    mean = flat.mean((0, 1))
    # The unbiased variance within each batch, and the variance between their means.
    variance = flat.var(1, ddof=1).mean(0) + np.square(flat.mean(1) - mean).mean(0)
    found = state.variables["batch_stats"]["backbone"]["bn1"]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["var"], variance, rtol=1e-3)

    # Every deeper norm: the mean over batches of what a training pass measures.
    measured = []
    for example in batches:
        zeros = jax.tree.map(np.zeros_like, before["batch_stats"])
        _, scaled = jax.jit(train_pass, static_argnums=0)(
            MODEL, before["params"], zeros, centred(jnp.asarray(example.image, jnp.float32) / 255))
        measured.append(jax.tree.map(lambda leaf: np.asarray(leaf) / 0.1, scaled))
    for part, norm in (("backbone", "bn2"), ("upsampling", "bn"), ("head", "bn1")):
        means = [tree[part][norm]["mean"] for tree in measured]
        squares = [tree[part][norm]["var"] + tree[part][norm]["mean"] ** 2 for tree in measured]
        found = state.variables["batch_stats"][part][norm]
        np.testing.assert_allclose(found["mean"], np.mean(means, 0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["var"], np.mean(squares, 0) - np.mean(means, 0) ** 2, rtol=2e-3, atol=1e-5)
