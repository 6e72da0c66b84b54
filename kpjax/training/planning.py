"""Steps of methods compiled for a slice of chips that are not there, and what follows from that.

Memory is what the compiler says. The time of a step is estimated by a roofline: the longer of its
arithmetic at the peak and its bytes at the memory's bandwidth, then its collectives as if nothing
ran beside them. That is no bound: a compiler of TPUs counts bytes that stay on the chip, too, so
that its own cycles may sum to less. They stand beside it.

Compilers come with JAX's packages and read environment variables before JAX is imported, so a
command that compiles runs in a process of its own, see `environment`. Nothing can be executed
there, and tracing happens on the CPU.
"""

import contextlib
import importlib.metadata
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
from kpjax.files import cache_folder, read_json, write_json
from kpjax.platforms import known_platform
from kpjax.structures import Example, Method
from kpjax.training.chips import Slice, all_reduce_seconds
from kpjax.training.fit import compiled_update
from kpjax.training.mesh import DATA, mesh_of
from kpjax.training.trees import json_digest

COMPILES = "KPJAX_COMPILES_FOR"  # set in processes that compile, to the platform
PACKAGES = {"tpu": ("libtpu",), "cuda": ("jax_cuda13_plugin", "jax_cuda12_plugin")}
READ_AHEAD = 2  # batches that wait on the devices while a step runs
NUMBERS = 1  # changes with what is kept of a compiled program
# parts of names of operations that compute nothing, such as pad_bitcast_fusion
MOVES = {"pad", "copy", "slice", "bitcast", "transpose", "reshape", "concatenate"}

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
    # numbers of programs are kept, and not the programs
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


def compiler_version(platform: str) -> str:
    """Returns the compiler of a platform and its version."""
    name = compiler_of(platform)
    return f"{name} {importlib.metadata.version(name.replace('_', '-'))}"


def slice_mesh(slice_: Slice) -> Mesh:
    """Returns a mesh like `data_mesh` of the devices of a slice, none of which is there."""
    from jax.experimental import topologies

    chip = slice_.chip
    options = {}
    if chip.platform == "tpu":
        if slice_.slices > 1:
            options["num_slices"] = slice_.slices
        if math.prod(slice_.shape) <= chip.host_chips:  # by itself a host has four
            options["chips_per_host_bounds"] = (*slice_.shape, 1)[:3]
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{chip.name}:{slice_.topology}", **options
        )
    else:
        __import__(compiler_of("cuda"))
        found = topologies.get_topology_desc(
            platform="cuda",
            topology_name=chip.name,
            target_config=chip.target,
            topology=slice_.topology,
        )
    return mesh_of(np.array(found.devices), DATA)


def hosts_of(mesh: Mesh) -> int:
    """Returns how many hosts the devices of a mesh are in, as their compiler says."""
    return len({device.process_index for device in mesh.devices.flat})


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

    @property
    def batch(self) -> int:
        """The largest batch of a stream, on all chips."""
        return max(example.image.shape[0] for example in self.streams.values())

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


