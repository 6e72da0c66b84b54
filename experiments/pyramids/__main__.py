"""`python -m experiments.pyramids PRESET`."""
from experiments.command_line import main
from experiments.pyramids import EXPERIMENT

main(EXPERIMENT)
