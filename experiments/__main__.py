"""`python -m experiments`: all systems and presets with a line each, and commands on them and on what was measured."""
import importlib
import sys

from experiments import system_of, systems
from kpjax.errors import meant
from kpjax.systems.command_line import preset_lines
from kpjax.systems.parsing import exit_code_of, screen_width

COMMANDS = {"study": "runs what a table of the pages lacks", "results": "gathers numbers of runs, renders the pages",
            "plan": "says what a preset will need on chips", "side_by_side": "draws images under several variants",
            "render": "renders what the tutorials learn from"}


def print_systems() -> None:
    """Imports every system and prints a line for each of its presets, and one for each command."""
    for name in systems():
        system = system_of(name)
        print(f"{name}: {system.summary}", *preset_lines(system, f"python -m experiments.{name} "), sep="\n")
    print(*(f"python -m experiments {name}: {words}" for name, words in COMMANDS.items()), sep="\n")


def main() -> None:
    """Lists everything, or runs a command."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        raise SystemExit(exit_code_of(
            lambda: importlib.import_module(f"experiments.{name}").main(arguments), screen_width()))
    if name in ("-h", "--help"):
        raise SystemExit(exit_code_of(print_systems, screen_width()))
    print(f"error: {name!r} is not a command; there are {', '.join(COMMANDS)}, and python -m experiments.SYSTEM PRESET "
          f"for the systems{meant(name, [*COMMANDS, *systems()])}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
