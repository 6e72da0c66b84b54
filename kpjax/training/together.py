"""Several runs at the same time in one process, such as the seeds of one network that is small for its devices.

Each run is a thread that trains as it would alone, on devices of its own. Nothing is exchanged, so its numbers are
those of a run on as many devices, bit for bit on CPUs, and it may fail, resume or end when the others do not.

Where runs outnumber accelerators, some share one: they take turns on the host, and equal training steps become one
vmapped program. CPUs are not shared: there a vmapped convolution is many times slower.
"""
import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kpjax.errors import InputError
from kpjax.training.fit import Beside, compiled_update, step_of
from kpjax.training.mesh import by_examples, on_devices, replicated
from kpjax.training.process import Interrupted, stop_requests
from kpjax.training.trees import describe

Result = TypeVar("Result")
GRACE = 2.0  # seconds in which a fault that all runs share has reached all of them
WAKE = 0.5  # seconds after which a signal is answered that the system gave to another thread than the waiting one


def shares(count: int) -> list[tuple[jax.Device, ...]]:
    """Returns the devices of each of `count` runs: neighbours of equal number, or one accelerator for several runs.

    On a CPU several runs have a device each. Devices of a CPU share one pool of threads, where the sums over devices of
    two programs at the same time were seen to wait for each other for ever.

    Raises InputError if runs and devices do not divide, and on several processes, whose threads would have to start
    their programs in the same order.
    """
    devices, name = tuple(jax.devices()), f"seeds_together: {count}"
    if count > 1 and jax.process_count() > 1:
        raise InputError(f"{name} seeds on {jax.process_count()} processes; a process on its own can train several, so "
                         "start the same command on each host with num_processes=1 and another first_seed")
    if count > 1 and devices[0].platform == "cpu":
        if count > len(devices):
            raise InputError(f"{name} seeds on {len(devices)} CPU devices; divide the CPU by "
                             f"XLA_FLAGS=--xla_force_host_platform_device_count={count}")
        return [(device,) for device in devices[:count]]
    several, left = divmod(len(devices), count)
    if not left:
        return [devices[run * several:(run + 1) * several] for run in range(count)]
    on_each, left = divmod(count, len(devices))
    if not left:
        return [(devices[run // on_each],) for run in range(count)]
    fitting = [str(number) for number in range(1, len(devices) + 1) if len(devices) % number == 0]
    raise InputError(f"{name} seeds do not divide over {len(devices)} devices; give {' or '.join(fitting)}, or a "
                     f"multiple of {len(devices)}")


def side_by_side(tasks: Sequence[Callable[[Beside], Result]], places: Sequence[tuple[jax.Device, ...]] | None = None
                 ) -> list[Result]:
    """Runs all tasks, each in a thread with devices of its own, and returns their results.

    Each gives what it is called with to all `fit` of its run. SIGTERM and Ctrl-C make all of them save and stop.

    places: devices of each task, as `shares` returns them by default; equal ones are shared.
    Raises InputError of `shares`, and at the end what the first task raised that failed. The others go on till then.
    """
    places = shares(len(tasks)) if places is None else places
    ended = threading.Event()
    with stop_requests() as requested, ThreadPoolExecutor(len(tasks), "run") as pool:
        def stop() -> bool:
            return requested() or ended.is_set()

        groups = {place: _Turns(list(places).count(place), stop) for place in places}

        def work(task: Callable[[Beside], Result], place: tuple[jax.Device, ...]) -> Result:
            turns = groups[place]
            told = Beside(count=len(tasks), stop=stop) if list(places).count(place) == 1 else Beside(
                count=len(tasks), stop=turns.stop, compiled=turns.compiled, sleep=turns.sleep)
            with on_devices(place), turns.taken():
                return task(told)

        futures = [pool.submit(work, task, place) for task, place in zip(tasks, places, strict=True)]
        try:
            running = _wait(futures, until_a_failure=True)
            if running and wait(running, timeout=GRACE).not_done and not stop():
                print(f"failed: {_failures(futures)[0]}; the others go on", file=sys.stderr, flush=True)
            _wait(futures)
        except BaseException:  # Ctrl-C
            ended.set()
            raise
        if failures := _failures(futures):
            for other in failures[1:]:  # one fault of the input is often that of all
                if not isinstance(other, Interrupted | InputError):
                    print(f"failed: {other}", file=sys.stderr, flush=True)
            raise failures[0]
        return [future.result() for future in futures]


def _wait(futures: Iterable[Future], until_a_failure: bool = False) -> set[Future]:
    """Waits until all have ended, or one has failed, and returns those that still run.

    Python answers signals in the main thread, where this waits and which a signal does not always wake.
    """
    running = set(futures)
    while running:
        done, running = wait(running, timeout=WAKE, return_when=FIRST_COMPLETED)
        if until_a_failure and _failures(done):
            break
    return running


def _failures(futures: Iterable[Future]) -> list[BaseException]:
    """Returns what runs raised so far, interruptions last."""
    raised = [error for future in futures if future.done() and (error := future.exception()) is not None]
    return sorted(raised, key=lambda error: isinstance(error, Interrupted))


class _Call:
    """A step that a run waits for."""

    def __init__(self, kind: Any, arguments: tuple):
        self.kind, self.arguments = kind, arguments
        self.answer: Any = None  # (what the step returned, names of its metrics)
        self.error: BaseException | None = None


class _Turns:
    """Runs that share a device. One is at work at a time; once all stand before a step, equal steps are taken as one.

    A run that sleeps or has ended is not waited for, so none waits for ever.
    """

    def __init__(self, members: int, stop: Callable[[], bool]):
        self.condition, self.present, self.waiting = threading.Condition(), members, []
        self.asked, self.stopping = stop, False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Makes this thread one of the runs."""
        with self.condition:
            try:
                yield
            finally:
                self.present -= 1
                self._take_all()

    def sleep(self, seconds: float) -> None:
        """Sleeps while the others go on."""
        self.present -= 1
        self._take_all()
        self.condition.release()
        try:
            time.sleep(seconds)
        finally:
            self.condition.acquire()
            self.present += 1

    def stop(self) -> bool:
        """Returns whether to stop, alike for all runs after a step, so that none takes another one by itself."""
        return self.stopping

    def compiled(self, update: Callable, mesh: Mesh) -> tuple[Callable, list[str]]:
        """Returns the step of a method, to be taken with that of the other runs, and the names of its metrics."""
        names: list[str] = []
        arrays = None  # of the first step and of all others

        def step(*arguments):
            nonlocal arrays
            if arrays is None:
                arrays = jax.tree.structure(arguments), tuple(describe(arguments).items())
            call = _Call((update, mesh, arrays), arguments)
            self.waiting.append(call)
            self._take_all()
            self.condition.wait_for(lambda: call.answer or call.error)
            if call.error:
                raise call.error
            result, names[:] = call.answer
            return result

        return step, names

    def _take_all(self) -> None:
        """Takes the steps that runs stand before, if all of them do."""
        if not self.waiting or len(self.waiting) < self.present:
            return
        self.stopping = self.asked()
        for kind in dict.fromkeys(call.kind for call in self.waiting):
            calls = [call for call in self.waiting if call.kind == kind]
            try:
                update, mesh, _ = kind
                if len(calls) == 1:
                    step, names = compiled_update(update, mesh)
                    results = [step(*calls[0].arguments)]
                else:
                    step, names = compiled_for_several(update, mesh)
                    results = step(*zip(*(call.arguments for call in calls), strict=True))
                for call, result in zip(calls, results, strict=True):
                    call.answer = result, names
            except BaseException as error:
                for call in calls:
                    call.error = error
        self.waiting = []
        self.condition.notify_all()


@functools.lru_cache(maxsize=64)
def compiled_for_several(update: Callable, mesh: Mesh) -> tuple[Callable, list[str]]:
    """Returns the step of a method for several runs on one device at once, and the list of its metrics.

    It takes a tuple of states, one of streams and one of stages' keys, and returns (state, metrics) of each run. Every
    array of a run stays its own, so that a run saves, evaluates and leaves by itself; they are stacked within the step.
    """
    names: list[str] = []

    def steps(states, streams, keys):
        stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) for trees in (states, streams, keys)]
        found = jax.vmap(step_of(update, names))(*stacked)
        return tuple(jax.tree.map(lambda leaf, run=run: leaf[run], found) for run in range(len(states)))

    whole = replicated(mesh)
    return jax.jit(steps, in_shardings=(whole, by_examples(mesh), whole), out_shardings=whole,
                   donate_argnums=0), names
