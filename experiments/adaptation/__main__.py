"""`python -m experiments.adaptation PRESET`."""
from experiments.engine.command_line import main

main("adaptation")
