"""Plans a run of a preset on chips that are not there, see `kpjax.papers.plan`."""

import sys
from collections.abc import Sequence
from typing import Any

from experiments import experiment_of
from experiments.blank import without_data
from kpjax.papers import plan
from kpjax.papers.parsing import exit_code_of


def main(arguments: Sequence[str]) -> Any:
    """Plans a preset, as `kpjax.papers.plan.main` does."""
    return plan.main(
        arguments,
        experiment_of=lambda name: without_data(experiment_of(name)),
        program="python -m experiments plan",
        module="experiments.plan",
    )


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
