"""A plan: the stages of a command compiled for a slice of chips that are not there, and what follows from that.

Memory is what the compiler says. The time of a step is a roofline: the longer of its arithmetic at the peak and its
bytes at the memory's bandwidth, then its collectives as if nothing ran beside them. A real step takes longer.

Compilers come with JAX's packages and read environment variables before JAX is imported, so a command that compiles
runs in a process of its own, see `environment`. Nothing can be executed there, and tracing happens on the CPU.
"""
import importlib.metadata
import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from kpjax import InputError
from kpjax.files import make_folder, write_json
from kpjax.platforms import known_platform
from kpjax.systems.command_line import Command
from kpjax.systems.plan.stages import Planned, key_shape, planned_stages
from kpjax.systems.reports.table import markdown
from kpjax.training.chips import GIB, Slice, all_reduce_seconds
from kpjax.training.fit import compiled_update
from kpjax.training.mesh import check_divisible

COMPILES = "KPJAX_COMPILES_FOR"  # set in processes that compile, to the platform
PACKAGES = {"tpu": ("libtpu",), "cuda": ("jax_cuda13_plugin", "jax_cuda12_plugin")}
READ_AHEAD = 2  # batches that wait on the devices while a step runs
NOT_MEASURED = "Memory is the compiler's estimate and times are floors; nothing here was measured."

# Compilers


def compiler_of(platform: str) -> str:
    """Returns the name of the package that compiles for a platform. Raises InputError, which names the extra."""
    for name in PACKAGES[platform]:
        if importlib.util.find_spec(name) is not None:
            return name
    raise InputError("chips", f"the compiler for them, {PACKAGES[platform][0]}, is not installed; it needs no such "
                              f"chip: pip install 'kpjax[{platform}]', or uv sync --extra {platform}")


def environment(platform: str) -> dict[str, str]:
    """Returns the variables of a process that compiles for a platform, on a machine without it."""
    common = {COMPILES: platform, "JAX_PLATFORMS": "cpu"}
    if platform == "cuda":  # without a device there is nothing to try variants on
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0"
        return common | {"XLA_FLAGS": flags.strip()}
    return common | {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE":
                     "v5litepod-8", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def mesh_of(slice_: Slice) -> Mesh:
    """Returns a mesh like `data_mesh` of the devices of a slice, none of which is there."""
    from jax.experimental import topologies

    chip = slice_.chip
    if chip.platform == "tpu":
        alone = {"chips_per_host_bounds": (1, 1, 1)} if slice_.chips == 1 else {}
        found = topologies.get_topology_desc(platform="tpu", topology_name=f"{chip.name}:{slice_.topology}", **alone)
    else:
        __import__(compiler_of("cuda"))
        found = topologies.get_topology_desc(platform="cuda", topology_name=chip.name, target_config=chip.target,
                                             topology=slice_.topology)
    return Mesh(np.array(found.devices), ("data",), axis_types=(AxisType.Auto,))


# A stage on a slice


def compiled(planned: Planned, slice_: Slice, mesh: Mesh) -> dict[str, Any]:
    """Compiles a stage's step for a mesh, as `compile_stage` does, and says which."""
    sizes = (f"{example.image.shape[0]} images of {name} at {example.image.shape[1]} px"
             for name, example in planned.streams.items())
    print(f"{planned.name}: {', '.join(sizes)}", flush=True)
    update, _ = compiled_update(planned.method.update, mesh)
    return compile_stage(update.lower(planned.state, dict(planned.streams), key_shape()), planned, slice_)


def compile_stage(lowered: Any, planned: Planned, slice_: Slice) -> dict[str, Any]:
    """Compiles a stage's step and returns its numbers of one chip as JSON: bytes of memory, operations, bytes moved."""
    record = {"stage": planned.name, "chips": slice_.name, "images": planned.images}
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return record | {"fits": False, "memory": {"available": slice_.chip.memory * slice_.chip.usable},
                         "reason": " ".join(str(error).split())[:300]}
    found = compiled.memory_analysis()
    batch = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(dict(planned.streams)))
    memory = {"state": found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes,
              "temporaries": found.temp_size_in_bytes, "waiting": READ_AHEAD * batch / slice_.chips}
    memory["total"] = sum(memory.values()) + found.generated_code_size_in_bytes
    memory["available"] = slice_.chip.memory * slice_.chip.usable
    flops, moved = costs_of(compiled)
    return record | {"fits": memory["total"] <= memory["available"], "memory": memory,
                     "flops": flops or counted_flops(planned, slice_.chip.platform) / slice_.chips,
                     # All of its memory is written or read once, at the least.
                     "bytes": moved or memory["state"] + memory["temporaries"], **collectives_of(planned)}


def costs_of(compiled: Any) -> tuple[float, float]:
    """Returns the operations and bytes of a compiled step on one chip; 0 where its compiler counts none."""
    try:
        costs = compiled.cost_analysis() or {}
    except NotImplementedError:
        costs = {}
    return tuple(max(costs.get(name, 0.0), 0.0) for name in ("flops", "bytes accessed"))


