"""`python -m experiments.benchmark [ROWS]`."""
import sys

from experiments.benchmark import run
from experiments.engine.parsing import exit_code_of

raise SystemExit(exit_code_of(lambda: run(sys.argv[1:])))
