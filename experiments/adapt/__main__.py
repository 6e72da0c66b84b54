"""`python -m experiments.adapt PRESET`."""
from experiments.engine.command_line import main

main("adapt")
