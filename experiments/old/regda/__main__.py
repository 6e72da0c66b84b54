"""`python -m experiments.regda PRESET`."""
from experiments.command_line import main
from experiments.regda import EXPERIMENT

main(EXPERIMENT)
