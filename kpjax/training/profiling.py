"""How well a training step uses its devices: arithmetic per second, memory, and traces of chosen
steps.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh

from kpjax.training.peaks import PEAK_TERAFLOPS


def peak_teraflops(device_kind: str) -> float | None:
    """Returns what a kind of device can compute at most, in 1e12 operations per second; None of an
    unknown one.
    """
    kind = device_kind.lower()
    known = [
        name
        for name in PEAK_TERAFLOPS
        # an L40 is no L4
        if kind.startswith(name.lower()) and not kind[len(name) : len(name) + 1].isalnum()
    ]
    if not known:
        return None
    return PEAK_TERAFLOPS[max(known, key=len)]


def step_teraflops(update: Any, *arguments: Any) -> float | None:
    """Counts the operations of one step on all devices, in 1e12, before the compiler's changes;
    None if unknown.

    update: compiled by `jax.jit`. Only devices of a known kind are asked, since the count takes
    another lowering.
    """
    if peak_teraflops(jax.devices()[0].device_kind) is None:
        return None
    cost = update.lower(*arguments).cost_analysis() or {}
    if cost.get("flops", 0) > 0:
        return cost["flops"] / 1e12
    return None


def device_metrics(
    teraflops: float | None, steps_per_second: float, mesh: Mesh
) -> dict[str, float]:
    """Returns what is known of: the share of the devices' arithmetic that steps use, and memory at
    its peak, in GiB.

    teraflops: of a step, of `step_teraflops`.
    """
    device = mesh.local_devices[0]
    peak = peak_teraflops(device.device_kind)
    memory = device.memory_stats()
    found = {}
    if teraflops and peak:
        found["flops_utilisation"] = teraflops * steps_per_second / (peak * mesh.size)
    if memory and "peak_bytes_in_use" in memory:
        found["device_memory_gib"] = memory["peak_bytes_in_use"] / 2**30
    return found


@contextlib.contextmanager
def traced_steps(
    folder: epath.Path, steps: range | None
) -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """Yields a function to call before every step, with its number from 0 and a function that waits
    for those before.

    Steps in `steps` are traced into `profile/` of the folder, which TensorBoard and Perfetto show.
    """
    running = False

    def before(step: int, wait: Callable[[], None]) -> None:
        nonlocal running
        if steps and step in steps and not running:  # its first, or where a run goes on
            wait()
            jax.profiler.start_trace(os.fspath(folder / "profile"))
            running = True
        elif running and step == steps.stop:
            wait()
            jax.profiler.stop_trace()
            running = False

    try:
        yield before
    finally:
        if running:
            jax.profiler.stop_trace()
