"""Predictions for a whole source and sums over it, exact on any number of devices: padding never
counts.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from kpjax.errors import InputError, RunError
from kpjax.files import atomic, foreign
from kpjax.input.source import Source, stack_examples
from kpjax.input.stream import read_ahead
from kpjax.structures import Example, Method, Trained
from kpjax.training.mesh import (
    by_examples,
    compiled_for,
    data_mesh,
    replicate,
    replicated_sharding,
    shard,
    traced_for,
)

PREDICTIONS = "predictions.npz"  # predictions of the evaluation sets, in a run's folder


class Gathered(NamedTuple):
    """Predictions beside the truth, numpy, in the order of the source, which has N examples."""

    keypoints: np.ndarray  # (N, K, 2) float32 px of the source's images
    scores: np.ndarray  # (N, K) float32
    index: np.ndarray  # (N,) int32
    true_keypoints: np.ndarray  # (N, K, 2) float32 px
    visible: np.ndarray  # (N, K) float32
    scale: np.ndarray  # (N,) float32 px
    crop: np.ndarray  # (N, 3, 3) float32, pixels of the source's images -> of the original images


def labels_of(source: Source) -> Gathered:
    """Returns the labels of a source as predictions of themselves, with scores of 1.

    Reads every example.
    """
    examples = [source[number] for number in range(len(source))]
    keypoints = np.stack([np.asarray(one.keypoints) for one in examples])
    visible = np.stack([np.asarray(one.visible) for one in examples])
    scale = np.stack([np.asarray(one.scale) for one in examples])
    crop = np.stack([np.asarray(one.crop) for one in examples])
    return Gathered(
        keypoints,
        np.ones_like(visible),
        np.arange(len(examples), dtype=np.int32),
        keypoints,
        visible,
        scale,
        crop,
    )


def padded_size(batch_size: int, mesh: Mesh) -> int:
    """Rounds the batch size up to a multiple of the number of devices."""
    return -(-batch_size // mesh.size) * mesh.size


def padded_batches(source: Source, batch_size: int, mesh: Mesh) -> Iterator[Example]:
    """Yields a source once, in order, as batches on the devices.

    The last is padded by its first example, index -1.
    """
    if len(source) == 0:
        raise InputError(f"{source.name}: the set is empty; there is nothing to evaluate")
    size = padded_size(batch_size, mesh)
    local = size // jax.process_count()
    first = local * jax.process_index()

    def read(begin: int) -> Example:
        wanted = range(begin + first, begin + first + local)
        batch = stack_examples(
            [source[number if number < len(source) else begin] for number in wanted]
        )
        numbers = np.array([number if number < len(source) else -1 for number in wanted], np.int32)
        return shard(batch._replace(index=numbers), mesh)

    return read_ahead(read, range(0, len(source), size))


def in_batches(
    predict: Callable[[np.ndarray], tuple[np.ndarray, ...]], images: np.ndarray, size: int
) -> tuple[np.ndarray, ...]:
    """Calls a function on N images, `size` at a time; the first is repeated to fill the last batch,
    so that one program is compiled. Returns each of its results with N rows."""
    found = []
    for first in range(0, len(images), size):
        part = images[first : first + size]
        filling = np.repeat(images[:1], size - len(part), 0)
        found.append(predict(np.concatenate([part, filling])))
    count = len(images)
    return tuple(np.concatenate(arrays)[:count] for arrays in zip(*found, strict=True))


def check_numbers(keypoints: np.ndarray, scores: np.ndarray, of: str) -> None:
    """Raises RunError where a network gave points or scores that are no numbers: neither an error nor
    a rank means anything then.

    keypoints: (N, K, 2). scores: (N, K). of: what was predicted, in words.
    """
    lost = ~(np.isfinite(keypoints).all((1, 2)) & np.isfinite(scores).all(1))
    if lost.any():
        raise RunError(
            f"{of}: the network gave no numbers for {int(lost.sum())} of {len(lost)}; its weights are too large "
            "or damaged: train again, at a lower learning rate"
        )


def predict_source(
    method: Method,
    state: Any,
    source: Source,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    labelled: bool = False,
) -> Gathered:
    """Predicts every example of a source, on all devices if no mesh is given.

    Args:
        state: a State or a Trained.
        batch_size: rounded up to a multiple of the number of devices.
        labelled: whether `predict` sees the keypoints, as some methods need by their docstring;
            others get zeros.
    """
    mesh = mesh or data_mesh()
    predict = _compiled_predict(method.predict, mesh, labelled)
    trained = replicate(Trained(state.variables, state.frozen), mesh)
    gathered = []
    waiting = []
    for batch in padded_batches(source, batch_size, mesh):
        waiting.append(predict(trained, batch))
        if len(waiting) > 2:
            gathered.append(jax.tree.map(np.array, waiting.pop(0)))
    gathered += [jax.tree.map(np.array, result) for result in waiting]
    fields = zip(*gathered, strict=True)
    whole = Gathered(*(np.concatenate(field) for field in fields))
    order = np.argsort(whole.index, kind="stable")
    order = order[whole.index[order] >= 0]
    return Gathered(*(field[order] for field in whole))


@functools.lru_cache(maxsize=16)
def _compiled_predict(predict, mesh: Mesh, labelled: bool):
    in_one_form = traced_for(mesh, predict)

    def run(trained: Trained, batch: Example) -> Gathered:
        seen = (
            batch
            if labelled
            else batch._replace(
                keypoints=jax.numpy.zeros_like(batch.keypoints),
                visible=jax.numpy.zeros_like(batch.visible),
            )
        )
        found = in_one_form(trained, seen)
        # Heatmaps stay on the devices, and are not even computed where nothing needs them.
        return Gathered(
            found.keypoints,
            found.scores,
            batch.index,
            batch.keypoints,
            batch.visible,
            batch.scale,
            batch.crop,
        )

    # Replicated results can be read by every process.
    return compiled_for(run, mesh, split=(False, True))


# Sums over a source, for statistics that an update does not compute

Measure = Callable[[Any, Example, jax.Array], Any]  # (state, batch, weights (B,)) -> tree of sums


def reduce(
    measure: Measure, state: Any, source: Source, *, batch_size: int, mesh: Mesh | None = None
) -> Any:
    """Returns the sum of `measure(state, batch, weights)` over all batches, a tree on the devices.

    Args:
        measure: a pure function. Its sums must weight every example by weights (B,) float32: 0 for
            padding, else 1. They are added in their own dtype, and may be anything: statistics,
            importances, a histogram.
        source: read once, in batches.
        batch_size: rounded up to a multiple of the number of devices.
    """
    mesh = mesh or data_mesh()
    first, add = _compile(measure, mesh)
    state = replicate(state, mesh)
    sums = None
    for batch in padded_batches(source, batch_size, mesh):
        with jax.set_mesh(mesh):  # for a measure with a part for each device
            sums = first(state, batch) if sums is None else add(sums, state, batch)
    return sums


@functools.lru_cache(maxsize=16)
def _compile(measure: Measure, mesh: Mesh):
    in_one_form = traced_for(mesh, measure)

    def first(state, batch):
        return in_one_form(state, batch, (batch.index >= 0).astype(jnp.float32))

    def add(sums, state, batch):
        return jax.tree.map(jnp.add, sums, first(state, batch))

    whole = replicated_sharding(mesh)
    split = by_examples(mesh)
    return (
        jax.jit(first, in_shardings=(whole, split), out_shardings=whole),
        jax.jit(add, in_shardings=(whole, whole, split), out_shardings=whole, donate_argnums=0),
    )


# Predictions in a run's folder


def write_predictions(folder: epath.Path, predictions: Mapping[str, Gathered]) -> None:
    """Writes all predictions into a run's folder, so that a changed measure needs no training."""
    with atomic(folder / PREDICTIONS) as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            **{
                f"{name}/{field}": array
                for name, found in predictions.items()
                for field, array in found._asdict().items()
            },
        )


def read_predictions(folder: epath.PathLike) -> dict[str, Gathered]:
    """Reads what `write_predictions` wrote."""
    path = epath.Path(folder) / PREDICTIONS
    if not path.exists():
        raise InputError(f"{path}: not found; copy the whole folder, or train again")
    with (
        foreign(path, "train it again"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        if (
            sum(one.file_size for one in stored.zip.infolist())
            > 600_000_000 + 16 * path.stat().length
        ):
            raise ValueError("it would fill the memory")
        names = dict.fromkeys(name.rpartition("/")[0] for name in stored.files)
        return {
            name: Gathered(*(stored[f"{name}/{field}"] for field in Gathered._fields))
            for name in names
        }
