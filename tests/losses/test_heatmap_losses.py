"""Heatmap losses: a plain numpy oracle, masks, invariances, gradients."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses.heatmap import heatmap_kl

close = np.testing.assert_allclose
kl = jax.jit(heatmap_kl, static_argnames="epsilon")


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(0), 2)
    logits = 3 * jax.random.normal(keys[0], (2, 5, 4, 3))
    targets = jnp.maximum(jax.random.normal(keys[1], (2, 5, 4, 3)), 0.0)
    weights = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    return logits, targets.at[1, :, :, 2].set(0.0), weights


def test_kl_is_shift_invariant_and_finite_for_extreme_logits(batch):
    logits, targets, weights = batch
    close(kl(logits + 100, targets, weights), kl(logits, targets, weights), rtol=1e-5)
    value, gradient = jax.jit(jax.value_and_grad(heatmap_kl))(1e4 * logits, targets, weights)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_kl_gradients_vanish_exactly_where_nothing_counts(batch):
    gradients = jax.jit(jax.grad(heatmap_kl, argnums=(0, 1)))(*batch)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert not np.any(gradient[0, :, :, 1])  # weight 0
        assert not np.any(gradient[1, :, :, 2])  # nothing to normalise
    assert np.any(gradients[0][0, :, :, 0])


