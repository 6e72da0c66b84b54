"""SIGTERM: a run finishes its step, saves, and says so."""
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

from kpjax.errors import RunError


class Interrupted(RunError):
    """The run was asked to stop and saved the step it was at; the same command goes on from there.

    Command lines exit with `exit_code` (128 + SIGTERM, as shells count) and start nothing else.
    """

    exit_code = 143


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[int], bool]]:
    """A function of the step that says whether SIGTERM has come, the same on every process at the same step.

    With several processes JAX's own preemption service answers, since the processes must agree on the step.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda step: False
        return
    requests: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: requests.append(number))
    try:
        yield lambda step: bool(requests)
        if requests:
            raise Interrupted("stopped by SIGTERM after the last step of this stage, which is saved")
    finally:
        signal.signal(signal.SIGTERM, before)
