"""Steps of methods compiled for a slice of chips that are not there, and what follows from that.

Memory is what the compiler says. The time of a step is a roofline: the longer of its arithmetic at
the peak and its bytes at the memory's bandwidth, then its collectives as if nothing ran beside
them. A real step takes longer.

Compilers come with JAX's packages and read environment variables before JAX is imported, so a
command that compiles runs in a process of its own, see `environment`. Nothing can be executed
there, and tracing happens on the CPU.
"""

import importlib.util
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from kpjax.errors import InputError
from kpjax.platforms import known_platform
from kpjax.structures import Example, Method
from kpjax.training.chips import Slice, all_reduce_seconds
from kpjax.training.fit import compiled_update

COMPILES = "KPJAX_COMPILES_FOR"  # set in processes that compile, to the platform
PACKAGES = {"tpu": ("libtpu",), "cuda": ("jax_cuda13_plugin", "jax_cuda12_plugin")}
READ_AHEAD = 2  # batches that wait on the devices while a step runs

# Compilers


def compiler_of(platform: str) -> str:
    """Returns the name of the package that compiles for a platform.

    Raises InputError, which names the extra.
    """
    for name in PACKAGES[platform]:
        if importlib.util.find_spec(name) is not None:
            return name
    raise InputError(
        "chips",
        f"the compiler for them, {PACKAGES[platform][0]}, is not installed; it needs no such "
        f"chip: pip install 'kpjax[{platform}]', or uv sync --extra {platform}",
    )


def environment(platform: str) -> dict[str, str]:
    """Returns the variables of a process that compiles for a platform, on a machine without it."""
    common = {COMPILES: platform, "JAX_PLATFORMS": "cpu"}
    if platform == "cuda":  # without a device there is nothing to try variants on
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
        return common | {"XLA_FLAGS": flags.strip()}
    return common | {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def mesh_of(slice_: Slice) -> Mesh:
    """Returns a mesh like `data_mesh` of the devices of a slice, none of which is there."""
    from jax.experimental import topologies

    chip = slice_.chip
    if chip.platform == "tpu":
        alone = {"chips_per_host_bounds": (1, 1, 1)} if slice_.chips == 1 else {}
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{chip.name}:{slice_.topology}", **alone
        )
    else:
        __import__(compiler_of("cuda"))
        found = topologies.get_topology_desc(
            platform="cuda",
            topology_name=chip.name,
            target_config=chip.target,
            topology=slice_.topology,
        )
    return Mesh(np.array(found.devices), ("data",), axis_types=(AxisType.Auto,))


# A stage, and its step on a slice


class Planned(NamedTuple):
    """A stage: what `fit` would be given, as shapes."""

    name: str
    method: Method
    streams: Mapping[str, Example]  # the whole batch
    steps: int
    state: Any  # the first one
    folder: Any  # whose checkpoints it would have: two that share it are one training

    @property
    def images(self) -> int:
        """Images that a step reads on all chips."""
        return sum(example.image.shape[0] for example in self.streams.values())

    def alike(self, other: "Planned") -> bool:
        """Returns whether both compile to one program: later steps of a protocol do."""

        def shapes(planned: Planned) -> Any:
            return jax.tree.map(
                lambda leaf: (leaf.shape, str(leaf.dtype)), (dict(planned.streams), planned.state)
            )

        return self.method.update is other.method.update and shapes(self) == shapes(other)


def key_shape() -> jax.ShapeDtypeStruct:
    """Returns the shape of a random key."""
    return jax.eval_shape(lambda: jax.random.key(0))


def compiled(planned: Planned, slice_: Slice, mesh: Mesh) -> dict[str, Any]:
    """Compiles a stage's step for a mesh, as `compile_stage` does, and says which."""
    sizes = (
        f"{example.image.shape[0]} images of {name} at {example.image.shape[1]} px"
        for name, example in planned.streams.items()
    )
    print(f"{planned.name}: {', '.join(sizes)}", flush=True)
    update, _ = compiled_update(planned.method.update, mesh)
    return compile_stage(
        update.lower(planned.state, dict(planned.streams), key_shape()), planned, slice_
    )


def compile_stage(lowered: Any, planned: Planned, slice_: Slice) -> dict[str, Any]:
    """Compiles a stage's step and returns its numbers of one chip as JSON: bytes of memory,
    operations, bytes moved.
    """
    record = {"stage": planned.name, "chips": slice_.name, "images": planned.images}
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return record | {
            "fits": False,
            "memory": {"available": slice_.chip.memory * slice_.chip.usable},
            "reason": " ".join(str(error).split())[:300],
        }
    found = compiled.memory_analysis()
    batch = sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(dict(planned.streams))
    )
    memory = {
        "state": found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "waiting": READ_AHEAD * batch / slice_.chips,
    }
    memory["total"] = sum(memory.values()) + found.generated_code_size_in_bytes
    memory["available"] = slice_.chip.memory * slice_.chip.usable
    flops, moved = costs_of(compiled)
    return record | {
        "fits": memory["total"] <= memory["available"],
        "memory": memory,
        "flops": flops or counted_flops(planned, slice_.chip.platform) / slice_.chips,
        # All of its memory is written or read once, at the least.
        "bytes": moved or memory["state"] + memory["temporaries"],
        **collectives_of(planned),
    }


def costs_of(compiled: Any) -> tuple[float, float]:
    """Returns the operations and bytes of a compiled step on one chip; 0 where its compiler counts
    none.
    """
    try:
        costs = compiled.cost_analysis() or {}
    except NotImplementedError:
        costs = {}
    return tuple(max(costs.get(name, 0.0), 0.0) for name in ("flops", "bytes accessed"))


def counted_flops(planned: Planned, platform: str) -> float:
    """Counts the operations of a step on all chips, in the forms of a platform, before any
    compiler's changes.
    """
    with known_platform(platform):
        lowered = jax.jit(planned.method.update).lower(
            planned.state, dict(planned.streams), key_shape()
        )
    return max(lowered.cost_analysis()["flops"], 0.0)


def collectives_of(planned: Planned) -> dict[str, float]:
    """Returns how many collectives a step has at least, and their bytes: its gradients, and two of
    each BatchNorm.
    """
    state = planned.state.variables
    gradients = sum(
        leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.get("params", {}))
    )
    statistics = jax.tree.leaves(state.get("batch_stats", {}))  # a mean and a variance of each
    return {
        "collectives": 1 + len(statistics),
        "collective_bytes": gradients + sum(leaf.size * leaf.dtype.itemsize for leaf in statistics),
    }


def times_of(record: Mapping[str, Any], slice_: Slice, steps: int) -> dict[str, float]:
    """Returns floors in seconds of a step, and what follows: hours, chip-hours, images a second and
    chip at most.
    """
    arithmetic, bandwidth = (
        record["flops"] / slice_.chip.peak,
        record["bytes"] / slice_.chip.bandwidth,
    )
    waiting = all_reduce_seconds(slice_, record["collective_bytes"], record["collectives"])
    step = max(arithmetic, bandwidth) + waiting
    return {
        "arithmetic": arithmetic,
        "bandwidth": bandwidth,
        "waiting": waiting,
        "step": step,
        "images": record["images"] / slice_.chips / step,
        "hours": steps * step / 3600,
        "chip_hours": steps * step / 3600 * slice_.chips,
    }
