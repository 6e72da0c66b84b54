"""`python -m experiments.adaptation PRESET`."""

from experiments.adaptation import EXPERIMENT
from kpjax.systems.command_line import main

main(EXPERIMENT)
