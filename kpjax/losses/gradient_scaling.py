"""The layer between features and an adversary, which scales gradients and leaves values as they are,
and its coefficient.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]  # float32


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


def warm_start(step: Scalar, *, high: float = 0.1, steps: int = 1000) -> Scalar:
    """Computes the coefficient of a gradient layer, which grows from 0 at step 0 to `high` along a
    sigmoid.

    2 high / (1 + exp(-step / steps)) - high, with the step as a float. It is written as a
    hyperbolic tangent, which loses no digits at the first steps.
    """
    chex.assert_rank(step, 0)
    return high * jnp.tanh(step.astype(jnp.float32) * (1 / (2 * steps)))
