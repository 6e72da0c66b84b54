"""Pixels, features, and their running averages."""

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.losses import (
    balanced_distances,
    feature_distances,
    feature_sizes,
    moved_averages,
    pixel_mse,
)


def drawn(number):
    return [
        jnp.asarray(
            np.random.default_rng(number + side).normal(size=(2, side, side, 3)), jnp.float32
        )
        for side in (8, 4)
    ]


def test_sizes_of_features_balance_layers_of_any_scale(close):
    found, targets = drawn(0), drawn(1)

    def balanced(scales):
        layers, wanted = (
            [layer * scale for layer, scale in zip(some, scales, strict=True)]
            for some in (found, targets)
        )
        return balanced_distances(feature_distances(layers, wanted), feature_sizes(wanted))

    close(feature_sizes(targets), [jnp.square(layer).mean() for layer in targets], rtol=1e-6)
    close(balanced((1.0, 1.0)), balanced((1e3, 1e-2)), rtol=1e-5)
    zero = [jnp.zeros_like(layer) for layer in targets]
    from_nothing = balanced_distances(feature_distances(zero, targets), feature_sizes(targets))
    close(from_nothing, len(targets), rtol=1e-6)


def test_layers_are_balanced_by_averages_that_are_constants(close):
    """A layer that is zero throughout adds nothing."""
    averages, distances = jnp.array([100.0, 2.0]), jnp.array([50.0, 4.0])
    moved = moved_averages(averages, distances)
    close(moved, [99.5, 2.02], rtol=1e-6)
    close(balanced_distances(distances, moved), 50 / 99.5 + 4 / 2.02, rtol=1e-6)
    gradient = jax.grad(lambda d: balanced_distances(d, moved_averages(averages, d)))(distances)
    close(gradient, 1 / moved, rtol=1e-6)
    value, gradient = jax.value_and_grad(lambda d: balanced_distances(d, jnp.zeros(2)))(
        jnp.zeros(2)
    )
    close(value, 0, atol=0)
    close(jnp.isfinite(gradient), True)


def test_pixels_without_weight_count_nothing_and_have_no_gradient(close):
    """The mean stays over all places, and a coarser layer has the weight interpolated."""
    image, target = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 1, 2, 2, 3)), jnp.float32)
    left = jnp.zeros((1, 2, 2, 1)).at[:, :, 0].set(1.0)
    close(
        pixel_mse(image, target, weight=left),
        jnp.square(image - target)[:, :, 0].sum() / 12,
        rtol=1e-6,
    )
    gradient = jax.grad(lambda x: pixel_mse(x, target, weight=left))(image)
    close(gradient[:, :, 1], 0, atol=0)
    close(jnp.any(gradient[:, :, 0] != 0), True)
    ones = jnp.ones((1, 2, 2, 1))
    close(
        feature_distances([image], [target], weight=ones),
        feature_distances([image], [target]),
        rtol=1e-6,
    )
    coarse = feature_distances([jnp.full((1, 1, 1, 4), 3.0)], [jnp.ones((1, 1, 1, 4))], weight=left)
    close(coarse, [4 * 0.5], rtol=1e-6)
