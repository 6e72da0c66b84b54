"""Heatmap losses: a plain numpy oracle, masks, invariances, gradients."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses.heatmap import heatmap_kl, heatmap_kl_per_keypoint

close = np.testing.assert_allclose
kl = jax.jit(heatmap_kl, static_argnames="epsilon")


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(0), 2)
    logits = 3 * jax.random.normal(keys[0], (2, 5, 4, 3))
    targets = jnp.maximum(jax.random.normal(keys[1], (2, 5, 4, 3)), 0.0)
    weights = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    return logits, targets.at[1, :, :, 2].set(0.0), weights


def plain_kl(logits, targets, weights, epsilon):
    """Keypoint by keypoint, in float64."""
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    out = np.zeros(weights.shape)
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            mass = targets[b, :, :, k] + epsilon
            if weights[b, k] == 0 or mass.sum() == 0:
                continue
            q = np.exp(logits[b, :, :, k]) / np.exp(logits[b, :, :, k]).sum()
            p = mass / mass.sum()
            out[b, k] = weights[b, k] * (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()
    return out


@pytest.mark.parametrize("epsilon", [0.0, 1e-7, 0.1])
def test_kl_equals_a_plain_one(batch, epsilon):
    found = jax.jit(heatmap_kl_per_keypoint, static_argnames="epsilon")(*batch, epsilon=epsilon)
    expected = plain_kl(*batch, epsilon)
    close(found, expected, rtol=1e-5, atol=1e-6)
    close(kl(*batch, epsilon=epsilon), expected.mean(), rtol=1e-5)


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


