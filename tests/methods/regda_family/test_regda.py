"""RegDA's iteration against the same three steps written with plain `jax.grad`, every pass computed
anew.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, MODEL, batch, body, centred

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.objective import without
from kpjax.methods.regda_family.regda import all_keypoints, regda, regda_objective

RATE, DECAY, MOMENTUM, MARGIN, SCALE, SIGMA, EPSILON = 0.1, 1e-2, 0.9, 4.0, 0.5, 2.0, 1e-7
FULL = 1  # a step; at 0, lambda is 0 as in the paper
SETTINGS = {
    "optimizer": optax.chain(optax.add_decayed_weights(DECAY), optax.trace(MOMENTUM)),
    "learning_rate": dict.fromkeys(("features", "head", "adversary"), lambda step: RATE),
    "augment": no_augmentation(),
    "coefficient": lambda step: jnp.where(step == 0, 0.0, SCALE),
}
STREAMS = {"source": batch("source"), "target": batch("target")}


def build(**changes):
    return tiny_parts.build(
        regda, **SETTINGS | {"objective": regda_objective(margin=MARGIN)} | changes
    )


def hidden(name, keypoints):
    """The streams without labels of some keypoints of one."""
    visible = STREAMS[name].visible.copy()
    visible[:, keypoints] = 0
    return STREAMS | {name: STREAMS[name]._replace(visible=visible)}


# The iteration by hand


def kl(logits, target, weights, epsilon):
    """The mean over batch and keypoints of KL(target / its sum || softmax), written as it is
    defined.
    """
    mass = jnp.where(weights[:, None, None] > 0, target + epsilon, 1.0)
    mass = mass / mass.sum((1, 2), keepdims=True)
    log_softmax = jax.nn.log_softmax(
        logits.reshape(logits.shape[0], -1, logits.shape[3]), axis=1
    ).reshape(logits.shape)
    return (
        weights * (mass * (jnp.log(jnp.where(mass > 0, mass, 1.0)) - log_softmax)).sum((1, 2))
    ).mean()


def rendered(logits):
    """(truth, false) at the arg-max of constant logits: each keypoint's Gaussian, and the clipped
    sum of the others.
    """
    batch_size, height, width, count = logits.shape
    flat = jax.lax.stop_gradient(logits).reshape(batch_size, -1, count)
    cell = jnp.where(flat.max(1) > 0, flat.argmax(1), 0)[:, None, None, :]
    rows, columns = jnp.arange(height).reshape(1, -1, 1, 1), jnp.arange(width).reshape(1, 1, -1, 1)
    distance = (rows - cell // width) ** 2 + (columns - cell % width) ** 2
    truth = jnp.exp(-distance.astype(jnp.float32) / (2 * SIGMA**2))
    false = jnp.stack(
        [sum(truth[..., j] for j in range(count) if j != k) for k in range(count)], -1
    )
    return truth, jnp.minimum(false, 1.0)


def seen_by(scale, values):
    """The same values, whose gradient comes times a constant: a sum of a part that has one and a
    part that has none.
    """
    return scale * values + (1 - scale) * jax.lax.stop_gradient(values)


def groups_of(state):
    """(parameters, statistics) of the features with the main head, and of the second head."""
    variables, adversary = state.variables, state.adversary
    return (
        {
            "features": body(variables["params"]),
            "head": variables["params"]["head"],
            "adversary": adversary["params"],
        },
        {"model": variables["batch_stats"], "adversary": adversary["batch_stats"]},
    )


def both_heads(params, statistics, images, scale=1.0):
    """Heatmaps of both heads, and statistics after the pass."""
    features, model = MODEL.apply(
        {
            "params": params["features"] | {"head": params["head"]},
            "batch_stats": statistics["model"],
        },
        images,
        train=True,
        mutable=["batch_stats"],
        method="features",
    )
    main, after = MODEL.head.apply(
        {"params": params["head"], "batch_stats": statistics["model"]["head"]},
        features,
        train=True,
        mutable=["batch_stats"],
    )
    other, adversary = MODEL.head.apply(
        {"params": params["adversary"], "batch_stats": statistics["adversary"]},
        seen_by(scale, features),
        train=True,
        mutable=["batch_stats"],
    )
    return (
        main,
        other,
        {
            "model": dict(model["batch_stats"]) | {"head": after["batch_stats"]},
            "adversary": adversary["batch_stats"],
        },
    )


def example_of(streams):
    """(images, labels and weights of the source, weights of the target)"""
    streams = jax.tree.map(jnp.asarray, streams)
    images = {
        name: centred(example.image.astype(jnp.float32) / 255) for name, example in streams.items()
    }
    return images, *CODEC.encode(streams["source"]), streams["target"].visible


def differentiated(loss):
    """(parameters, statistics, streams, scale) -> ((value, statistics after), gradient),
    compiled."""
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


@differentiated
def source(params, statistics, streams, scale):
    images, labels, weights, _ = example_of(streams)
    main, other, after = both_heads(params, statistics, images["source"], scale)
    return kl(main, labels, weights, 0.0) + MARGIN * kl(
        other, rendered(main)[0], weights, EPSILON
    ), after


def on_target(which, params, statistics, streams, scale):
    images, *_, weights = example_of(streams)
    main, other, after = both_heads(params, statistics, images["target"], scale)
    return kl(other, rendered(main)[which], weights, EPSILON), after


LEAVE, COME_BACK = (differentiated(functools.partial(on_target, which)) for which in (1, 0))


def by_hand(steps, state, streams, scale):
    """Momentum steps (loss, groups) one after another: (parameters, their momenta, statistics,
    losses).
    """
    params, statistics = jax.tree.map(np.asarray, groups_of(state))
    velocity, losses = jax.tree.map(np.zeros_like, params), []
    for loss, groups in steps:
        (value, statistics), gradient = loss(params, statistics, streams, scale)
        for group in groups:
            decayed = jax.tree.map(
                lambda g, p: np.asarray(g) + DECAY * p, gradient[group], params[group]
            )
            velocity = velocity | {
                group: jax.tree.map(lambda v, d: MOMENTUM * v + d, velocity[group], decayed)
            }
            params = params | {
                group: jax.tree.map(lambda p, v: p - RATE * v, params[group], velocity[group])
            }
        losses.append(value)
    return params, velocity, statistics, losses


def found_in(state, metrics, losses):
    """What an iteration made of the same."""
    params, statistics = groups_of(state)
    momenta = {
        group: optax.tree.get(states, "trace") for group, states in state.optimizer_state.items()
    }
    return params, momenta, statistics, [metrics[f"loss/{name}"] for name in losses]


@pytest.fixture(scope="module")
def update():
    """One iteration, compiled; weights of the target's keypoints are read from their labels."""
    return jax.jit(build(target_weights=lambda example: example.visible).update)


