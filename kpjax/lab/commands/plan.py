"""Plans a run on a person's own project on chips that are not there, see `kpjax.papers.plan`."""

import sys
from collections.abc import Sequence
from typing import Any

from kpjax.lab.own.systems import own_experiment
from kpjax.papers import plan
from kpjax.papers.engine import OWN
from kpjax.papers.parsing import exit_code_of


def main(arguments: Sequence[str]) -> Any:
    """Plans a run, as `kpjax.papers.plan.main` does."""
    return plan.main(
        arguments,
        experiment_of=own_experiment,
        program="kpjax plan",
        module="kpjax.lab.commands.plan",
        preset=OWN,
    )


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
