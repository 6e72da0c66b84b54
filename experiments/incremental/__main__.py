"""`python -m experiments.incremental PRESET`."""
from experiments.command_line import main
from experiments.incremental import EXPERIMENT

main(EXPERIMENT)
