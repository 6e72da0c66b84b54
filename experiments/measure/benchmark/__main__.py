"""`python -m experiments.measure.benchmark [ROWS]`."""

import sys

from experiments.measure.benchmark import run
from kpjax.papers.parsing import exit_code_of

raise SystemExit(exit_code_of(lambda: run(sys.argv[1:])))
