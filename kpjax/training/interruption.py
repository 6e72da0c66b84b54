"""Response to SIGTERM: a run finishes its step, saves, and raises Interrupted."""
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils

from kpjax.errors import RunError


class Interrupted(RunError):
    """A run that was asked to stop and has saved its step, from which the same command resumes.

    Command lines exit with `exit_code` (128 + SIGTERM, as shells count) and start nothing else.
    """

    exit_code = 143


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[int], bool]]:
    """Yields a function of the step that returns whether SIGTERM has come, alike on all processes.

    Several processes ask JAX's preemption service, since they must agree on the step.
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
