"""How long all runs of a command will take, said once."""

import sys
import time
from collections.abc import Mapping, Sequence

from etils import epath

from kpjax.papers.engine import Job
from kpjax.training.loggers import Logger


class AllOfIt(Logger):
    """A logger that says once, when the speed of the first stage is known, how long all runs of a
    command will take.

    Stages are taken to train for `Job.lengths` steps of that speed, each once for a seed, and
    for all else, such as its other programs and its evaluations, every run to need twice what the
    first step took to compile.
    """

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = jobs
        self.began, self.opened = time.monotonic(), 0.0
        self.start = 0  # steps that an earlier command has trained of the first stage

    def __call__(self, folder: epath.Path, stage: str, start: int) -> "AllOfIt":
        if not self.opened:
            self.opened = time.monotonic()
            self.start = start
        return self

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        rate = metrics.get("steps_per_second", 0.0)
        if not self.jobs or rate <= 0:
            return
        jobs, self.jobs = self.jobs, ()
        waiting = [job for job in jobs if not job.has_results]
        stages = {folder: steps for job in waiting for folder, steps in job.lengths.items()}
        compiling = max(time.monotonic() - self.opened - (step - self.start) / rate, 0.0)
        training = 2 * compiling * len(waiting) + (sum(stages.values()) - self.start) / rate
        minutes = (self.opened - self.began + training) / 60
        if minutes >= 1:
            from tqdm import tqdm

            tqdm.write(
                f"all of it: about {minutes:.0f} minute{'s' if minutes >= 1.5 else ''} for {len(waiting)} "
                f"run{'s' if len(waiting) > 1 else ''}",
                file=sys.stderr,
            )
