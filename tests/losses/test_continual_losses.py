"""Penalties and importances of continual learning, against their definitions written out."""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses import continual


def tree(seed, positive=False):
    random = np.random.default_rng(seed)
    made = {"conv": {"kernel": random.normal(size=(3, 4))}, "head": random.normal(size=5)}
    return jax.tree.map(lambda leaf: jnp.float32(np.abs(leaf) if positive else leaf), made)


def test_the_penalty_is_half_the_weighted_squares_and_pulls_to_the_anchor(close):
    params, anchor, importance = tree(0), tree(1), tree(2, positive=True)
    importance["head"] = jnp.zeros(5)
    value, gradient = jax.value_and_grad(continual.quadratic_penalty)(params, anchor, importance)
    difference = params["conv"]["kernel"] - anchor["conv"]["kernel"]
    close(value, 0.5 * (importance["conv"]["kernel"] * difference**2).sum(), rtol=1e-6)
    close(gradient["conv"]["kernel"], importance["conv"]["kernel"] * difference, rtol=1e-6)
    close(gradient["head"], 0, atol=0)
    close(continual.quadratic_penalty(params, anchor, importance, half=False), 2 * value, rtol=1e-6)


def test_fusing_and_normalising(close):
    first, second, third = (tree(seed, positive=True) for seed in range(3))
    mean = continual.fused_importance(
        continual.fused_importance(first, second, step=1), third, step=jnp.int32(2)
    )
    close(mean["head"], (first["head"] + second["head"] + third["head"]) / 3, rtol=1e-6)
    close(
        continual.fused_importance(first, second, rule="sum")["head"],
        first["head"] + second["head"],
    )
    online = continual.fused_importance(
        continual.fused_importance(first, second, rule="decayed_sum"), third, rule="decayed_sum"
    )
    close(online["head"], 0.81 * first["head"] + 0.9 * second["head"] + third["head"], rtol=1e-6)
    normalised = continual.normalised_importance(first)
    close(
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(normalised)]).mean(), 1, rtol=1e-6
    )
    close(continual.normalised_importance(jax.tree.map(jnp.zeros_like, first))["head"], 0, atol=0)


def test_a_score_below_zero_counts_as_zero_in_the_importance_only(close):
    params = {"fell": jnp.ones(1), "rose": jnp.ones(1), "stayed": jnp.ones(1)}
    gradient = {"fell": jnp.ones(1), "rose": -jnp.ones(1), "stayed": jnp.ones(1)}
    after = {"fell": jnp.zeros(1), "rose": jnp.zeros(1), "stayed": jnp.ones(1)}
    walk, importance = continual.walk_importance(
        continual.walk_on(continual.start_walk(params), gradient, params, after)
    )
    score = 0.5 / (0.5 * 0.9 + 0.01)
    close([walk.score[name][0] for name in params], [score, -score, 0], rtol=1e-6)
    close([importance[name][0] for name in params], [0.9 + score, 0.9, 0.9], rtol=1e-6)
