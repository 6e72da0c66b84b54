"""The memory that a training takes, and traces of chosen steps."""

import contextlib
import os
from collections.abc import Callable, Iterator

import jax
from etils import epath
from jax.sharding import Mesh


def device_memory(mesh: Mesh) -> dict[str, float]:
    """Returns the memory of a device at its peak, in GiB, where it is known."""
    memory = mesh.local_devices[0].memory_stats()
    if not memory or "peak_bytes_in_use" not in memory:
        return {}
    return {"device_memory_gib": memory["peak_bytes_in_use"] / 2**30}


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
