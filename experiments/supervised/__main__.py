"""`python -m experiments.supervised PRESET`."""
from kpjax.systems.command_line import main

main("supervised")
