"""`python -m experiments.regda PRESET`."""

from experiments.regda import EXPERIMENT
from kpjax.systems.command_line import main

main(EXPERIMENT)
