"""`python -m experiments.supervised PRESET`."""
from experiments.engine.command_line import main

main("supervised")
