"""`python -m experiments.semi_supervised PRESET`."""
from experiments.command_line import main
from experiments.semi_supervised import EXPERIMENT

main(EXPERIMENT)
