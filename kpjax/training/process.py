"""Settings of a training process: freed memory that stays with it, and an answer to SIGTERM."""
import contextlib
import ctypes
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

from kpjax.errors import RunError

# Numbers from glibc's malloc.h, and values: no block is mapped by itself, freed memory is never returned, all threads
# share one heap (others are limited to 64 MB), and the heap grows by 64 MB at a time.
SETTINGS = {
    "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_ARENA_MAX": (-8, 1), "M_TOP_PAD": (-2, 2**26)}


def keep_freed_memory() -> bool:
    """Makes the allocator keep freed memory, and returns whether it does. Has no effect but on Linux with glibc.

    XLA allocates the temporaries of every step anew. Above some ten megabytes glibc maps them from the system and
    returns them at the end. Every page is then cleared at every step, which takes up to half its time on two cores.
    Call this before the first computation. Results are the same; the process stays as large as its largest step.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in SETTINGS.values())


# Response to SIGTERM: a run finishes its step, saves, and raises Interrupted

# All steps of this process, over stages, variants and seeds. JAX tells processes to stop at the number behind the
# highest that any of them has reached, so that a count which began anew with a stage would miss it.
STEPS = itertools.count(1)


class Interrupted(RunError):
    """A run that was asked to stop and has saved its step, from which the same command resumes.

    Command lines exit with `exit_code` (128 + SIGTERM, as shells count) and start nothing else.
    """

    exit_code = 143


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether SIGTERM has come, to be asked before the first step and after each.

    Several processes ask JAX's preemption service, since they must agree on the step. A notice that comes between two
    stages is answered by the next one.
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
            raise Interrupted("stopped by SIGTERM after the last step of this stage, which is saved")
    finally:
        signal.signal(signal.SIGTERM, before)
