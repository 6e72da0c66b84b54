"""`python -m experiments.pyramids PRESET`."""
from kpjax.systems.command_line import main

main("pyramids")
