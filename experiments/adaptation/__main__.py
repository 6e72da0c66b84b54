"""`python -m experiments.adaptation PRESET`."""

from experiments.adaptation import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
