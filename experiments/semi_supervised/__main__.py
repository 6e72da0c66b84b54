"""`python -m experiments.semi_supervised PRESET`."""
from kpjax.systems.command_line import main

main("semi_supervised")
