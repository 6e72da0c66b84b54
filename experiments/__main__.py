"""`python -m experiments`: all systems and presets with a line each, and commands on them and on
what was measured.
"""

import importlib
import sys

from experiments import experiment_of, papers
from kpjax.errors import InputError, suggest_name
from kpjax.papers.command_line import preset_lines
from kpjax.papers.parsing import exit_code_of, screen_width

COMMANDS = {
    "study": "runs what a table of the pages lacks",
    "results": "gathers numbers of runs, renders the pages",
    "plan": "says what a preset will need on chips",
    "render": "renders what the tutorials learn from",
}


def print_papers() -> None:
    """Imports every paper and prints a line for each of its presets, and one for each command."""
    for name in papers():
        experiment = experiment_of(name)
        print(
            f"{name}: {experiment.paper.summary}",
            *preset_lines(experiment, f"python -m experiments.{name} "),
            sep="\n",
        )
    print(*(f"python -m experiments {name}: {words}" for name, words in COMMANDS.items()), sep="\n")


def main() -> None:
    """Lists everything, or runs a command."""
    raise SystemExit(exit_code_of(lambda: _run(*(sys.argv[1:] or ["--help"])), screen_width()))


def _run(name: str, *arguments: str) -> None:
    if name in COMMANDS:
        importlib.import_module(f"experiments.{name}").main(list(arguments))
    elif name in ("-h", "--help"):
        print_papers()
    else:
        raise InputError(
            f"{name!r} is not a command; there are {', '.join(COMMANDS)}, and python -m "
            f"experiments.SYSTEM PRESET for the systems{suggest_name(name, [*COMMANDS, *papers()])}"
        )


if __name__ == "__main__":
    main()
