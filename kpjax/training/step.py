"""Compiled pieces of a training step, each compiled once for a method and a mesh."""
import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kpjax.training.mesh import by_examples, replicated
from kpjax.training.trees import describe


@functools.lru_cache(maxsize=16)
def compiled_update(update, mesh: Mesh):
    """Returns the step of a method on a mesh, compiled once, and the list of its metrics, which tracing fills."""
    names: list[str] = []

    def step(state, streams, stage_key):
        state, metrics = update(state, streams, jax.random.fold_in(stage_key, state.step))
        names[:] = metrics
        # One vector: one transfer per step, however many metrics there are.
        return state, jnp.stack([value.astype(jnp.float32) for value in metrics.values()])

    whole = replicated(mesh)
    return jax.jit(step, in_shardings=(whole, by_examples(mesh), whole), out_shardings=(whole, whole),
                   donate_argnums=0), names


@jax.jit
def finite_leaves(state) -> jax.Array:
    """Returns a flag for each leaf of a state, in order: whether it is finite. Integers and keys always are."""
    return jnp.stack([jnp.isfinite(leaf).all() if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.bool(True)
                      for leaf in jax.tree.leaves(state)])


def replaced(state, new, mesh: Mesh):
    """Returns the state that `between` returned, in buffers of its own: shared ones would be donated twice."""
    if describe(state) != describe(new):
        different = sorted(set(describe(state).items()) ^ set(describe(new).items()))[0]
        raise ValueError(f"between: the state that it returns has other arrays: {different[0]} {different[1]}")
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(new)
