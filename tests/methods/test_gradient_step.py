"""One step of descent, of a tree and of groups, against the step by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.gradient_step import State, gradient_step, gradient_steps
from kpjax.optimization import descend, scale_backbone

PARAMS = {"a": jnp.float32([1.0, 2.0]), "b": jnp.float32([3.0])}


def loss(params):
    """Half the squares, whose gradient is the parameters; the auxiliary value is twice `b`."""
    halves = {name: 0.5 * jnp.square(leaf).sum() for name, leaf in params.items()}
    return sum(halves.values()), (
        {f"loss/{name}": half for name, half in halves.items()},
        2 * params.get("b"),
    )


def state_of(optimizer_state, step=4):
    return State(jnp.int32(step), {"params": PARAMS}, optimizer_state, {})


def test_a_step_is_down_the_gradient_at_the_rate_of_its_number():
    optimizer = optax.trace(0.5)
    moved, state, auxiliary, metrics = jax.jit(
        lambda params: gradient_step(
            loss, params, state_of(optimizer.init(params)), optimizer, lambda step: step / 8
        )
    )(PARAMS)
    halved = jax.tree.map(lambda old: 0.5 * old, PARAMS)
    chex.assert_trees_all_close(moved, halved, rtol=1e-7)
    chex.assert_trees_all_equal(state.trace, PARAMS, strict=True)
    assert auxiliary == 6
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        {"loss/a": 2.5, "loss/b": 4.5, "loss/total": 7.0, "gradient_norm/model": 14**0.5}
    )


def test_groups_move_at_rates_of_their_own_and_others_keep_their_state():
    optimizer = optax.trace(0.5)
    states = {name: optimizer.init(leaf) for name, leaf in (*PARAMS.items(), ("c", jnp.ones(2)))}
    rates = {"a": lambda step: 0.25, "b": lambda step: 0.0}
    moved, after, _, metrics = gradient_steps(loss, PARAMS, state_of(states), optimizer, rates)
    np.testing.assert_allclose(moved["a"], [0.75, 1.5])
    np.testing.assert_array_equal(moved["b"], PARAMS["b"])
    np.testing.assert_array_equal(after["a"].trace, PARAMS["a"])
    assert after["c"] is states["c"]
    assert states["a"].trace.sum() == 0
    assert (float(metrics["gradient_norm/a"]), float(metrics["gradient_norm/b"])) == pytest.approx(
        (5**0.5, 3.0)
    )


def test_a_backbone_moves_by_its_share_of_the_step_wherever_it_stands():
    gradient = {
        "backbone": {"kernel": jnp.array([1.0, -2.0])},
        "head": {"kernel": jnp.array([1.0, -2.0])},
        "free": {"backbone": {"bias": jnp.array([4.0, 0.0])}},
    }
    params, optimizer = (
        jax.tree.map(jnp.ones_like, gradient),
        scale_backbone(optax.trace(0.0), 0.25),
    )
    moved, _ = descend(
        optimizer, gradient, optimizer.init(params), params, lambda step: 0.1, jnp.int32(0)
    )
    np.testing.assert_allclose(moved["head"]["kernel"], [0.9, 1.2])
    np.testing.assert_allclose(moved["backbone"]["kernel"], [0.975, 1.05])
    np.testing.assert_allclose(moved["free"]["backbone"]["bias"], [0.9, 1.0])


def test_imagenet_statistics():
    images = jnp.asarray([[[[0.485, 0.456, 0.406], [0.714, 0.68, 0.631]]]])
    np.testing.assert_allclose(imagenet_normalise(images)[0, 0], [[0, 0, 0], [1, 1, 1]], atol=1e-6)
