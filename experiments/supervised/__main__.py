"""`python -m experiments.supervised PRESET`."""
from experiments.command_line import main
from experiments.supervised import EXPERIMENT

main(EXPERIMENT)
