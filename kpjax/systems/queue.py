"""A queue of many runs that resumes.

A job is done if it has a results.json, so there is no list of jobs to keep in step with the folders. Several processes
may work through the same list in the same folder: each leaves the jobs that another one is running to the end.
"""
import functools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import jax

from kpjax import InputError, RunError
from kpjax.systems.system import Job
from kpjax.training.hosts import agreed
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse, held
from kpjax.training.side_by_side import side_by_side


def in_turn(jobs: Sequence[Job], work: Callable[[Job], None], *, together: bool = False, pause: float = 10.0,
            failed: dict[Job, str] | None = None) -> None:
    """Works on every job once.

    A job that another process has in work, or one that needs a stage which another trains, is left to the end, until
    that is done: when nothing else is left it looks again every `pause` seconds. The first job that fails stops it,
    unless there is a `failed`, which then holds the errors in one line each. Interruptions (SIGTERM, Ctrl-C) pass.

    together: on as many seeds of one kind at the same time as there are devices, see `side_by_side`. Each has as many
    devices as where all seeds of its kind are worked on. Those beside one that fails, or is left to the end, go on.
    """
    waiting, put_off = list(dict.fromkeys(jobs)), set()
    seeds = Counter(job._replace(seed=0) for job in waiting)
    attempt = functools.partial(_try, work=work, failed=failed, put_off=put_off)
    while waiting:
        if together:
            _seeds_together(waiting, seeds, attempt)
        else:
            for job in waiting:
                attempt(job)
        if len(put_off) == len(waiting):
            time.sleep(pause)
        waiting = [job for job in waiting if job in put_off]


def _seeds_together(jobs: Sequence[Job], seeds: Mapping[Job, int], attempt: Callable[..., None]) -> None:
    """Works on jobs once, seeds of one kind at the same time. seeds: how many there are of each kind in all."""
    devices, kinds = jax.local_devices(), {}
    for job in jobs:
        kinds.setdefault(job._replace(seed=0), []).append(job)
    for kind, alike in kinds.items():
        each = max(len(devices) // seeds[kind], 1)
        count = len(devices) // each
        for some in (alike[first:first + count] for first in range(0, len(alike), count)):
            works = [functools.partial(attempt, job, quiet=place > 0)
                     for place, job in enumerate(some)]  # what one says of its steps is enough
            found = side_by_side(works, devices[:each * len(some)])
            if error := next(filter(None, found), None):
                raise error


def _try(job: Job, work: Callable[[Job], None], failed: dict[Job, str] | None, put_off: set[Job], *,
         quiet: bool = False) -> None:
    """Works on a job, and notes where it failed or must wait for another process, which has claimed it."""
    try:
        with ExitStack() as claimed:
            agreed(lambda: bool(claimed.enter_context(held(job.folder.parent / ".queue" / job.folder.name))))
            work(job._replace(options=replace(job.options, quiet=True)) if quiet else job)
    except InUse as reason:
        if job not in put_off:
            print(f"{job.title}: put off: {reason}", flush=True)
        put_off.add(job)
        return
    except Interrupted:
        raise
    except Exception as error:  # a defect, or memory that ran out, must not stop the rest of a table
        if failed is None:
            raise
        expected = isinstance(error, InputError | RunError)
        failed[job] = str(error) if expected else f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{job.preset} {job.title} failed: {failed[job]}", flush=True)
        if not expected:
            traceback.print_exc()
    put_off.discard(job)


def raise_for_failures(failed: dict[Job, str]) -> None:
    """Raises RunError if a job has failed, for the exit code of a command."""
    if failed:
        names = ", ".join(f"{job.preset} {job.title}" for job in failed)
        raise RunError(f"{len(failed)} runs failed: {names}; the same command tries them again")
