"""`python -m experiments.regda PRESET`."""

from experiments.regda import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
