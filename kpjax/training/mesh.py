"""Data parallelism: one mesh over all devices of all processes, state replicated, batches split by
examples.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpjax.errors import InputError
from kpjax.models.layers import batch_norm_groups
from kpjax.platforms import known_platform

DATA = "data"  # the axis of a mesh along which examples are split


def data_mesh() -> Mesh:
    """Returns a mesh of all devices of all processes along one axis called `data`.

    Devices are in the order of JAX, slice by slice: `jax.make_mesh` refuses several slices. The
    type of the axis is Auto: with an explicit one, gathers and reshapes over the batch are refused.
    """
    return mesh_of(np.array(jax.devices()), DATA)


def mesh_of(devices: np.ndarray, *names: str) -> Mesh:
    """Returns a mesh of given devices, its axes of type Auto."""
    return Mesh(devices, names, axis_types=(AxisType.Auto,) * len(names))


def traced_for(mesh: Mesh, function: Callable[..., Any], groups: int = 1) -> Callable[..., Any]:
    """Returns the function as programs of a mesh are traced: in the forms of its platform alone.

    groups: see `kpjax.models.layers.batch_norm_groups`.
    """

    @functools.wraps(function)
    def traced(*arguments: Any) -> Any:
        with known_platform(mesh.devices.flat[0].platform), batch_norm_groups(groups):
            return function(*arguments)

    return traced


def compiled_for(
    function: Callable[..., Any], mesh: Mesh, *, split: Sequence[bool], **options: Any
) -> Callable[..., Any]:
    """Compiles a function of trees for a mesh; its results are whole on each device.

    Args:
        split: for each argument, whether its first axis is split over the devices, as that of a
            batch; all else is whole on each device.
        options: of `jax.jit`.
    """
    placed = tuple(by_examples(mesh) if one else replicated_sharding(mesh) for one in split)
    return jax.jit(
        function, in_shardings=placed, out_shardings=replicated_sharding(mesh), **options
    )


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a state: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_examples(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicate(tree, mesh: Mesh):
    """Returns the tree, whole on every device.

    Arrays that are there already are shared: donate none of it.
    """
    sharding = replicated_sharding(mesh)
    return jax.tree.map(lambda leaf: put(leaf, sharding), tree)


def put(leaf, sharding: NamedSharding) -> jax.Array:
    """Returns one array, the same in every process, under a sharding that may span processes."""
    local = not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
    if sharding.is_fully_addressable or not local:
        return jax.device_put(leaf, sharding)
    # Across processes, device_put takes neither local arrays nor keys.
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(
            put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf)
        )
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def shard(batch, mesh: Mesh):
    """Returns the global batch, split over the devices, from the examples (numpy) that this process
    holds.
    """
    sharding = by_examples(mesh)
    return jax.tree.map(
        lambda local: jax.make_array_from_process_local_data(sharding, np.asarray(local)), batch
    )


def check_divisible(batch_sizes: Mapping[str, int], mesh: Mesh, groups: int = 1) -> None:
    """Raises InputError, naming the stream, unless every global batch size is a multiple of the
    number of devices, and of the groups of BatchNorm.
    """
    for name, batch_size in batch_sizes.items():
        if batch_size % groups:
            raise InputError(
                "batch_norm_groups",
                f"{groups}; the batch of {batch_size} of stream {name!r} does not divide into them, "
                "give a number that divides it",
            )
        if batch_size % mesh.size:
            below = batch_size - batch_size % mesh.size
            near = f"{below} or {below + mesh.size}" if below else f"{mesh.size}"
            raise InputError(
                f"stream {name!r}: batch size {batch_size} does not divide over {mesh.size} devices; "
                f"use {near}"
            )
