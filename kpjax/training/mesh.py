"""Data parallelism: one mesh over all devices of all processes, state replicated, batches split by rows."""
from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpjax.errors import InputError


def data_mesh() -> Mesh:
    """All devices of all processes along one axis called `data`.

    The axis type is Auto: with explicit axes, gathers and reshapes over the batch are refused.
    """
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The placement of a state: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Mesh) -> NamedSharding:
    """The placement of a batch: its first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(tree, mesh: Mesh):
    """The tree, whole on every device. Arrays that are there already are shared, not copied: donate nothing of it."""
    placement = replicated(mesh)
    return jax.tree.map(lambda leaf: place(leaf, placement), tree)


def place(leaf, placement: NamedSharding) -> jax.Array:
    """One array, the same in every process, under a placement that may span processes."""
    local = not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
    if placement.is_fully_addressable or not local:
        return jax.device_put(leaf, placement)
    # Across processes, device_put takes neither local arrays nor keys.
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(place(jax.random.key_data(leaf), placement), impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, placement, lambda part: array[part])


def shard(batch, mesh: Mesh):
    """The global batch, split over the devices by rows, from the rows (numpy) that this process holds."""
    placement = by_rows(mesh)
    return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(placement, np.asarray(rows)), batch)


def check_divisible(batch_sizes: Mapping[str, int], mesh: Mesh) -> None:
    """Raises InputError, naming the stream, unless every global batch size is a multiple of the number of devices."""
    for name, batch_size in batch_sizes.items():
        if batch_size % mesh.size:
            below = batch_size - batch_size % mesh.size
            near = f"{below} or {below + mesh.size}" if below else f"{mesh.size}"
            raise InputError(f"stream {name!r}: batch size {batch_size} does not divide over {mesh.size} devices; "
                             f"use {near}")
