"""A stop that a run's own thread asks for, and that has arrived before the run goes on."""
import os
import threading
import time
from collections.abc import Callable

SECONDS = 60.0


def asked_once(ask: Callable[[], None]) -> Callable[[Callable[[], bool]], None]:
    """Returns a function that any thread calls: the first call asks, and all return once their argument says true.

    Python answers a signal in its main thread, and short steps may all be over before that thread has its turn.
    """
    first = threading.Lock()

    def ask_and_wait(arrived: Callable[[], bool]) -> None:
        if first.acquire(blocking=False):
            ask()
        end = time.monotonic() + SECONDS
        while not arrived():
            assert time.monotonic() < end, "what was asked for never arrived"
            os.sched_yield()

    return ask_and_wait
