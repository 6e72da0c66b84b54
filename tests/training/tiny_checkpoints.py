"""What the tests of checkpoints save, also a process on a full disc."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from tiny import Batches, tiny

from kpjax.training.mesh import data_mesh, replicated

IDENTITY = {"stage": "main", "config": {"rate": 0.1}}


@functools.cache
def first_state():
    """The program that makes a first state."""
    return jax.jit(tiny().init, out_shardings=replicated(data_mesh()))


def state_of(step):
    state = first_state()(jax.random.key(step), {"labelled": Batches()[0]}, {})
    return state._replace(step=jnp.int32(step), frozen=jax.tree.map(jnp.array, FROZEN))


FROZEN = {"core": {"scale": np.arange(3, dtype=np.float32), "half": np.ones((2, 2), jnp.bfloat16)}, "empty": {}}


def template():
    whole = replicated(data_mesh())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), state_of(0))
