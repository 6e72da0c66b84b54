"""Penalties and importances of continual learning, against their definitions written out."""
import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses.continual import (
    anchored_penalty,
    fused_importance,
    normalised_importance,
    one_anchor,
    quadratic_penalty,
    start_walk,
    walk_importance,
    walk_on,
    with_anchor,
)

close = np.testing.assert_allclose


def tree(seed, positive=False):
    first, second = jax.random.split(jax.random.key(seed))
    made = {"conv": {"kernel": jax.random.normal(first, (3, 4))}, "head": jax.random.normal(second, (5,))}
    return jax.tree.map(jnp.abs, made) if positive else made


def test_the_penalty_is_half_the_weighted_squares_and_pulls_to_the_anchor():
    params, anchor, importance = tree(0), tree(1), tree(2, positive=True)
    importance["head"] = jnp.zeros(5)
    value, gradient = jax.jit(jax.value_and_grad(quadratic_penalty))(params, anchor, importance)
    difference = np.asarray(params["conv"]["kernel"] - anchor["conv"]["kernel"])
    close(value, 0.5 * (np.asarray(importance["conv"]["kernel"]) * difference**2).sum(), rtol=1e-6)
    close(gradient["conv"]["kernel"], importance["conv"]["kernel"] * difference, rtol=1e-6)
    np.testing.assert_array_equal(gradient["head"], 0)
    close(quadratic_penalty(params, anchor, importance, half=False), 2 * value, rtol=1e-6)
    assert quadratic_penalty(anchor, anchor, importance) == 0


def test_any_number_of_anchors_is_the_sum_of_their_penalties():
    """Near the anchors, too, where sums of F theta² would leave no digit of the penalty."""
    far = jax.tree.map(lambda leaf: leaf + 1000, tree(0))
    anchors = [jax.tree.map(lambda leaf, step: leaf + 0.01 * step, far, tree(seed)) for seed in (1, 2, 3)]
    importances = [tree(seed, positive=True) for seed in (4, 5, 6)]
    importances[0]["head"] = importances[1]["head"] = jnp.zeros(5)
    anchored = one_anchor(anchors[0], importances[0])
    for anchor, importance in zip(anchors[1:], importances[1:], strict=True):
        anchored = jax.jit(with_anchor)(anchored, anchor, importance)
    assert jax.tree.structure(anchored.anchor) == jax.tree.structure(far)

    params = jax.tree.map(lambda leaf, step: leaf + 0.1 * step, far, tree(7))
    expected = sum(
        0.5 * (np.asarray(importance, np.float64) * (np.asarray(value, np.float64) - anchor) ** 2).sum()
        for of_step in zip(anchors, importances, strict=True)
        for value, anchor, importance in zip(*map(jax.tree.leaves, (params, *of_step)), strict=True))
    close(anchored_penalty(params, anchored), expected, rtol=2e-3)  # anchors near 1000 are themselves rounded by 6e-5
    close(anchored.anchor["head"], anchors[2]["head"], rtol=1e-7)


def test_fusing():
    first, second, third = (tree(seed, positive=True) for seed in range(3))
    mean = fused_importance(fused_importance(first, second, step=1), third, step=jnp.int32(2))
    close(mean["head"], (first["head"] + second["head"] + third["head"]) / 3, rtol=1e-6)
    close(fused_importance(first, second, rule="sum")["head"], first["head"] + second["head"])
    close(fused_importance(first, second, rule="half")["head"], (first["head"] + second["head"]) / 2)
    decayed = fused_importance(first, second, rule="decay", decay=0.7)
    close(decayed["head"], 0.7 * first["head"] + second["head"], rtol=1e-6)


def test_a_normalised_importance_has_mean_1_and_keeps_zeros():
    normalised = normalised_importance(tree(0, positive=True))
    close(np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(normalised)]).mean(), 1, rtol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, tree(0))
    assert not any(leaf.any() for leaf in jax.tree.leaves(normalised_importance(zeros)))


def test_a_score_below_zero_counts_as_zero_in_the_importance_only():
    params = {"fell": jnp.ones(1), "rose": jnp.ones(1), "stayed": jnp.ones(1)}
    gradient = {"fell": jnp.ones(1), "rose": -jnp.ones(1), "stayed": jnp.ones(1)}
    after = {"fell": jnp.zeros(1), "rose": jnp.zeros(1), "stayed": jnp.ones(1)}
    walk, importance = walk_importance(jax.jit(walk_on)(start_walk(params), gradient, params, after))
    score = 0.5 / (0.5 * 0.9 + 0.01)
    close([walk.score[name][0] for name in params], [score, -score, 0], rtol=1e-6)
    close([importance[name][0] for name in params], [0.9 + score, 0.9, 0.9], rtol=1e-6)
    _, unclipped = walk_importance(walk, clip=False)
    close(unclipped["rose"], 0.9 - score / 2, rtol=1e-5)
