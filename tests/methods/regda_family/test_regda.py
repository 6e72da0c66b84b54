"""RegDA's three steps, one by one and against the same iteration written with plain `jax.grad`.

One compiled update serves nearly every test: the step of a state chooses lambda, and the optimizer keeps the gradients
that it was given.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, MODEL, assert_identical, assert_near, batch, body, centred, largest, recorder

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.objective import without
from kpjax.methods.forward import statistics_after_second_pass, train_pass
from kpjax.methods.regda_family.regda import State, regda, regda_objective
from kpjax.models.layers import BatchNorm

RATE, DECAY, MOMENTUM, MARGIN, SCALE, SIGMA = 0.1, 1e-2, 0.9, 4.0, 0.5, 2.0
FULL = 1  # a step; at 0, lambda is 0 as in the paper


def build(**changes):
    settings = {
        "optimizer": optax.chain(recorder(3), optax.add_decayed_weights(DECAY), optax.trace(MOMENTUM)),
        "learning_rate": {"features": lambda step: RATE, "head": lambda step: RATE, "adversary": lambda step: RATE},
        "augment": no_augmentation(), "coefficient": lambda step: jnp.where(step == 0, 0.0, SCALE),
        "objective": regda_objective(margin=MARGIN)}
    return tiny_parts.build(regda, **settings | changes)


def compiled(method):
    return jax.jit(method.update)


@pytest.fixture(scope="module")
def streams():
    return {"source": batch("source"), "target": batch("target")}


@pytest.fixture(scope="module")
def states(streams):
    """The same first state at both steps that choose a lambda, with statistics and biases that are not all equal."""
    first = jax.tree.map(jnp.asarray, tiny_parts.drawn_state(build()))
    return {step: first._replace(step=jnp.int32(step)) for step in (0, FULL)}


@pytest.fixture(scope="module")
def update():
    """(state, streams) -> (state, metrics) of one iteration, in numpy."""
    step = compiled(build())
    return lambda state, streams: jax.tree.map(np.asarray, step(state, streams, jax.random.key(0)))


@pytest.fixture(scope="module")
def weighted():
    """The same with the weights of target keypoints read from their labels."""
    step = compiled(build(target_weights=lambda example: example.visible))
    return lambda state, streams: jax.tree.map(np.asarray, step(state, streams, jax.random.key(0)))


@pytest.fixture(scope="module")
def full(update, states, streams):
    return update(states[FULL], streams)


def given(state: State, group: str, number: int):
    """The gradient that a group's optimizer got at its `number`-th step of the iteration."""
    return jax.tree.map(lambda kept: kept[number], state.optimizer_state[group][0]["given"])


# What each step moves


def test_at_step_0_step_c_moves_features_by_weight_decay_and_momentum_only(update, states, streams):
    state, _ = update(states[0], streams)
    assert largest(given(state, "features", 1)) == 0
    before = body(states[0].variables["params"])

    def by_hand(before, gradient):
        velocity = gradient + DECAY * before
        between = before - RATE * velocity
        return between - RATE * (DECAY * between + MOMENTUM * velocity)

    expected = jax.tree.map(by_hand, jax.tree.map(np.asarray, before), given(state, "features", 0))
    assert_near(body(state.variables["params"]), expected, rtol=1e-5)


# What gradients depend on


def test_target_labels_never_matter(update, full, states, streams):
    target = streams["target"]
    blind = target._replace(keypoints=np.zeros_like(target.keypoints), visible=np.zeros_like(target.visible))
    wrong = target._replace(keypoints=target.keypoints[::-1] + 1.5)
    for changed in (blind, wrong):
        assert_identical(update(states[FULL], streams | {"target": changed}), full)


def test_a_keypoint_without_a_source_label_gets_no_gradient_at_all(update, states, streams):
    source = streams["source"]
    visible = source.visible.copy()
    visible[:, 1] = 0
    state, metrics = update(states[FULL], streams | {"source": source._replace(visible=visible)})
    for group in ("head", "adversary"):
        output = given(state, group, 0)["output"]
        assert largest((output["kernel"][..., 1], output["bias"][1])) == 0, group
        assert np.abs(output["kernel"][..., [0, 2]]).max() > 0, group
    blind, metrics = update(states[FULL], streams | {"source": source._replace(visible=np.zeros_like(visible))})
    assert metrics["loss/supervised"] == metrics["loss/source_disparity"] == 0
    for group in ("features", "head", "adversary"):
        assert largest(given(blind, group, 0)) == 0, group


def test_target_weights_choose_the_keypoints_of_the_target(weighted, states, streams):
    target = streams["target"]
    visible = target.visible.copy()
    visible[:, 2] = 0
    state, _ = weighted(states[FULL], streams | {"target": target._replace(visible=visible)})
    output = given(state, "adversary", 1)["output"]
    assert largest((output["kernel"][..., 2], output["bias"][2])) == 0
    assert np.abs(output["kernel"][..., :2]).max() > 0
    none, metrics = weighted(states[FULL], streams | {"target": target._replace(visible=np.zeros_like(visible))})
    assert metrics["loss/target_false"] == metrics["loss/target_truth"] == 0
    assert largest((given(none, "adversary", 1), given(none, "features", 1))) == 0


# The whole iteration


def kl(logits, target, weights, epsilon):
    """The mean over batch and keypoints of KL(target / its sum || softmax), written as it is defined."""
    mass = target + epsilon
    mass = mass / mass.sum((1, 2), keepdims=True)
    log_softmax = jax.nn.log_softmax(logits.reshape(logits.shape[0], -1, logits.shape[3]), axis=1).reshape(logits.shape)
    return (weights * (mass * (jnp.log(jnp.where(mass > 0, mass, 1.0)) - log_softmax)).sum((1, 2))).mean()


