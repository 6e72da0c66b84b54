"""A pass over data: sums of what a function measures, for statistics that an update does not compute."""
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kpjax.structures import Example
from kpjax.training.evaluation import padded_batches
from kpjax.training.feed import read_ahead
from kpjax.training.mesh import by_rows, data_mesh, replicate, replicated, shard

Measure = Callable[[Any, Example, jax.Array], Any]  # (state, batch, weights (B,)) -> tree of sums


def reduce(
    measure: Measure, state: Any, source, *, batch_size: int | None = None, steps: range | None = None,
    mesh: Mesh | None = None,
) -> Any:
    """The sum of `measure(state, batch, weights)` over all batches, a tree on the devices.

    source: a source, read once in batches of `batch_size`, where weights (B,) float32 are 0 for padding and 1 for the
    rest; or a stream of batches, of which `steps` are read. measure: pure; its sums must weight every example, and are
    added in the dtype that they come in. An example's sum may be anything: statistics, importances, a histogram.
    """
    mesh = mesh or data_mesh()
    if steps is not None:
        batches = read_ahead(lambda step: shard(source[step], mesh), steps)
    else:
        batches = padded_batches(source, batch_size, mesh)
    first, add = _compiled(measure, mesh)
    state, sums = replicate(state, mesh), None
    for batch in batches:
        sums = first(state, batch) if sums is None else add(sums, state, batch)
    return sums


@functools.lru_cache(maxsize=16)
def _compiled(measure: Measure, mesh: Mesh):
    def first(state, batch):
        return measure(state, batch, (batch.index >= 0).astype(jnp.float32))

    def add(sums, state, batch):
        return jax.tree.map(jnp.add, sums, first(state, batch))

    whole, rows = replicated(mesh), by_rows(mesh)
    return (jax.jit(first, in_shardings=(whole, rows), out_shardings=whole),
            jax.jit(add, in_shardings=(whole, whole, rows), out_shardings=whole, donate_argnums=0))
