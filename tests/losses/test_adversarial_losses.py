"""Ground false by area, permuted keypoints, gradient layers, and the baselines' losses.

Others are in tests/papers.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.heatmaps import gaussian_bumps
from kpjax.losses import adversarial, domain_distances, gradient_scaling

close = np.testing.assert_allclose


@pytest.fixture(scope="module")
def logits():
    return tuple(
        np.random.default_rng(seed).normal(size=(2, 8, 9, 4)).astype(np.float32) for seed in (0, 1)
    )


by_others = jax.jit(adversarial.ground_false_by_others, static_argnames=("sigma", "clip"))
by_area = jax.jit(
    adversarial.ground_false_by_area, static_argnames=("sigma", "low", "high", "clip")
)
uniform = jax.jit(adversarial.ground_false_uniform, static_argnames="sigma")


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


def test_the_union_of_an_area_is_flat_inside_and_the_sum_dips_at_the_prediction():
    main = np.zeros((1, 12, 12, 1), np.float32)
    main[0, 5, 6] = 1
    summed, united = (
        by_area(main, sigma=1.0, low=3, high=8, clip=clip).false[0, :, :, 0]
        for clip in (False, True)
    )
    close(united, np.minimum(summed, 1.0))
    close(united[3:9, 3:9], 1.0)
    # of a whole line of Gaussians at distances 0 to 3, squared, less the one at the prediction
    line = 1 + 2 * sum(np.exp(-(d**2) / 2) for d in (1, 2)) + np.exp(-4.5)
    close(summed[5, 6], line**2 - 1, rtol=1e-5)


def test_a_uniform_ground_false_asks_for_flat_maps_wherever_the_prediction_is(logits):
    """KL(uniform || softmax) is the mean of -log softmax less the logarithm of the cells."""
    main, adversary = logits
    maps, weights = uniform(main, sigma=1.0), np.ones((2, 4), np.float32)
    close(maps.truth, by_others(main, sigma=1.0).truth, **{"atol": 0})
    assert (maps.false == 1).all()
    far = jax.jit(adversarial.maximum_disparity)
    cells = main.shape[1] * main.shape[2]
    flat = np.float64(adversary).reshape(2, cells, 4)
    log_softmax = flat - np.log(np.exp(flat).sum(1, keepdims=True))
    close(far(adversary, maps, weights), -log_softmax.mean() - np.log(cells), rtol=1e-5)
    close(far(np.zeros_like(main), maps, weights), 0, atol=1e-6)
    # which is what the empty union of a single keypoint's others asks for, by its epsilon
    one = by_others(main[..., :1], sigma=1.0)
    close(
        far(adversary[..., :1], one, weights[:, :1]),
        far(adversary[..., :1], uniform(main[..., :1], sigma=1.0), weights[:, :1]),
        rtol=1e-4,
    )


def test_the_sum_of_the_others_weighs_a_crowded_place_by_how_many_are_there():
    """Two at one cell and one elsewhere: masses 2 to 1 in the sum, 1 to 1 in the union."""
    main = np.zeros((1, 16, 16, 4), np.float32)
    for number, (x, y) in enumerate(((8, 8), (3, 3), (3, 3), (12, 12))):
        main[0, y, x, number] = 1
    summed, united = (
        by_others(main, sigma=0.5, clip=clip).false[0, ..., 0] for clip in (False, True)
    )
    close([summed[3, 3], summed[12, 12]], [2, 1])
    close([united[3, 3], united[12, 12]], [1, 1])
    close(summed[2, 3], 2 * np.exp(-2), rtol=1e-5)
    close(united[2, 3], 2 * np.exp(-2), rtol=1e-5)  # below 1 they are equal


@pytest.mark.parametrize("factor", [0.25, -1.0, 0.0])
def test_scale_gradient(factor):
    tree = {"a": jnp.array([1.0, 2.0]), "b": (jnp.array(3.0, jnp.bfloat16),)}

    @jax.jit
    def gradients(tree, factor):
        def value(tree, factor):
            tree = gradient_scaling.scale_gradient(tree, factor)
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
    found = jax.jit(domain_distances.multi_kernel_mmd)(jnp.float32(source), jnp.float32(target))
    close(found, plain_mmd(source, target, (1 / 8, 1 / 4, 1 / 2, 1, 2)), rtol=1e-4)


def test_mmd_of_constant_features_has_a_finite_gradient():
    value, gradient = jax.jit(jax.value_and_grad(domain_distances.multi_kernel_mmd))(
        jnp.ones((4, 3)), jnp.ones((4, 3))
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_domain_confusion_stays_finite_when_the_discriminator_is_certain():
    probabilities = np.float32([0.0, 1.0])
    value, gradients = jax.jit(
        jax.value_and_grad(domain_distances.domain_confusion, argnums=(0, 1))
    )(*2 * [probabilities])
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_softmax_discrepancy_is_zero_for_shifted_logits(logits):
    discrepancy = jax.jit(domain_distances.softmax_discrepancy)
    close(discrepancy(logits[0], logits[0] + 5), 0, atol=1e-6)
    assert discrepancy(*logits) > 0
