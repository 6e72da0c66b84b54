"""A process that trains: its answer to SIGTERM and Ctrl-C, what it says when it is stuck, and how many programs
it can hold.

On either a run finishes its step, saves, and raises Interrupted; a second Ctrl-C ends it at once.
"""

import contextlib
import faulthandler
import gc
import itertools
import math
import os
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

    Command lines exit with `exit_code` (128 + the signal, as shells count) and start nothing else.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM):
        super().__init__(message)
        self.exit_code = 128 + number


def signal_name(number: int) -> str:
    """Returns what a user calls a signal that asks a run to stop."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Yields a function that returns the signal that has asked to stop, SIGTERM or SIGINT, and 0
    before; to be asked before the first step and after each.

    After Ctrl-C, which is SIGINT, a second one raises KeyboardInterrupt as usual. Several processes
    ask JAX's preemption service, since they must agree on the step; it knows of SIGTERM alone. A
    notice that comes between two stages is answered by the next one.
    """
    if jax.process_count() > 1:
        yield (
            lambda: (
                signal.SIGTERM if multihost_utils.reached_preemption_sync_point(next(STEPS)) else 0
            )
        )
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    requests: list[int] = []
    before: dict[int, Any] = {}

    def request(number: int, frame: Any) -> None:
        del frame
        requests.append(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            os.write(2, b"\nCtrl-C: saving this step; again to end at once without it\n")

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, request)
        yield lambda: requests[0] if requests else 0
        if requests:
            raise Interrupted(
                f"stopped by {signal_name(requests[0])} after the last step of this stage, which is "
                "saved",
                requests[0],
            )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