def compile_for_plan(planned: Planned, slice_: Slice, mesh: Mesh) -> dict[str, Any]:
    """Returns the numbers of a stage's step on a mesh, see `compile_stage`.

    A program that was compiled before by this compiler is not compiled again: its numbers lie in
    the cache folder. `seconds` is how long it took then.
    """
    update, _ = compiled_update(planned.method.update, mesh, planned.groups)
    lowered = update.lower(planned.state, dict(planned.streams), key_shape())
    platform = slice_.chip.platform
    program = {
        "compiler": compiler_version(platform),
        "flags": [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        "slice": slice_.name,
        "program": lowered.as_text(),
        "streams": [planned.images, _batch_bytes(planned)],
        "numbers": NUMBERS,
    }
    kept = cache_folder() / "plans" / f"{json_digest(program)}.json"
    with contextlib.suppress(InputError):  # not there, or damaged
        return read_json(kept) | {"stage": planned.name, "kept": True}
    record = compile_stage(lowered, planned, slice_)
    with contextlib.suppress(InputError):  # a cache folder that cannot be written
        write_json(kept, record)
    return record


def compile_stage(lowered: Any, planned: Planned, slice_: Slice) -> dict[str, Any]:
    """Compiles a stage's step and returns its numbers of one device as JSON: bytes of memory,
    operations, bytes moved, cycles.
    """
    began = time.perf_counter()
    record = {"stage": planned.name, "chips": slice_.name, "images": planned.images}
    record["images_a_device"] = planned.batch / slice_.devices
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return record | {
            "seconds": time.perf_counter() - began,
            "fits": False,
            "memory": {"available": slice_.chip.memory * slice_.chip.usable},
            "reason": " ".join(str(error).split())[:300],
        }
    found = compiled.memory_analysis()
    memory = {
        "state": found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "waiting": READ_AHEAD * _batch_bytes(planned) / slice_.devices,
    }
    memory["total"] = sum(memory.values()) + found.generated_code_size_in_bytes
    memory["available"] = slice_.chip.memory * slice_.chip.usable
    flops, moved = costs_of(compiled)
    text = compiled.as_text()
    return record | {
        "seconds": time.perf_counter() - began,
        "fits": memory["total"] <= memory["available"],
        "memory": memory,
        "flops": flops or counted_flops(planned, slice_.chip.platform) / slice_.devices,
        # All of its memory is written or read once, at the least.
        "bytes": moved or memory["state"] + memory["temporaries"],
        **cycles_of(text),
        **collectives_of(planned, text),
    }


def _batch_bytes(planned: Planned) -> int:
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(dict(planned.streams))
    )


def cycles_of(text: str) -> dict[str, float]:
    """Sums what a compiler of TPUs estimates for the operations of a step, one after the other:
    `cycles`, and `moved`, those of them that only pad and copy.

    text: of a compiled program. {} where it has no estimates, as of graphics processors. Gathers
    and collectives have none.
    """
    entry = text[text.find("\nENTRY ") :]
    found = re.findall(
        r'^ +(?:ROOT )?%?([\w.-]+) = .*"estimated_cycles":"(\d+)"', entry, re.MULTILINE
    )
    if not found:
        return {}
    moved = 0
    for name, count in found:
        words = set(re.findall(r"[a-z]+", name)) - {"fusion", "clone"}
        moved += int(count) * bool(words and words <= MOVES)
    return {"cycles": sum(int(count) for _, count in found), "moved": moved}


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


def collectives_of(planned: Planned, text: str) -> dict[str, float]:
    """Returns how many collectives a compiled step has, and the bytes that they sum at the least:
    its gradients, and means and variances of each BatchNorm.
    """
    state = planned.state.variables
    parts = [state.get(name, {}) for name in ("params", "batch_stats")]
    sums = jax.tree.leaves(parts)
    return {
        "collectives": len(re.findall(r" all-reduce(?:-start)?\(", text)),
        "collective_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in sums),
    }


def times_of(record: Mapping[str, Any], slice_: Slice, steps: int) -> dict[str, float]:
    """Estimates the seconds of a step, and what follows: hours, chip-hours, images a second and
    chip.

    `cycles`: the seconds of its compiler's cycles, where both they and the clock are known.
    """
    chip = slice_.chip
    arithmetic = record["flops"] / chip.peak
    bandwidth = record["bytes"] / chip.bandwidth
    waiting = all_reduce_seconds(slice_, record["collective_bytes"], record["collectives"])
    step = max(arithmetic, bandwidth) + waiting
    by_cycles = (
        {"cycles": record["cycles"] / chip.clock} if chip.clock and "cycles" in record else {}
    )
    return by_cycles | {
        "arithmetic": arithmetic,
        "bandwidth": bandwidth,
        "waiting": waiting,
        "step": step,
        "images": record["images"] / slice_.chips / step,
        "hours": steps * step / 3600,
        "chip_hours": steps * step / 3600 * slice_.chips,
    }
