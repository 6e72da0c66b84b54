"""`python -m experiments`: every experiment and preset with a line each, and the commands for own pictures."""
import importlib
import pkgutil
import sys
from typing import NamedTuple

import experiments
from experiments.command_line import Experiment, exit_code_of


class Command(NamedTuple):
    """A command that belongs to no experiment."""

    module: str  # of this package; its `main` gets the arguments behind the command
    usage: str
    line: str  # what it does


COMMANDS = {
    "check": Command("check", "PROJECT", "what an annotation project holds, everything that is wrong with it, and its "
                     "labels drawn with their names"),
    "predict": Command("predict", "RUN IMAGES --out FOLDER", "points on pictures, folders of them and videos"),
    "suggest": Command("suggest", "RUN IN... --out FOLDER", "the frames that are worth a label next"),
    "convert": Command("convert", "PROJECT --to FORMAT --out FOLDER", "an annotation project for another tool"),
    "export": Command("export", "RUN --out FOLDER", "a finished run as a predictor that runs without this library"),
}


def all_experiments() -> dict[str, Experiment]:
    """Every module of this package that defines EXPERIMENT, by its name."""
    modules = [importlib.import_module(f"experiments.{entry.name}")
               for entry in pkgutil.iter_modules(experiments.__path__) if not entry.name.startswith("_")]
    return {module.EXPERIMENT.name: module.EXPERIMENT for module in modules if hasattr(module, "EXPERIMENT")}


def show() -> None:
    """Prints the list."""
    for name, experiment in all_experiments().items():
        print(f"{name}: {experiment.summary}")
        width = max(len(preset) for preset in experiment.presets)
        for preset, config in experiment.presets.items():
            print(f"  python -m experiments.{name} {preset:{width}}  {config.summary}")
    print("your own pictures and videos:")
    for name, command in COMMANDS.items():
        print(f"  python -m experiments {name} {command.usage}\n      {command.line}")


def main() -> None:
    """Lists, or hands over to a command."""
    name, *arguments = sys.argv[1:] or [""]
    if name in COMMANDS:
        # Read only now: each command needs other libraries.
        command = importlib.import_module(f"experiments.{COMMANDS[name].module}").main
        raise SystemExit(exit_code_of(lambda: command(arguments)))
    if name:
        print(f"error: {name!r} is no command; there are {', '.join(COMMANDS)}, and `python -m experiments.<name> "
              "PRESET`", file=sys.stderr)
        raise SystemExit(2)
    show()


if __name__ == "__main__":
    main()
