"""`python -m experiments.adaptation PRESET`."""
from kpjax.systems.command_line import main

main("adaptation")