def counted_flops(planned: Planned, platform: str) -> float:
    """Counts the operations of a step on all chips, in the forms of a platform, before any compiler's changes."""
    with known_platform(platform):
        lowered = jax.jit(planned.method.update).lower(planned.state, dict(planned.streams), key_shape())
    return max(lowered.cost_analysis()["flops"], 0.0)


def collectives_of(planned: Planned) -> dict[str, float]:
    """Returns how many collectives a step has at least, and their bytes: its gradients, and two of each BatchNorm."""
    state = planned.state.variables
    gradients = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.get("params", {})))
    statistics = jax.tree.leaves(state.get("batch_stats", {}))  # a mean and a variance of each
    return {"collectives": 1 + len(statistics),
            "collective_bytes": gradients + sum(leaf.size * leaf.dtype.itemsize for leaf in statistics)}


def times_of(record: Mapping[str, Any], slice_: Slice, steps: int) -> dict[str, float]:
    """Returns floors in seconds of a step, and what follows: hours, chip-hours, images a second and chip at most."""
    arithmetic, bandwidth = record["flops"] / slice_.chip.peak, record["bytes"] / slice_.chip.bandwidth
    waiting = all_reduce_seconds(slice_, record["collective_bytes"], record["collectives"])
    step = max(arithmetic, bandwidth) + waiting
    return {"arithmetic": arithmetic, "bandwidth": bandwidth, "waiting": waiting, "step": step,
            "images": record["images"] / slice_.chips / step, "hours": steps * step / 3600,
            "chip_hours": steps * step / 3600 * slice_.chips}


# The whole plan


def plan(command: Command, slice_: Slice) -> dict[str, Any]:
    """Compiles all stages of a command for a slice, prints the plan and returns it as JSON.

    Raises InputError for a batch that does not divide over the chips, and for a command without a stage that trains.
    """
    system, preset, compiler = command.system.name, command.preset, compiler_of(slice_.chip.platform)
    print(f"{system} {preset} on {slice_.name}: {slice_.chips} chips, {slice_.hosts} host{'s' * (slice_.hosts > 1)}, "
          f"{compiler} {importlib.metadata.version(compiler.replace('_', '-'))}\n{NOT_MEASURED}", flush=True)
    stages, mesh = stages_of(command), mesh_of(slice_)
    if not stages:
        raise InputError("variants", f"{' '.join(command.variants)} trains nothing; name others")
    for stage in stages:
        check_divisible({name: example.image.shape[0] for name, example in stage.streams.items()}, mesh)
    records: list[dict[str, Any]] = []
    for stage in stages:
        alike = (record for other, record in zip(stages, records, strict=False) if stage.alike(other))
        known = next(alike, None) or compiled(stage, slice_, mesh)
        times = {"times": times_of(known, slice_, stage.steps)} if "flops" in known else {}
        records.append({**known, "stage": stage.name, "steps": stage.steps, **times})
    result = {"system": system, "preset": preset, "chips": slice_.name, "settings": command.settings,
              "variants": list(command.variants), "note": NOT_MEASURED, "stages": records}
    path = command.folder / "plan" / slice_.name / "plan.json"
    make_folder(path.parent)
    write_json(path, result)
    print("\n" + "\n\n".join(tables(records)) + f"\n\nnumbers: {path}")
    return result


def stages_of(command: Command) -> list[Planned]:
    """Returns the stages of all variants of a command, for one seed, those that variants share once."""
    found: list[Planned] = []
    for variant in command.variants:
        for stage in planned_stages(command.job(variant, command.shared.first_seed)):
            if not any(stage.name == other.name and stage.alike(other) for other in found):
                found.append(stage)
    return found


def tables(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the plan as tables in Markdown, with a line on each stage that does not fit."""
    names = ("state", "temporaries", "waiting", "total", "available")
    found = [markdown(
        ["stage", "steps", "images a step", "GiB a chip: state", "temporaries", "read ahead", "total", "of"],
        [[record["stage"], f"{record['steps']:,}", f"{record['images']:,}", *(
            f"{record['memory'][name] / GIB:.2f}" if name in record["memory"] else "" for name in names)]
         for record in records])]
    found += [f"{record['stage']}: does not fit; give a smaller --batch-size, --dtype bfloat16, or more chips"
              for record in records if not record["fits"]]
    whole = [(record["stage"], record["times"]) for record in records if "times" in record]
    hours, chip_hours = (sum(times[name] for _, times in whole) for name in ("hours", "chip_hours"))
    if whole:
        found.append(markdown(
            ["stage", "arithmetic, ms", "memory, ms", "collectives, ms", "step, at least, ms",
             "images a second and chip, at most", "hours, at least", "chip-hours, at least"],
            [[name, *(f"{1e3 * times[part]:.2f}" for part in ("arithmetic", "bandwidth", "waiting", "step")),
              f"{times['images']:,.0f}", f"{times['hours']:.2f}", f"{times['chip_hours']:.1f}"]
             for name, times in whole] + [["all", *5 * [""], f"{hours:.2f}", f"{chip_hours:.1f}"]]))
    return [*found, NOT_MEASURED]
