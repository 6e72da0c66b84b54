"""`python -m experiments.labelling_protocol PRESET`."""
import sys

from experiments.command_line import exit_code_of
from experiments.labelling_protocol import main

raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
