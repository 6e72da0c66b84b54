"""`python -m experiments.pyramids PRESET`."""

from experiments.pyramids import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
