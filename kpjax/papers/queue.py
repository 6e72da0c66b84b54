"""A queue of many runs that resumes.

A job is done if it has a results.json, so there is no list of jobs to keep in step with the folders.
Several processes may work through the same list in the same folder.
"""

import errno
import time
import traceback
from collections.abc import Callable, Sequence

from kpjax import InputError, RunError
from kpjax.errors import WriteError, count_text
from kpjax.papers.engine import Job, claimed
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse

# no job can write then, whatever its folder
NO_DISC = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def in_turn(
    jobs: Sequence[Job],
    work: Callable[[Job], None],
    *,
    pause: float = 10.0,
    failed: dict[Job, str] | None = None,
    alike: bool = False,
) -> None:
    """Works on every job once.

    A job that another process has in work, or one that needs a stage which another trains, is left
    to the end, until that is done: when nothing else is left it looks again every `pause` seconds.
    The first job that fails stops it, unless there is a `failed`, which then holds the errors in
    one line each. What cannot be written stops it all the same, since no other job could write, and
    interruptions (SIGTERM, Ctrl-C) do.

    alike: whether all jobs read the same input. An InputError of the first that is not finished is
    then one of all, and stops it, too.
    """
    waiting = list(dict.fromkeys(jobs))
    unfinished = [job for job in waiting if alike and not job.has_results]
    first = next(iter(unfinished), None)
    put_off: set[Job] = set()
    while waiting:
        for job in waiting:
            of_all = job is first and not put_off
            _try(job, work, failed, put_off, of_all)
        if len(put_off) == len(waiting):
            time.sleep(pause)
        waiting = [job for job in waiting if job in put_off]


def _try(
    job: Job,
    work: Callable[[Job], None],
    failed: dict[Job, str] | None,
    put_off: set[Job],
    of_all: bool,
) -> None:
    """Works on a job, and notes where it failed or must wait for another process, which has claimed
    it.

    of_all: whether an InputError would be one of all jobs, and is raised.
    """
    try:
        with claimed(job):
            work(job)
    except InUse as reason:
        if job not in put_off:
            print(f"{job.title}: put off: {reason}", flush=True)
        put_off.add(job)
        return
    except Interrupted:
        raise
    # a defect, or memory that ran out, must not stop the rest of a table
    except Exception as error:
        if failed is None or _stops_all(error, of_all):
            raise
        expected = isinstance(error, InputError | RunError)
        failed[job] = str(error) if expected else f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{job.preset} {job.title} failed: {failed[job]}", flush=True)
        if not expected:
            traceback.print_exc()
    put_off.discard(job)


def _stops_all(error: Exception, of_all: bool) -> bool:
    """Returns whether an error of one job would be one of every other: no disc takes more, or all read
    the same input. A folder of its own that is blocked is no such error."""
    cause = error.__cause__ if isinstance(error, WriteError) else error
    if isinstance(cause, OSError):
        return cause.errno in NO_DISC
    return isinstance(error, InputError if of_all else WriteError)


def raise_for_failures(failed: dict[Job, str]) -> None:
    """Raises RunError if a job has failed, for the exit code of a command."""
    if failed:
        names = "; ".join(f"{job.preset} {job.title}" for job in failed)
        raise RunError(
            f"{count_text(len(failed), 'run')} failed: {names}. The same command tries again"
        )
