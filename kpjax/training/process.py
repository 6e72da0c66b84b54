"""A process that trains: its answer to SIGTERM, and how many programs it can hold.

On SIGTERM a run finishes its step, saves, and raises Interrupted.
"""

import contextlib
import gc
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from kpjax.errors import RunError

# All steps of this process, over stages, variants and seeds. JAX tells processes to stop at the
# number behind the highest that any of them has reached, so that a count which began anew with a
# stage would miss it.
STEPS = itertools.count(1)


class Interrupted(RunError):
    """A run that was asked to stop and has saved its step, from which the same command resumes.

    Command lines exit with `exit_code` (128 + SIGTERM, as shells count) and start nothing else.
    """

    exit_code = 143


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether SIGTERM has come, to be asked before the first step
    and after each.

    Several processes ask JAX's preemption service, since they must agree on the step. A notice that
    comes between two stages is answered by the next one.
    """
    if jax.process_count() > 1:
        yield lambda: multihost_utils.reached_preemption_sync_point(next(STEPS))
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requests: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: requests.append(number))
    try:
        yield lambda: bool(requests)
        if requests:
            raise Interrupted(
                "stopped by SIGTERM after the last step of this stage, which is saved"
            )
    finally:
        signal.signal(signal.SIGTERM, before)


def forget_programs(share: float = 0.5) -> bool:
    """Drops compiled programs where they hold more than a share of the memory maps that Linux
    allows a process.

    A program of a CPU holds hundreds of maps, and a small run with its stages and predictions
    2,000. A process that reaches the limit, by default 65,530, is aborted by XLA's compiler, or
    ends with a segmentation fault. A program that is called again is compiled again, or read from
    the compile cache.

    Returns whether it dropped them. On other systems than Linux it does nothing.
    """
    try:
        most = int(Path("/proc/sys/vm/max_map_count").read_text())
        with Path("/proc/self/maps").open() as maps:
            held = sum(1 for _ in maps)
    except OSError:
        return False
    if held <= share * most:
        return False
    jax.clear_caches()
    gc.collect()
    return True
