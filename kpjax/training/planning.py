"""Steps of methods compiled for a slice of chips that are not there, and what follows from that.

Memory is what the compiler says. A step takes at least its arithmetic at the peak, and its memory at
the bandwidth; collectives are counted, not timed.

Compilers come with JAX's packages and read environment variables before JAX is imported, so a
command that compiles runs in a process of its own, see `environment`. Nothing can be executed
there, and tracing happens on the CPU.
"""

import importlib.util
import math
import os
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from kpjax.errors import InputError
from kpjax.platforms import known_platform
from kpjax.structures import Example, Method
from kpjax.training.chips import Slice
from kpjax.training.fit import compiled_update
from kpjax.training.mesh import DATA, mesh_of

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
    common = {COMPILES: platform, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    if platform == "cuda":  # without a device there is nothing to try variants on
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
        return common | {"XLA_FLAGS": flags.strip()}
    return common | {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def slice_mesh(slice_: Slice) -> Mesh:
    """Returns a mesh like `data_mesh` of the devices of a slice, none of which is there."""
    from jax.experimental import topologies

    chip = slice_.chip
    options: dict[str, Any] = {"target_config": chip.target, "topology": slice_.topology}
    name = chip.name
    if chip.platform == "tpu":
        name, options = f"{chip.name}:{slice_.topology}", {}
        if slice_.chips <= chip.host_chips:  # by itself a host has four
            shape = tuple(map(int, slice_.topology.split("x")))
            options["chips_per_host_bounds"] = (*shape, 1)[:3]
    else:
        __import__(compiler_of("cuda"))
    found = topologies.get_topology_desc(platform=chip.platform, topology_name=name, **options)
    return mesh_of(np.array(found.devices), DATA)


# A stage, and its step on a slice


class Planned(NamedTuple):
    """A stage: what `fit` would be given, as shapes."""

    name: str
    method: Method
    streams: Mapping[str, Example]  # the whole batch
    steps: int
    state: Any  # the first one
    folder: Any  # whose checkpoints it would have: two that share it are one training
    groups: int = 1  # of BatchNorm

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


def compile_stage(planned: Planned, slice_: Slice, mesh: Mesh) -> dict[str, Any]:
    """Compiles a stage's step for a mesh and returns its numbers of one device as JSON: bytes of
    memory, whether they fit, the collectives of a step, and the seconds that a step takes at the
    least: its operations at the peak, or its memory read or written once.
    """
    began, chip, streams = time.perf_counter(), slice_.chip, dict(planned.streams)
    available = chip.memory * chip.usable
    update, _ = compiled_update(planned.method.update, mesh, planned.groups)
    lowered = update.lower(planned.state, streams, key_shape())
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"fits": False, "memory": {"available": available}}
    found = compiled.memory_analysis()
    batch = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(streams))
    memory = {
        "state": found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "waiting": READ_AHEAD * batch / slice_.devices,
    }
    total = sum(memory.values()) + found.generated_code_size_in_bytes
    with known_platform(chip.platform):
        counted = jax.jit(planned.method.update).lower(planned.state, streams, key_shape())
    arithmetic = counted.cost_analysis()["flops"] / slice_.devices / chip.peak
    return {
        "fits": total <= available,
        "memory": {**memory, "total": total, "available": available},
        "compiled_in": time.perf_counter() - began,
        "step": max(arithmetic, (memory["state"] + memory["temporaries"]) / chip.bandwidth),
        "collectives": len(re.findall(r" all-reduce(?:-start)?\(", compiled.as_text())),
    }
