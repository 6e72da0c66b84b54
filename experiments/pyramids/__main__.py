"""`python -m experiments.pyramids PRESET`."""

from experiments.pyramids import EXPERIMENT
from kpjax.papers.command_line import main

main(EXPERIMENT)
