"""Penalties and importances of continual learning, against their definitions written out."""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses import continual


def tree(seed, positive=False):
    random = np.random.default_rng(seed)
    made = {"conv": {"kernel": random.normal(size=(3, 4))}, "head": random.normal(size=5)}
    return jax.tree.map(lambda leaf: jnp.float32(np.abs(leaf) if positive else leaf), made)


def test_sums_and_importances_of_mean_1(close):
    first, second = (tree(seed, positive=True) for seed in range(2))
    close(
        continual.fused_importance(first, second, rule="sum")["head"],
        first["head"] + second["head"],
    )
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
