"""`python -m experiments.measure.benchmark [ROWS]`."""
import sys

from kpjax.systems.parsing import exit_code_of
from experiments.measure.benchmark import run

raise SystemExit(exit_code_of(lambda: run(sys.argv[1:])))
