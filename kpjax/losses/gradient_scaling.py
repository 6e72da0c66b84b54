"""The layer between features and an adversary: it scales gradients, and leaves values as they are."""

import chex
import jax
import jax.numpy as jnp


@jax.custom_vjp
def _scale_gradient(tree, factor):
    return tree


def _scale_gradient_forward(tree, factor):
    return tree, factor


def _scale_gradient_backward(factor, cotangents):
    scaled = jax.tree.map(lambda c: c * factor.astype(c.dtype), cotangents)
    return scaled, jnp.zeros_like(factor)


_scale_gradient.defvjp(_scale_gradient_forward, _scale_gradient_backward)


def scale_gradient(tree, factor):
    """Returns the tree unchanged and multiplies its gradient by `factor` on the way back.

    tree: any tree of floating-point arrays. factor: a scalar, traced or not, negative for gradient
    reversal (Ganin et al. 2016). The factor itself gets no gradient.
    """
    chex.assert_rank(factor, 0)
    return _scale_gradient(tree, jnp.asarray(factor, jnp.float32))
