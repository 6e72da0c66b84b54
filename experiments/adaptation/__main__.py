"""`python -m experiments.adaptation PRESET`."""

from experiments.adaptation import EXPERIMENT
from kpjax.papers.command_line import main

main(EXPERIMENT)
