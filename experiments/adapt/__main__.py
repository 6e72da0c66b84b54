"""`python -m experiments.adapt PRESET`."""
from kpjax.systems.command_line import main

main("adapt")
