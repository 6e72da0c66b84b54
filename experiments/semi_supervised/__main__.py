"""`python -m experiments.semi_supervised PRESET`."""

from experiments.semi_supervised import EXPERIMENT
from kpjax.papers.command_line import main

main(EXPERIMENT)
