"""Ground false by area, permuted keypoints, gradient layers, and the baselines' losses.

Others are in tests/papers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.heatmaps import gaussian_bumps
from kpjax.losses import adversarial

close = np.testing.assert_allclose


@pytest.fixture(scope="module")
def logits():
    return tuple(
        np.random.default_rng(seed).normal(size=(2, 8, 9, 4)).astype(np.float32) for seed in (0, 1)
    )


by_others = jax.jit(adversarial.ground_false_by_others, static_argnames=("sigma", "clip"))
by_area = jax.jit(adversarial.ground_false_by_area, static_argnames=("sigma", "low", "high"))


def test_ground_false_by_area_equals_the_sum_over_its_cells():
    main = np.zeros((2, 10, 11, 1), np.float32)
    main[0, 4, 5], main[1, 9, 10] = 1, 1
    maps = by_area(main, sigma=1.0, low=3, high=6)
    cells = np.float32([(x, y) for y in range(3, 7) for x in range(3, 7)])
    bumps = np.asarray(jax.jit(lambda cells: gaussian_bumps(cells, (10, 11), 1.0))(cells))
    predicted = [k for k, cell in enumerate(cells) if tuple(cell) == (5, 4)]
    close(maps.false[0, :, :, 0], np.delete(bumps, predicted, axis=-1).sum(-1), atol=1e-5)
    # a prediction outside the area takes nothing away
    close(maps.false[1, :, :, 0], bumps.sum(-1), atol=1e-5)


@pytest.mark.parametrize("factor", [0.25, -1.0, 0.0])
def test_scale_gradient(factor):
    tree = {"a": jnp.array([1.0, 2.0]), "b": (jnp.array(3.0, jnp.bfloat16),)}

    @jax.jit
    def gradients(tree, factor):
        def value(tree, factor):
            tree = adversarial.scale_gradient(tree, factor)
            return jnp.square(tree["a"]).sum() + tree["b"][0].astype(jnp.float32)

        return jax.value_and_grad(value, argnums=(0, 1))(tree, factor)

    value, (to_tree, to_factor) = gradients(tree, jnp.float32(factor))
    assert value == 8  # the identity forward, bit for bit
    close(to_tree["a"], factor * np.array([2.0, 4.0]))
    assert to_tree["b"][0].dtype == jnp.bfloat16
    close(to_tree["b"][0].astype(jnp.float32), factor)
    assert to_factor == 0


def plain_mmd(source, target, alphas):
    joint = np.concatenate([source, target])
    spread = np.mean([((a - b) ** 2).sum() for a in joint for b in joint])

    def kernel(a, b):
        return sum(np.exp(-((a - b) ** 2).sum() / (2 * alpha * spread)) for alpha in alphas)

    count, total = len(source), 0.0
    for i in range(count):
        j = (i + 1) % count
        total += kernel(source[i], source[j]) + kernel(target[i], target[j])
        total -= kernel(source[i], target[j]) + kernel(source[j], target[i])
    return total / count


def test_mmd_equals_a_plain_one():
    generator = np.random.default_rng(0)
    source, target = generator.normal(size=(6, 5)), generator.normal(1.0, 2.0, size=(6, 5))
    found = jax.jit(adversarial.multi_kernel_mmd)(jnp.float32(source), jnp.float32(target))
    close(found, plain_mmd(source, target, (1 / 8, 1 / 4, 1 / 2, 1, 2)), rtol=1e-4)


def test_mmd_of_constant_features_has_a_finite_gradient():
    value, gradient = jax.jit(jax.value_and_grad(adversarial.multi_kernel_mmd))(
        jnp.ones((4, 3)), jnp.ones((4, 3))
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_domain_confusion_stays_finite_when_the_discriminator_is_certain():
    probabilities = np.float32([0.0, 1.0])
    value, gradients = jax.jit(jax.value_and_grad(adversarial.domain_confusion, argnums=(0, 1)))(
        *2 * [probabilities]
    )
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_permuted_keypoints_have_permuted_maps(logits):
    order = np.array([2, 0, 3, 1])
    straight = by_others(logits[0], sigma=1.0)
    permuted = by_others(logits[0][..., order], sigma=1.0)
    close(permuted.truth, straight.truth[..., order])
    close(permuted.false, straight.false[..., order], atol=1e-6)


def test_softmax_discrepancy_is_zero_for_shifted_logits(logits):
    discrepancy = jax.jit(adversarial.softmax_discrepancy)
    close(discrepancy(logits[0], logits[0] + 5), 0, atol=1e-6)
    assert discrepancy(*logits) > 0
