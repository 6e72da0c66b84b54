"""A process that trains: its answer to SIGTERM, what it says when it is stuck, and how many programs
it can hold.

On SIGTERM a run finishes its step, saves, and raises Interrupted.
"""

import contextlib
import faulthandler
import gc
import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from kpjax.errors import RunError

# All steps of this process, over stages, variants and seeds. JAX tells processes to stop at the
# number behind the highest that any of them has reached, so that a count which began anew with a
# stage would miss it.
STEPS = itertools.count(1)
STUCK = 1200.0  # seconds without a step; the largest networks compile for less


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


@contextlib.contextmanager
def traces_when_stuck(seconds: float = STUCK, file: Any = None) -> Iterator[Callable[[], None]]:
    """Yields a function to be called after each step. When it is not called for so many seconds, the
    stack traces of all threads are written, again and again, and nothing is ended.

    Of several processes alone: all wait for the one that has stopped, and its traces say where.

    file: has a file descriptor; standard error by default.
    """
    if jax.process_count() == 1:
        yield lambda: None
        return
    since = -math.inf

    def still_going() -> None:
        nonlocal since
        now = time.monotonic()
        if now - since > seconds / 20:  # it starts a thread
            faulthandler.dump_traceback_later(seconds, repeat=True, file=file or sys.__stderr__)
            since = now

    still_going()
    try:
        yield still_going
    finally:
        faulthandler.cancel_dump_traceback_later()


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
