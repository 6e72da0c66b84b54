"""`python -m experiments.adaptation PRESET`."""
from experiments.adaptation import EXPERIMENT
from experiments.command_line import main

main(EXPERIMENT)
