"""`python -m experiments.regda PRESET`."""
from experiments.engine.command_line import main

main("regda")
