"""Stages compiled for chips that are not there, by the compilers that come with JAX's packages for them.

The compilers read environment variables before JAX is imported, so a command that compiles runs in a process of its
own, see `environment`. Nothing can be executed there, and tracing happens on the CPU.
"""
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from experiments.planning.chips import Slice
from experiments.planning.stages import Planned
from kpjax import InputError
from kpjax.training.run_folder import commit

COMPILES = "KPJAX_COMPILES_FOR"  # set in processes that compile, to the platform
PACKAGES = {"tpu": ("libtpu",), "cuda": ("jax_cuda13_plugin", "jax_cuda12_plugin")}
READ_AHEAD = 2  # batches that wait on the devices while a step runs


def compiler_of(platform: str) -> str:
    """Returns the name of the package that compiles for a platform. Raises InputError, which names the extra."""
    for name in PACKAGES[platform]:
        if importlib.util.find_spec(name) is not None:
            return name
    raise InputError("chips", f"the compiler for them, {PACKAGES[platform][0]}, is not installed; it needs no such "
                              f"chip: pip install 'kpjax[{platform}]', or uv sync --extra {platform}")


def version_of(platform: str) -> str:
    """Returns the compiler and its version."""
    name = compiler_of(platform)
    return f"{name} {importlib.metadata.version(name.replace('_', '-'))}"


def environment(platform: str) -> dict[str, str]:
    """Returns the variables of a process that compiles for a platform, on a machine without it."""
    # Frames tell which part of a step asked for an operation.
    common = {COMPILES: platform, "JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "30"}
    if platform == "cuda":  # without a device there is nothing to try variants on
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
        return common | {"XLA_FLAGS": flags.strip()}
    return common | {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE":
                     "v5litepod-8", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def mesh_of(slice_: Slice) -> Any:
    """Returns a mesh like `data_mesh` of the devices of a slice, none of which is there."""
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh

    chip = slice_.chip
    if chip.platform == "tpu":
        alone = {"chips_per_host_bounds": (1, 1, 1)} if slice_.chips == 1 else {}
        found = topologies.get_topology_desc(platform="tpu", topology_name=f"{chip.name}:{slice_.topology}", **alone)
    else:
        __import__(compiler_of("cuda"))
        found = topologies.get_topology_desc(platform="cuda", topology_name=chip.name, target_config=chip.target,
                                             topology=slice_.topology)
    return Mesh(np.array(found.devices), ("data",), axis_types=(AxisType.Auto,))


@contextmanager
def patience(what: str, every: float = 60.0):
    """Prints every minute how long something takes already."""
    began, done = time.monotonic(), threading.Event()

    def report() -> None:
        while not done.wait(every):
            print(f"  {what}: {(time.monotonic() - began) / 60:.0f} min so far", flush=True)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Traced:
    """A stage's step as it is given to a compiler."""

    def __init__(self, planned: Planned, slice_: Slice):
        import jax

        from kpjax.training.fit import compiled_update

        update, _ = compiled_update(planned.method.update, mesh_of(slice_))
        key = jax.eval_shape(lambda: jax.random.key(0))
        traced = update.trace(planned.state, dict(planned.streams), key)
        self.planned, self.slice, self.jaxpr = planned, slice_, traced.jaxpr.jaxpr
        self.lowered = traced.lower()

    @property
    def digest(self) -> str:
        """Of all that the compiled step depends on."""
        text = f"{self.slice.name} {version_of(self.slice.chip.platform)} {self.lowered.as_text()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def compiled(self) -> Any:
        """Returns the compiled step, or the reason why its memory does not suffice."""
        import jax

        try:
            return self.lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return " ".join(str(error).split())


def memory_of(compiled: Any, planned: Planned, slice_: Slice) -> dict[str, float]:
    """Returns bytes of one chip: what the step takes and returns, what it needs meanwhile, and batches read ahead."""
    found = compiled.memory_analysis()
    batch = sum(np.prod(leaf.shape) * leaf.dtype.itemsize for example in planned.streams.values() for leaf in example)
    arguments = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    waiting = READ_AHEAD * float(batch) / slice_.chips
    total = arguments + found.temp_size_in_bytes + found.generated_code_size_in_bytes + waiting
    return {"arguments": arguments, "temporaries": found.temp_size_in_bytes, "program":
            found.generated_code_size_in_bytes, "waiting": waiting, "total": total,
            "available": slice_.chip.memory * slice_.chip.usable}


def refused_memory(reason: str) -> list[float] | None:
    """Returns the bytes that a program needs and that there are, of a compiler's refusal; None where it states none."""
    found = re.search(r"([\d.]+)G\)? (?:of|exceeds available HBM) \(?([\d.]+)G", reason)
    return [float(one) * 2**30 for one in found.groups()] if found else None


def map_pixels(planned: Planned) -> int:
    """Returns the pixels of a stream's images at a quarter of their side, the smallest maps that are warped."""
    return min(example.image.shape[0] * (example.image.shape[1] // 4) ** 2 for example in planned.streams.values())


def compile_stage(traced: Traced) -> dict[str, Any]:
    """Compiles a stage and returns its numbers as JSON: memory, costs by part, collectives, gathers."""
    from experiments.planning.estimate import costs_of
    from experiments.planning.flops import product_flops
    from experiments.planning.hlo import read_program

    planned, slice_ = traced.planned, traced.slice
    began = time.monotonic()
    compiled = traced.compiled()
    record = {"stage": planned.name, "chips": slice_.name, "compiler": version_of(slice_.chip.platform), "commit":
              commit(), "images": planned.images, "compile_seconds": time.monotonic() - began}
    if isinstance(compiled, str):
        total, available = refused_memory(compiled) or [slice_.chip.memory] * 2
        return record | {"fits": False, "memory": {"total": total, "available": available}, "reason": compiled[:300]}
    flops = {name: count / slice_.chips for name, count in product_flops(traced.jaxpr, slice_.chip.platform).items()}
    memory = memory_of(compiled, planned, slice_)
    costs = costs_of(read_program(compiled.as_text()), slice_, flops, map_pixels(planned) // slice_.chips)
    return record | {"fits": memory["total"] <= memory["available"], "memory": memory, **costs.as_json()}


def kept(folder: Any, traced: Traced) -> dict[str, Any]:
    """Returns the numbers of a stage, compiled now unless they lie in the folder already."""
    from kpjax.files import make_folder, read_json, write_json

    path = folder / f"{traced.digest}.json"
    if path.exists():
        return read_json(path)
    with patience(f"{traced.planned.name} for {traced.slice.name}"):
        record = compile_stage(traced)
    make_folder(folder)
    write_json(path, record)
    return record


def as_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parts of a record as `estimate.Part`s, by name."""
    from experiments.planning.estimate import Part

    return {name: Part(**values) for name, values in record.get("parts", {}).items()}