def rendered(logits):
    """(truth, false) at the arg-max of constant logits: each keypoint's Gaussian, and the clipped sum of the others."""
    batch_size, height, width, count = logits.shape
    flat = jax.lax.stop_gradient(logits).reshape(batch_size, -1, count)
    cell = jnp.where(flat.max(1) > 0, flat.argmax(1), 0)[:, None, None, :]
    rows, columns = jnp.arange(height).reshape(1, -1, 1, 1), jnp.arange(width).reshape(1, 1, -1, 1)
    distance = (rows - cell // width) ** 2 + (columns - cell % width) ** 2
    truth = jnp.exp(-distance.astype(jnp.float32) / (2 * SIGMA**2))
    false = jnp.stack([sum(truth[..., j] for j in range(count) if j != k) for k in range(count)], -1)
    return truth, jnp.minimum(false, 1.0)


def by_hand(state, streams):
    """One iteration in which every pass is computed anew, the target's twice: parameters, statistics and losses."""
    images = {name: centred(jnp.asarray(example.image, jnp.float32) / 255) for name, example in streams.items()}
    labels, label_weights = CODEC.encode(streams["source"])
    ones = jnp.ones_like(label_weights)
    params = {"features": body(state.variables["params"]), "head": state.variables["params"]["head"],
              "adversary": state.adversary["params"]}
    velocity = jax.tree.map(jnp.zeros_like, params)
    statistics = {"model": state.variables["batch_stats"], "adversary": state.adversary["batch_stats"]}

    def network(params, statistics, images, scale=None):
        features, model = MODEL.apply(
            {"params": params["features"] | {"head": params["head"]}, "batch_stats": statistics["model"]}, images,
            train=True, mutable=["batch_stats"], method="features")
        main, after = MODEL.head.apply(
            {"params": params["head"], "batch_stats": statistics["model"]["head"]}, features, train=True,
            mutable=["batch_stats"])
        # A gradient times a constant, as a sum of a part that has one and a part that has none.
        seen = SCALE * features + (1 - SCALE) * jax.lax.stop_gradient(features)
        other, adversary = MODEL.head.apply(
            {"params": params["adversary"], "batch_stats": statistics["adversary"]}, seen, train=True,
            mutable=["batch_stats"])
        model = dict(model["batch_stats"]) | {"head": after["batch_stats"]}
        return main, other, {"model": model, "adversary": adversary["batch_stats"]}

    def step(loss, groups, params, velocity, statistics):
        (value, after), gradient = jax.value_and_grad(loss, has_aux=True)(params, statistics)
        for group in groups:
            decayed = jax.tree.map(lambda g, p: g + DECAY * p, gradient[group], params[group])
            velocity = velocity | {group: jax.tree.map(lambda v, d: MOMENTUM * v + d, velocity[group], decayed)}
            params = params | {group: jax.tree.map(lambda p, v: p - RATE * v, params[group], velocity[group])}
        return value, params, velocity, after

    def source(params, statistics):
        main, other, after = network(params, statistics, images["source"])
        truth, _ = rendered(main)
        return kl(main, labels, label_weights, 0.0) + MARGIN * kl(other, truth, label_weights, 1e-7), after

    def leave(params, statistics):
        main, other, after = network(params, statistics, images["target"])
        return kl(other, rendered(main)[1], ones, 1e-7), after

    def come_back(params, statistics):
        main, other, after = network(params, statistics, images["target"])
        return kl(other, rendered(main)[0], ones, 1e-7), after

    losses = {}
    for name, loss, groups in (("total", source, ("features", "head", "adversary")),
                               ("target_false", leave, ("adversary",)), ("target_truth", come_back, ("features",))):
        losses[f"loss/{name}"], params, velocity, statistics = step(loss, groups, params, velocity, statistics)
    return params, velocity, statistics, losses


def test_an_iteration_equals_its_three_steps_by_hand(full, states, streams):
    """One momentum buffer serves both steps of the features, and one both of the adversary."""
    params, velocity, statistics, losses = jax.jit(by_hand)(states[FULL], streams)
    state, metrics = full
    found = {"features": body(state.variables["params"]), "head": state.variables["params"]["head"],
             "adversary": state.adversary["params"]}
    momenta = {group: states[2].trace for group, states in state.optimizer_state.items()}
    moved = {"model": state.variables["batch_stats"], "adversary": state.adversary["batch_stats"]}
    assert_near((found, momenta, moved, {name: metrics[name] for name in losses}),
                (params, velocity, statistics, losses), rtol=1e-5, atol=1e-5)


def test_statistics_after_two_passes_in_closed_form():
    norm, values = BatchNorm(), jax.random.normal(jax.random.key(0), (6, 5))
    variables = norm.init(jax.random.key(1), values, train=False)
    before = jax.tree.map(lambda leaf: leaf + 0.3, variables["batch_stats"])
    _, once = train_pass(norm, variables["params"], before, values)
    _, twice = train_pass(norm, variables["params"], once, values)
    assert_near(statistics_after_second_pass(before, once), twice, rtol=1e-6, atol=1e-7)


def test_a_dropped_term_is_not_run():
    """Its step has no loss and no gradient, and a regressor that no term reads stays bit-identical."""
    method = build(objective=without(
        regda_objective(margin=MARGIN), "source_disparity", "target_false", "target_truth"))
    state, streams = tiny_parts.drawn_state(method), tiny_parts.streams_of(method)
    after, metrics = compiled(method)(state, streams, jax.random.key(1))
    assert {name for name in metrics if name.startswith("loss/")} == {"loss/supervised", "loss/total"}
    assert "gradient_norm/features_target" not in metrics
    assert_identical(after.adversary, state.adversary)
