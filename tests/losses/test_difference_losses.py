"""The difference of two frames, turned maps, and keypoints that coincide."""
import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses import differences

close = np.testing.assert_allclose
rotation_equivariance, structural_difference = map(jax.jit, (
    differences.rotation_equivariance, differences.structural_difference))
separation = jax.jit(differences.separation, static_argnames="width")
SIZE = 24, 40


def textured(seed=0, shape=(2, *SIZE, 3)):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.2, 0.8, shape), jnp.float32)


def test_differences_are_symmetric_and_zero_where_nothing_changes():
    """A change reaches as far as both windows, 10 pixels; brightness is not a structure."""
    images = textured()
    changed = images.at[:, 4:8, 4:8].set(textured(1, (2, 4, 4, 3)))
    found = structural_difference(images, changed)
    assert found.shape == images.shape
    close(found, structural_difference(changed, images), atol=1e-5)
    close(found, np.repeat(found[..., :1], 3, -1), atol=0)
    close(found[:, 18:], 0, atol=1e-5)
    close(found[:, :, 18:], 0, atol=1e-5)
    assert found[:, 5, 5].min() > 0.1
    assert found.max() <= 2
    close(structural_difference(images, images + 0.1), 0, atol=1e-3)


def test_noise_on_an_even_background_is_structure():
    """With the variance of c_2, two of three parts of it: 1 - c / (2 v + c)."""
    noise = np.random.default_rng(0).normal(0.5, 0.03, (2, 1, 64, 64, 3))
    close(structural_difference(*jnp.asarray(noise, jnp.float32)).mean(), 2 / 3, atol=0.05)


def test_a_difference_is_a_constant():
    gradient = jax.grad(lambda images: structural_difference(images, textured(1)).sum())(textured())
    assert not gradient.any()


def test_turned_maps_are_compared_and_only_the_turned_are_pulled():
    maps = textured(shape=(2, 6, 6, 3))
    exact = [jnp.rot90(maps, quarters, axes=(1, 2)) for quarters in (1, 2, 3)]
    assert rotation_equivariance(maps, exact) == 0
    close(rotation_equivariance(maps, [exact[0] + 0.3, *exact[1:]]), 0.03, rtol=1e-5)
    assert rotation_equivariance(maps, exact[:1]) == 0
    assert rotation_equivariance(maps, exact[1:]) > 0.01  # the first is one quarter
    by_maps, by_turned = jax.grad(rotation_equivariance, argnums=(0, 1))(maps, [maps])
    assert not by_maps.any()
    assert by_turned[0].any()


def test_points_that_coincide_are_pushed_apart():
    heap = jnp.zeros((2, 4, 2))
    close(separation(heap), 3 / 4)
    assert separation(heap[:, :1]) == 0
    far = jnp.linspace(-0.9, 0.9, 8).reshape(1, 4, 2)
    assert separation(far) < 1e-6
    value, gradient = jax.value_and_grad(separation)(jnp.array([[[0.0, 0.0], [0.08, 0.0]]]))
    close(value, np.exp(-0.5) / 2, rtol=1e-6)
    assert gradient[0, 0, 0] > 0 > gradient[0, 1, 0]  # descent moves either away
    close(separation(jnp.array([[[0.0, 0.0], [0.3, 0.0]]]), width=0.3), np.exp(-0.5) / 2, rtol=1e-6)
