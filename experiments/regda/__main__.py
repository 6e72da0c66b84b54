"""`python -m experiments.regda PRESET`."""
from kpjax.systems.command_line import main

main("regda")
