"""`python -m experiments.pyramids PRESET`."""
from experiments.engine.command_line import main

main("pyramids")
