"""`python -m experiments.semi_supervised PRESET`."""

from experiments.semi_supervised import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
