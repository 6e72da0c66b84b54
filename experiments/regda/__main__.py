"""`python -m experiments.regda PRESET`."""

from experiments.regda import EXPERIMENT
from kpjax.papers.command_line import main

main(EXPERIMENT)