@pytest.fixture(scope="module")
def first():
    return tiny_parts.drawn_state(build())


@pytest.mark.parametrize(
    ("step", "streams"),
    [
        (FULL, STREAMS),
        (0, STREAMS),
        (FULL, hidden("source", [1])),
        (FULL, hidden("source", [0, 1, 2])),
        (FULL, hidden("target", [2])),
        (FULL, hidden("target", [0, 1, 2])),
    ],
)
def test_an_iteration_equals_its_three_steps_by_hand(update, first, step, streams):
    """One momentum buffer serves both steps of the features, and one both of the adversary."""
    state = first._replace(step=jnp.int32(step))
    expected = by_hand(
        [
            (source, ("features", "head", "adversary")),
            (LEAVE, ("adversary",)),
            (COME_BACK, ("features",)),
        ],
        state,
        streams,
        SCALE if step else 0.0,
    )
    found = found_in(
        *update(state, streams, jax.random.key(0)), ("total", "target_false", "target_truth")
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-5)


def test_without_step_b_the_target_passes_once(first):
    state, method = (
        first._replace(step=jnp.int32(FULL)),
        build(objective=without(regda_objective(margin=MARGIN), "target_false")),
    )
    expected = by_hand(
        [(source, ("features", "head", "adversary")), (COME_BACK, ("features",))],
        state,
        STREAMS,
        SCALE,
    )
    found = found_in(
        *jax.jit(method.update)(state, STREAMS, jax.random.key(0)), ("total", "target_truth")
    )
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-5)


# What is read and what is run


def test_target_labels_never_matter(first):
    """Where they are need not even be there, and whether they are is not asked."""
    blind = STREAMS["target"]._replace(keypoints=None)
    jax.eval_shape(build().update, first, STREAMS | {"target": blind}, jax.random.key(0))
    assert (all_keypoints(hidden("target", [1])["target"]) == 1).all()


def test_a_dropped_term_is_not_run(first):
    """Its step has no loss and no gradient, and a regressor that no term reads stays
    bit-identical."""
    method = build(
        objective=without(
            regda_objective(margin=MARGIN), "source_disparity", "target_false", "target_truth"
        )
    )
    after, metrics = jax.jit(method.update)(first, STREAMS, jax.random.key(1))
    assert {name for name in metrics if name.startswith("loss/")} == {
        "loss/supervised",
        "loss/total",
    }
    assert "gradient_norm/features_target" not in metrics
    chex.assert_trees_all_equal(after.adversary, first.adversary, strict=True)
