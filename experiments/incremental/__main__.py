"""`python -m experiments.incremental PRESET`."""

from experiments.incremental import EXPERIMENT
from kpjax.systems.command_line import main

main(EXPERIMENT)
