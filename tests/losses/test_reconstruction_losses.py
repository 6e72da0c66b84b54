"""Pixels, features, and their running averages."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses.reconstruction import (
    balanced_distances,
    feature_distances,
    feature_sizes,
    moved_averages,
    pixel_mse,
)

close = np.testing.assert_allclose


@pytest.fixture(scope="module")
def pair():
    """An image and its reconstruction, and a stand-in for a network: the numbers of the adaptation paper's check."""
    target = jnp.linspace(0, 1, 12).reshape(1, 2, 2, 3)
    image = (jnp.tanh(jnp.sin(jnp.arange(12.0))).reshape(1, 2, 2, 3) + 1) / 2
    matrix = jnp.array([[1, -1], [0.5, 0.5], [-1, 1]])

    def layers(x):
        mixed = jnp.einsum("bhwc,cd->bhwd", x, matrix, precision="highest")
        return jax.nn.relu(mixed), 2 * jax.nn.relu(x.mean(-1, keepdims=True) - 0.3)

    return image, target, layers


def test_sizes_of_features_balance_layers_of_any_scale():
    found, targets = ([jax.random.normal(jax.random.key(number), (2, side, side, 3)) for side in (8, 4)]
                      for number in range(2))

    def balanced(scales):
        layers, wanted = ([layer * scale for layer, scale in zip(some, scales, strict=True)]
                          for some in (found, targets))
        return balanced_distances(feature_distances(layers, wanted), feature_sizes(wanted))

    np.testing.assert_allclose(feature_sizes(targets), [np.square(layer).mean() for layer in targets], rtol=1e-6)
    np.testing.assert_allclose(balanced((1.0, 1.0)), balanced((1e3, 1e-2)), rtol=1e-5)
    zero = [jnp.zeros_like(layer) for layer in targets]
    from_nothing = balanced_distances(feature_distances(zero, targets), feature_sizes(targets))
    np.testing.assert_allclose(from_nothing, len(targets), rtol=1e-6)


def test_layers_are_balanced_by_averages_that_are_constants():
    averages, distances = jnp.array([100.0, 2.0]), jnp.array([50.0, 4.0])
    moved = moved_averages(averages, distances)
    close(moved, [99.5, 2.02], rtol=1e-6)
    close(balanced_distances(distances, moved), 50 / 99.5 + 4 / 2.02, rtol=1e-6)
    gradient = jax.grad(lambda d: balanced_distances(d, moved_averages(averages, d)))(distances)
    close(gradient, 1 / moved, rtol=1e-6)



def test_a_layer_that_is_zero_throughout_adds_nothing():
    zero = jnp.zeros(2)
    value, gradient = jax.value_and_grad(lambda d: balanced_distances(d, zero))(zero)
    assert value == 0
    assert np.isfinite(gradient).all()


def test_pixels_without_weight_count_nothing_and_have_no_gradient(pair, close):
    """The mean stays over all places, and a coarser layer has the weight interpolated."""
    image, target, layers = pair
    left = jnp.zeros((1, 2, 2, 1)).at[:, :, 0].set(1.0)
    close(pixel_mse(image, target, weight=left), jnp.square(image - target)[:, :, 0].sum() / 12, rtol=1e-6)
    gradient = jax.grad(lambda x: pixel_mse(x, target, weight=left))(image)
    close(gradient[:, :, 1], 0, atol=0)
    close(jnp.any(gradient[:, :, 0] != 0), True)
    ones = jnp.ones((1, 2, 2, 1))
    close(feature_distances(layers(image), layers(target), weight=ones), [0.187735, 0.501061], atol=1e-6)
    coarse = feature_distances([jnp.full((1, 1, 1, 4), 3.0)], [jnp.ones((1, 1, 1, 4))], weight=left)
    close(coarse, [4 * 0.5], rtol=1e-6)
