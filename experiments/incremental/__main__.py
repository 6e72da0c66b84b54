"""`python -m experiments.incremental PRESET`."""
from kpjax.systems.command_line import main

main("incremental")
