"""Plans a run on a person's own project on chips that are not there, see `kpjax.papers.plan`.

The small network that finds several animals is not planned, and not trained either.
"""

import sys
from collections.abc import Sequence
from typing import Any

from kpjax.lab.own.systems import own_experiment
from kpjax.papers import plan
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import OWN, Experiment, Job
from kpjax.papers.parsing import exit_code_of


def main(arguments: Sequence[str]) -> Any:
    """Plans a run, as `kpjax.papers.plan.main` does."""
    return plan.main(
        arguments,
        experiment_of=planned_experiment,
        program="kpjax plan",
        module="kpjax.lab.commands.plan",
        preset=OWN,
    )


def planned_experiment(name: str) -> Experiment:
    """Returns a system on people's own data that opens these without training: where a run would
    learn to find animals on frames without labels, the frames are whole, in squares as large as the
    crops would be. A plan uses no more of them than their size.

    Raises InputError as `own_experiment` does.
    """
    experiment = own_experiment(name)

    def open_whole(job: Job) -> Any:
        if _learns_to_find(job.config):
            job = job._replace(config=replace_fields(job.config, transform="letterbox"))
        return experiment.open(job)

    return experiment._replace(open=open_whole)


def _learns_to_find(config: Any) -> bool:
    """Returns whether opening the data trains a network that finds animals: frames without labels
    are read that were named beside a project with labels, and each animal is cropped."""
    data = config.data
    reads_frames = getattr(data, "unlabelled", ()) or getattr(data, "source", "")
    return getattr(data, "transform", "") == "around_box" and bool(reads_frames)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
