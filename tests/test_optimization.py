"""Parts of optimizers."""
import jax.numpy as jnp
import numpy as np
import optax

from kpjax.optimization import descend, scale_backbone


def test_a_backbone_moves_by_its_share_of_the_step_wherever_it_stands():
    params = {"backbone": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(2)},
              "free": {"backbone": {"bias": jnp.ones(2)}}}
    gradient = {"backbone": {"kernel": jnp.array([1.0, -2.0])}, "head": {"kernel": jnp.array([1.0, -2.0])},
                "free": {"backbone": {"bias": jnp.array([4.0, 0.0])}}}
    optimizer = optax.chain(optax.trace(0.0), scale_backbone(0.25))
    moved, _ = descend(optimizer, gradient, optimizer.init(params), params, lambda step: 0.1, jnp.int32(0))
    np.testing.assert_allclose(moved["head"]["kernel"], [0.9, 1.2])
    np.testing.assert_allclose(moved["backbone"]["kernel"], [0.975, 1.05])
    np.testing.assert_allclose(moved["free"]["backbone"]["bias"], [0.9, 1.0])
