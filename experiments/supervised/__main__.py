"""`python -m experiments.supervised PRESET`."""
from experiments.supervised import SYSTEM
from kpjax.systems.command_line import main

main(SYSTEM)
