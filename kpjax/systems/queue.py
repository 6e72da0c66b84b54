"""A queue of many runs that resumes.

A job is done if it has a results.json, so there is no list of jobs to keep in step with the folders. Several processes
may work through the same list in the same folder: each leaves the jobs that another one is running.
"""
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from kpjax import InputError, RunError
from kpjax.systems.system import Job, System, run
from kpjax.training.hosts import agreed
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse, held


class Progress(NamedTuple):
    """How far a list of jobs has come."""

    finished: tuple[Job, ...]
    elsewhere: tuple[Job, ...]  # in work in another process
    failed: tuple[tuple[Job, str], ...]  # with the error, one line each


def called(job: Job) -> str:
    """Returns a job in a few words."""
    return f"{job.preset} {job.variant}, seed {job.seed}"


@contextmanager
def claimed(job: Job) -> Iterator[None]:
    """Keeps a job from other processes that work through the same list. Raises InUse if one of them has it."""
    with ExitStack() as stack:
        agreed(lambda: bool(stack.enter_context(held(job.folder.parent / ".queue" / job.folder.name))))
        yield


def in_turn(jobs: Sequence[Job], work: Callable[[Job], None], *, pause: float = 10.0) -> None:
    """Works on every job, and leaves those that another process has in work to the end, until it is done with them.

    When nothing else is left it looks again every `pause` seconds. The first job that fails stops it.
    """
    waiting, known = list(jobs), []
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
        if len(put_off) == len(waiting):
            time.sleep(pause)
        waiting = known = put_off


def work_through(system: System, jobs: Sequence[Job], *, pause: float = 10.0) -> Progress:
    """Runs every job that is not finished, and returns what became of all of them.

    A job whose folder another process holds is skipped. One that needs a stage or a run that another process trains is
    put off until that is done, looking again every `pause` seconds when nothing else is left. A job that fails is
    reported, and the others go on; the next call tries it again. Interruptions (SIGTERM, Ctrl-C) pass through.
    """
    jobs = list(dict.fromkeys(jobs))
    finished, failed, elsewhere, waiting = [], [], [], jobs
    while waiting:
        put_off, elsewhere_now = [], []
        for job in waiting:
            with ExitStack() as stack:
                try:
                    stack.enter_context(claimed(job))
                except InUse:
                    elsewhere_now.append(job)
                    continue
                number = f"{len(finished) + len(failed) + 1} of {len(jobs)}"
                print(f"\n[{number}] {called(job)}", flush=True)
                try:
                    run(system, job)
                except InUse as error:
                    print(f"put off: {error}")
                    put_off.append(job)
                except Interrupted:
                    raise
                except (InputError, RunError) as error:
                    failed.append((job, str(error)))
                    print(f"failed: {error}")
                except Exception as error:  # a defect, or memory that ran out, must not stop the rest of a table
                    traceback.print_exc()
                    failed.append((job, f"{type(error).__name__}: {error}".splitlines()[0]))
                else:
                    finished.append(job)
        elsewhere += elsewhere_now
        if len(put_off) == len(waiting) - len(elsewhere_now) and put_off:
            time.sleep(pause)
        waiting = put_off
    # What others had in work may be done by now.
    done = [job for job in elsewhere if agreed(lambda job=job: (job.folder / "results.json").exists())]
    return Progress(tuple(finished + done), tuple(job for job in elsewhere if job not in done), tuple(failed))


def progress_lines(progress: Progress) -> list[str]:
    """Returns how far the queue has come, in words: every job that failed is named with its error."""
    return [f"{len(progress.finished)} finished, {len(progress.failed)} failed, {len(progress.elsewhere)} in work in "
            "another process", *(f"failed: {called(job)}: {error}" for job, error in progress.failed),
            *(f"in work in another process: {called(job)}" for job in progress.elsewhere)]


def raise_for_failures(progress: Progress) -> None:
    """Raises RunError if a job has failed, for the exit code of a command."""
    if progress.failed:
        raise RunError(f"{len(progress.failed)} runs failed: {', '.join(called(job) for job, _ in progress.failed)}; "
                       "the same command tries them again")
