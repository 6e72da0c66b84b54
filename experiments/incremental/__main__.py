"""`python -m experiments.incremental PRESET`."""

from experiments.incremental import EXPERIMENT
from kpjax.papers.command_line import main

main(EXPERIMENT)
