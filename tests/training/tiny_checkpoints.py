"""What the tests of checkpoints save, and the process that saves it on a full disc."""
import jax
import jax.numpy as jnp
import numpy as np
from tiny import Batches, tiny

from kpjax.training.mesh import data_mesh, replicated

IDENTITY = {"stage": "main", "config": {"rate": 0.1}}


def state_of(step):
    streams = {"labelled": Batches()[0]}
    state = jax.jit(tiny().init, out_shardings=replicated(data_mesh()))(jax.random.key(step), streams, {})
    return state._replace(step=jnp.int32(step), frozen=jax.tree.map(jnp.array, FROZEN))


FROZEN = {"core": {"scale": np.arange(3, dtype=np.float32), "half": np.ones((2, 2), jnp.bfloat16)}, "empty": {}}


def template():
    whole = replicated(data_mesh())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), state_of(0))
