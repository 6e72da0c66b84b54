"""`python -m experiments.semi_supervised PRESET`."""
from experiments.engine.command_line import main

main("semi_supervised")
