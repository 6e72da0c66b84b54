"""A word about the process that the others wait for, where a step on several hosts takes far longer than usual.

Devices wait for each other without a message. What a process can know is where its own program is: that is written to
the run's folder, which all of them share, and process 0 compares.
"""
import contextlib
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import jax
from etils import epath

from kpjax.errors import InputError
from kpjax.files import remove, write_text

TIMES = 10  # the usual time of a step
LEAST = 5.0  # seconds that are never too long
PARTS = ("reads the data", "computes the result")  # of a step, in their order
LAG = 16  # steps that a program may be ahead of another one


@contextlib.contextmanager
def slow_steps(folder: epath.Path, stage: str) -> Iterator[Callable[[int, str], None]]:
    """Yields `at(step, part)`, to be called whenever a part of a step begins; part "" is all that is no step."""
    if jax.process_count() == 1:
        yield lambda step, part: None
        return
    process, durations, done = jax.process_index(), deque(maxlen=50), threading.Event()
    position = (0, "", time.monotonic())

    def at(step: int, part: str) -> None:
        nonlocal position
        now = time.monotonic()
        if part == PARTS[0] and position[1]:
            durations.append(now - begun[0])
        if part != PARTS[1]:
            begun[0] = now
        position = (step, part, begun[0])

    begun, said = [time.monotonic()], set()

    def watch() -> None:
        while not done.wait(1.0):
            step, part, since = position
            seconds, usual = time.monotonic() - since, statistics.median(durations) if durations else 0.0
            if not part or len(durations) < 5 or step in said or seconds < max(TIMES * usual, LEAST):
                continue
            said.add(step)
            with contextlib.suppress(InputError, OSError):
                write_text(folder / f"waiting-{process}", f"{step} {PARTS.index(part)}")
                if process == 0 and not done.wait(LEAST):
                    print(f"{stage}: step {step} takes {seconds + LEAST:.0f} s so far, usually {usual:.2g} s; "
                          f"{waited_for(folder, step)}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=watch, name="slow-steps", daemon=True)
    thread.start()
    try:
        yield at
    finally:
        done.set()
        thread.join()
        if process == 0:
            for file in list(folder.glob("waiting-*")):
                remove(file)


def waited_for(folder: epath.Path, step: int) -> str:
    """Returns the processes that are behind the others, by what all of them have written into a folder."""
    found = {}
    for process in range(jax.process_count()):
        file = folder / f"waiting-{process}"
        at, part = map(int, file.read_text().split()) if file.exists() else (0, 0)
        found[process] = (at, part) if at >= step - LAG else None
    silent = [f"process {process}, which gives no sign" for process, place in found.items() if place is None]
    places = [place for place in found.values() if place is not None]
    behind = [f"process {process}, which {PARTS[place[1]]} of step {place[0]}" for process, place in found.items()
              if place is not None and place == min(places) < max(places)]
    return f"waiting for {' and '.join(silent or behind)}" if silent or behind else "all wait for their devices"
