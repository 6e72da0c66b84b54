"""Consistency losses against the same written as they are defined, their gradients, and what they
cost in memory.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses import consistency
from kpjax.models.keypoint_classification import KeypointFeatures

close = np.testing.assert_allclose


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def weighted(representation):
    """A scalar that every entry of a representation has its own part in, and its gradient by
    features and masks.
    """

    def value(features, masks):
        z = representation(features, masks)
        return (z * jnp.cos(jnp.arange(z.size, dtype=jnp.float32)).reshape(z.shape)).sum()

    return jax.jit(jax.value_and_grad(value, (0, 1)))


def as_defined(features, masks):
    return (features[:, :, :, None, :] * masks[..., None]).max((1, 2))


def test_a_representation_and_its_gradient_are_those_of_the_product_over_all_axes():
    features, masks = normal(0, 3, 5, 7, 6), normal(1, 3, 5, 7, 4)
    np.testing.assert_array_equal(
        jax.jit(consistency.semantic_representation)(features, masks), as_defined(features, masks)
    )
    value, gradients = weighted(consistency.semantic_representation)(features, masks)
    expected, expected_gradients = weighted(as_defined)(features, masks)
    close(value, expected, rtol=1e-5)
    for found, right in zip(gradients, expected_gradients, strict=True):
        close(found, right, rtol=1e-5, atol=1e-6)


def test_of_equal_products_the_first_takes_the_gradient(close):
    features, masks = jnp.ones((1, 2, 3, 1)), jnp.ones((1, 2, 3, 1)).at[0, 0, 0, 0].set(0.5)
    by_features, by_masks = jax.grad(
        lambda *inputs: consistency.semantic_representation(*inputs).sum(), (0, 1)
    )(features, masks)
    for gradient in (by_features, by_masks):
        close(gradient[0, :, :, 0], [[0, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("keypoints", [16, 64])
def test_the_product_over_all_axes_is_never_in_memory(keypoints):
    """Batch 32 of 64 x 64 maps, 64 features: the plain product of 16 keypoints takes 537 MB."""
    inputs = [
        jax.ShapeDtypeStruct((32, 64, 64, channels), jnp.float32) for channels in (64, keypoints)
    ]
    compiled = weighted(consistency.semantic_representation).lower(*inputs).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 537e6 / 16 * keypoints / 16


@pytest.mark.parametrize("ties", [False, True])
def test_the_form_of_tpus_takes_the_same_pixels(ties):
    features, masks, slope = normal(0, 3, 5, 7, 6), normal(1, 3, 5, 7, 4), normal(2, 3, 4, 6)
    if ties:
        features, masks = jnp.round(features), jnp.maximum(jnp.round(masks), 0)
    forms = (
        (consistency._largest_pixels, consistency._pulled_by_products),
        (
            lambda *maps: (kept := consistency._masked_maximum_forward(*maps))[0:1] + kept[1][2:],
            consistency._pulled_by_places,
        ),
    )
    found, right = (
        jax.jit(
            lambda features, masks, forward=forward, backward=backward: (
                (largest := forward(features, masks))[0],
                backward(features, masks, largest[1], slope),
            )
        )(features, masks)
        for forward, backward in forms
    )
    np.testing.assert_array_equal(found[0], right[0])
    for one, other in zip(found[1], right[1], strict=True):
        close(one, other, rtol=1e-5, atol=1e-6)


def test_semantic_consistency_is_a_mean_over_the_keypoints_that_count():
    logits, weights = normal(0, 2, 3, 3), jnp.array([[1.0, 0, 1], [0, 1, 0]])
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.mean(np.log([probability[0, 0, 0], probability[0, 2, 2], probability[1, 1, 1]]))
    close(consistency.semantic_consistency(logits, weights), expected, rtol=1e-5)


def test_features_equal_resizing_concatenating_and_one_convolution():
    maps = [
        normal(0, 2, 8, 8, 3),
        normal(1, 2, 4, 4, 5),
        normal(2, 2, 4, 4, 2),
        normal(3, 2, 16, 16, 4),
    ]
    network = KeypointFeatures(6)
    variables = jax.jit(network.init, static_argnums=2)(jax.random.key(4), maps, (8, 8))
    params = {"kernel": variables["params"]["kernel"], "bias": normal(5, 6)}
    resized = [
        jax.image.resize(each, (2, 8, 8, each.shape[-1]), "bilinear", antialias=False)
        for each in maps
    ]
    expected = jnp.concatenate(resized, -1) @ params["kernel"] + params["bias"].reshape(1, 1, 1, -1)
    close(
        jax.jit(network.apply, static_argnums=2)({"params": params}, maps, (8, 8)),
        expected,
        rtol=1e-5,
        atol=1e-5,
    )


def test_unit_representations_cannot_buy_invariance_by_being_small(close):
    random = np.random.default_rng(0)
    z, other = (100 * random.normal(size=(2, 3, 8)).astype(np.float32) for _ in range(2))
    weights = jnp.ones((2, 3))

    def invariance(scale):
        return consistency.transformation_invariance(
            *(consistency.unit_representation(jnp.asarray(scale * each)) for each in (z, other)),
            weights,
        )

    close(jnp.linalg.norm(consistency.unit_representation(jnp.asarray(z)), axis=-1), 1, atol=1e-4)
    close(invariance(1.0), invariance(0.1), rtol=1e-4)
    close(jax.grad(lambda scale: invariance(jnp.exp(scale)))(0.0), 0, atol=1e-6)
    close(consistency.unit_representation(jnp.zeros((1, 1, 4))), 0, atol=0)
    close(
        jnp.isfinite(
            jax.grad(lambda z: consistency.unit_representation(z).sum())(jnp.zeros((1, 1, 4)))
        ),
        True,
    )


def test_features_at_one_scale_read_maps_of_any_size_of_numbers():
    maps = [normal(side, 2, side, side, 3) for side in (8, 4)]
    network = KeypointFeatures(6, one_scale=True)
    params = jax.jit(network.init, static_argnums=2)(jax.random.key(0), maps, (8, 8))
    scaled = [maps[0] * 1e3, maps[1] * 1e-2]
    of_one_scale, plain = (
        jax.jit(each.apply, static_argnums=2) for each in (network, KeypointFeatures(6))
    )
    found = of_one_scale(params, maps, (8, 8))
    close(of_one_scale(params, scaled, (8, 8)), found, rtol=1e-3, atol=1e-4)
    assert np.abs(plain(params, scaled, (8, 8)) - found).max() > 10
