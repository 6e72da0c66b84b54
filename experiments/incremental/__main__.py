"""`python -m experiments.incremental PRESET`."""
from experiments.engine.command_line import main

main("incremental")
