"""Heatmap losses: a plain numpy oracle, masks, invariances, gradients."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses.heatmap import heatmap_focal, heatmap_kl, heatmap_mse

close = np.testing.assert_allclose
kl = jax.jit(heatmap_kl, static_argnames="epsilon")
focal = jax.jit(heatmap_focal)


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


# Heatmaps between 0 and 1


def test_focal_is_the_quality_focal_loss_and_0_at_the_target(batch):
    logits, targets, weights = batch
    y, t = jax.nn.sigmoid(logits), jnp.minimum(targets, 1.0)
    y64, t64, w64 = (np.asarray(one, np.float64) for one in (y, t, weights))
    surprise = -(t64 * np.log(y64) + (1 - t64) * np.log(1 - y64))
    close(focal(y, t, weights), (w64[:, None, None] * (t64 - y64) ** 2 * surprise).mean(), rtol=1e-5)
    inside = jnp.clip(t, 0.01, 0.99)
    value, gradient = jax.jit(jax.value_and_grad(heatmap_focal))(inside, inside, weights)
    close(value, 0, atol=1e-7)
    close(gradient, 0, atol=1e-6)


def pulls(loss, top, floor):
    """The gradient by a logit that all cells share, and by that of the peak, of a map that has a peak of height `top`
    at the right place and `floor` elsewhere."""
    rows = np.arange(48.0)
    target = np.exp(-((rows[:, None] - 30) ** 2 + (rows - 20) ** 2) / (2 * 1.5**2))[None, :, :, None]
    target = jnp.asarray(target, jnp.float32)
    height = floor + (top - floor) * target
    logits = jnp.log(height / (1 - height))
    gradient = jax.jit(jax.grad(lambda z: loss(jax.nn.sigmoid(z), target, jnp.ones((1, 1)))))(logits)
    return float(gradient.sum()), float(gradient[0, 30, 20, 0])


def test_squared_errors_let_a_map_fade_and_focal_ones_raise_it():
    """A descending bias rises where its gradient is negative: 2,300 empty cells must not outweigh one peak."""
    for top in (0.8, 0.3, 0.03):
        assert pulls(heatmap_mse, top, 0.03)[0] > 0
        assert pulls(heatmap_focal, top, 0.03)[0] < 0
    # The peak that has faded has the least gradient of squared errors, and the largest of focal ones.
    assert abs(pulls(heatmap_mse, 0.03, 0.003)[1]) < 0.25 * abs(pulls(heatmap_mse, 0.3, 0.003)[1])
    assert abs(pulls(heatmap_focal, 0.03, 0.003)[1]) > 1.5 * abs(pulls(heatmap_focal, 0.3, 0.003)[1])


def test_focal_is_finite_at_saturated_sigmoids_and_reads_no_map_of_weight_0():
    y = jnp.array([1.0, 0.0, 1.0, 0.0]).reshape(1, 2, 2, 1) * jnp.ones((1, 2, 2, 2))
    t = jnp.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 2, 2, 1) * jnp.ones((1, 2, 2, 2))
    y = y.at[..., 1].set(jnp.nan)
    value, gradient = jax.jit(jax.value_and_grad(heatmap_focal))(y, t, jnp.array([[1.0, 0.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert not gradient[..., 1].any()
