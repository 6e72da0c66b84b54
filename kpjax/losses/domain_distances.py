"""Distances of two domains, or of two heads' maps, which RegDA's rivals make small: MCD, DANN and DAN."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.heatmaps import spatial_softmax
from kpjax.losses.adversarial import Maps, Scalar


def softmax_discrepancy(logits_a: Maps, logits_b: Maps) -> Scalar:
    """Computes the mean over all entries of |softmax(a) - softmax(b)|, the softmax over the cells
    of each map.

    It shrinks as 1 / (height * width); multiply by height * width to compare map sizes. Source:
    Saito et al. 2018 (MCD), on heatmaps.
    """
    chex.assert_rank(logits_a, 4)
    chex.assert_equal_shape([logits_a, logits_b])
    return jnp.abs(spatial_softmax(logits_a) - spatial_softmax(logits_b)).mean()


def domain_confusion(
    source_probability: Float[Array, "*source"], target_probability: Float[Array, "*target"]
) -> Scalar:
    """Computes half the sum of the discriminator's two cross-entropies, source as 1 and target as
    0, each a batch mean.

    Probabilities are kept at 1e-37 or more inside the logarithms. Source: Ganin et al. 2016 (DANN).
    Both are of one rank; the batches may differ in size.
    """
    chex.assert_rank(target_probability, source_probability.ndim)

    def cost(probability):
        return -jnp.log(jnp.maximum(probability, 1e-37)).mean()

    return 0.5 * (
        cost(source_probability.astype(jnp.float32))
        + cost(1.0 - target_probability.astype(jnp.float32))
    )


def multi_kernel_mmd(
    source_features: Float[Array, "batch channels"], target_features: Float[Array, "batch channels"]
) -> Scalar:
    """Computes the maximum mean discrepancy under a sum of Gaussian kernels, by the estimator
    linear in the batch size.

    Each kernel is exp(-d² / (2 alpha m)), with alpha of 1/8, 1/4, 1/2, 1 and 2, and m the mean of
    d² over all ordered pairs of the joint batch. Pairs of a sample with itself are included, and m
    is constant to the gradient. Neighbouring samples of the batch, cyclically, form the quadruples
    k(s, s') + k(t, t') - k(s, t') - k(s', t). The result is their mean, which may be negative.
    Source: Long et al. 2015 (DAN), with the kernels of the official RegDA library.
    """
    chex.assert_rank(source_features, 2)
    chex.assert_equal_shape([source_features, target_features])
    source = source_features.astype(jnp.float32)
    target = target_features.astype(jnp.float32)
    joint = jax.lax.stop_gradient(jnp.concatenate([source, target]))
    # Twice the variance is the mean squared distance of all pairs; no matrix of pairs is needed.
    centred = joint - joint.mean(0, keepdims=True)
    m = 2 * jnp.square(centred).sum(1).mean()
    alphas = jnp.asarray([1 / 8, 1 / 4, 1 / 2, 1, 2], jnp.float32)
    bandwidths = alphas * jnp.maximum(m, 1e-12)

    def kernels(a, b):
        squares = jnp.square(a - b).sum(1)
        exponents = -squares[:, None] / (2 * bandwidths[None])
        return jnp.exp(exponents).sum(1)

    next_source = jnp.roll(source, -1, axis=0)
    next_target = jnp.roll(target, -1, axis=0)
    return (
        kernels(source, next_source)
        + kernels(target, next_target)
        - kernels(source, next_target)
        - kernels(next_source, target)
    ).mean()
