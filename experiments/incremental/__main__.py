"""`python -m experiments.incremental PRESET`."""

from experiments.incremental import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
