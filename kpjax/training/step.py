"""The compiled pieces of a step, each compiled once for a method and a mesh."""
import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kpjax.training.mesh import by_rows, replicated
from kpjax.training.trees import describe


@functools.lru_cache(maxsize=16)
def compiled_update(update, mesh: Mesh):
    """A step for one mesh, compiled once per method, and the names of its metrics, filled in by tracing."""
    names: list[str] = []

    def step(state, streams, stage_key):
        state, metrics = update(state, streams, jax.random.fold_in(stage_key, state.step))
        names[:] = metrics
        # One vector: one transfer per step, however many metrics there are.
        return state, jnp.stack([value.astype(jnp.float32) for value in metrics.values()])

    placed = (replicated(mesh), by_rows(mesh), replicated(mesh))
    return jax.jit(step, in_shardings=placed, out_shardings=(placed[0], placed[0]), donate_argnums=0), names


@jax.jit
def finite_leaves(state) -> jax.Array:
    """Whether each leaf of a state is finite, in the order of its leaves; integers and keys always are."""
    return jnp.stack([jnp.isfinite(leaf).all() if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.bool(True)
                      for leaf in jax.tree.leaves(state)])


def replaced(state, new, mesh: Mesh):
    """The state that `between` returned, in buffers of its own: what it shares would be donated twice."""
    if describe(state) != describe(new):
        different = sorted(set(describe(state).items()) ^ set(describe(new).items()))[0]
        raise ValueError(f"between: the state that it returns has other arrays: {different[0]} {different[1]}")
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(new)
