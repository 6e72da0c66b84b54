"""A queue of many runs that resumes.

A job is done if it has a results.json, so there is no list of jobs to keep in step with the folders. Several processes
may work through the same list in the same folder: each leaves the jobs that another one is running to the end.
"""
import functools
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import jax

from kpjax import InputError, RunError
from kpjax.systems.system import Job
from kpjax.training.hosts import agreed
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse, held
from kpjax.training.side_by_side import side_by_side


def called(job: Job) -> str:
    """Returns a job in a few words."""
    return f"{job.preset} {job.variant}, seed {job.seed}"


@contextmanager
def claimed(job: Job) -> Iterator[None]:
    """Keeps a job from other processes that work through the same list. Raises InUse if one of them has it."""
    with ExitStack() as stack:
        agreed(lambda: bool(stack.enter_context(held(job.folder.parent / ".queue" / job.folder.name))))
        yield


def in_turn(jobs: Sequence[Job], work: Callable[[Job], None], *, pause: float = 10.0,
            failed: dict[Job, str] | None = None) -> None:
    """Works on every job once.

    A job that another process has in work, or one that needs a stage which another trains, is left to the end, until
    that is done: when nothing else is left it looks again every `pause` seconds. The first job that fails stops it,
    unless there is a `failed`, which then holds the errors in one line each. Interruptions (SIGTERM, Ctrl-C) pass.
    """
    waiting, known = list(dict.fromkeys(jobs)), []
    while waiting:
        put_off = []
        for job in waiting:
            try:
                with claimed(job):
                    work(job)
            except InUse as error:
                put_off.append(job)
                if job not in known:
                    print(f"{job.title}: put off: {error}", flush=True)
            except Interrupted:
                raise
            except Exception as error:  # a defect, or memory that ran out, must not stop the rest of a table
                if failed is None:
                    raise
                expected = isinstance(error, InputError | RunError)
                failed[job] = str(error) if expected else f"{type(error).__name__}: {error}".splitlines()[0]
                print(f"{called(job)} failed: {failed[job]}", flush=True)
                if not expected:
                    traceback.print_exc()
        if len(put_off) == len(waiting):
            time.sleep(pause)
        waiting = known = put_off


def at_once(jobs: Sequence[Job], work: Callable[[Job], None], *, failed: dict[Job, str] | None = None) -> None:
    """Works on every job once, on as many seeds of one kind at the same time as there are devices, see `side_by_side`.

    failed: as of `in_turn`; without one the first error is raised once all runs beside it have ended.
    """
    kinds: dict[Job, list[Job]] = {}
    count = jax.local_device_count()
    for job in jobs:
        kinds.setdefault(job._replace(seed=0), []).append(job)
    for alike in kinds.values():
        for first in range(0, len(alike), count):
            some = [job._replace(options=replace(job.options, quiet=job.options.quiet or place > 0))
                    for place, job in enumerate(alike[first:first + count])]  # what one says of its steps is enough
            found = side_by_side([functools.partial(in_turn, [job], work, failed=failed) for job in some])
            if error := next(filter(None, found), None):
                raise error


def raise_for_failures(failed: dict[Job, str]) -> None:
    """Raises RunError if a job has failed, for the exit code of a command."""
    if failed:
        raise RunError(f"{len(failed)} runs failed: {', '.join(map(called, failed))}; the same command tries them "
                       "again")
