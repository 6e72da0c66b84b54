"""Predictions for a whole source, exact on any number of devices: padding never counts, nothing is averaged."""
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from kpjax.errors import InputError
from kpjax.input.prefetch import read_ahead
from kpjax.input.source import Source, stacked
from kpjax.structures import Example, Method, Trained
from kpjax.training.mesh import by_rows, data_mesh, replicate, replicated, shard


class Gathered(NamedTuple):
    """Predictions beside the truth, numpy, in the order of the source. N is its number of examples."""

    keypoints: np.ndarray  # (N, K, 2) float32 px of the source's images
    scores: np.ndarray  # (N, K) float32
    index: np.ndarray  # (N,) int32
    true_keypoints: np.ndarray  # (N, K, 2) float32 px
    visible: np.ndarray  # (N, K) float32
    scale: np.ndarray  # (N,) float32 px
    crop: np.ndarray  # (N, 3, 3) float32, pixels of the source's images -> of the original images


def padded_size(batch_size: int, mesh: Mesh) -> int:
    """The batch size, rounded up to a multiple of the number of devices."""
    return -(-batch_size // mesh.size) * mesh.size


def padded_batches(source: Source, batch_size: int, mesh: Mesh) -> Iterator[Example]:
    """A source once, in order, as batches on the devices. The last is filled up with its first example at index -1."""
    if len(source) == 0:
        raise InputError(f"{source.name}: the set is empty; there is nothing to evaluate")
    rows = padded_size(batch_size, mesh)
    local = rows // jax.process_count()
    first = local * jax.process_index()

    def read(begin: int) -> Example:
        wanted = range(begin + first, begin + first + local)
        batch = stacked([source[number if number < len(source) else begin] for number in wanted])
        numbers = np.array([number if number < len(source) else -1 for number in wanted], np.int32)
        return shard(batch._replace(index=numbers), mesh)

    return read_ahead(read, range(0, len(source), rows))


def predict_source(
    method: Method, state: Any, source: Source, *, batch_size: int, mesh: Mesh | None = None, labelled: bool = False,
) -> Gathered:
    """Predicts every example of a source; batch_size is rounded up to a multiple of the number of devices.

    state: a State or a Trained. labelled: whether `predict` may see the keypoints; methods whose docstring says so
    need them, all others get zeros.
    """
    mesh = mesh or data_mesh()
    predict = _compiled_predict(method.predict, mesh, labelled)
    trained = replicate(Trained(state.variables, state.frozen), mesh)
    gathered, waiting = [], []
    for batch in padded_batches(source, batch_size, mesh):
        waiting.append(predict(trained, batch))
        if len(waiting) > 2:
            gathered.append(jax.tree.map(np.array, waiting.pop(0)))
    gathered += [jax.tree.map(np.array, result) for result in waiting]
    rows = Gathered(*(np.concatenate(field) for field in zip(*gathered, strict=True)))
    order = np.argsort(rows.index, kind="stable")
    order = order[rows.index[order] >= 0]
    return Gathered(*(field[order] for field in rows))


@functools.lru_cache(maxsize=16)
def _compiled_predict(predict, mesh: Mesh, labelled: bool):
    def run(trained: Trained, batch: Example) -> Gathered:
        seen = batch if labelled else batch._replace(
            keypoints=jax.numpy.zeros_like(batch.keypoints), visible=jax.numpy.zeros_like(batch.visible))
        found = predict(trained, seen)
        # Heatmaps stay on the devices, and are not even computed where nothing needs them.
        return Gathered(found.keypoints, found.scores, batch.index, batch.keypoints, batch.visible, batch.scale,
                        batch.crop)

    # Replicated results can be read by every process.
    return jax.jit(run, in_shardings=(replicated(mesh), by_rows(mesh)), out_shardings=replicated(mesh))


# A pass over data: sums of what a function measures, for statistics that an update does not compute


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
