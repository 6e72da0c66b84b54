"""`python -m experiments`: all systems and presets with a line each, and the commands for people's own data."""
import importlib
import importlib.util
import pkgutil
import runpy
import sys

import experiments
from experiments.commands import COMMANDS, run_command
from experiments.engine.parsing import exit_code_of

TRAIN = "Trains a system on a person's own project, images or videos."


def print_systems(before: str, after: str) -> None:
    """Imports every system of this package and prints a line for each of its presets.

    before: what runs a system. after: what is printed last.
    """
    from experiments.engine.command_line import preset_lines

    for entry in pkgutil.iter_modules(experiments.__path__):
        system = None if entry.name.startswith("_") else getattr(
            importlib.import_module(f"experiments.{entry.name}"), "SYSTEM", None)
        if system and system.name == entry.name:  # not where a module of studies imports it
            print(f"{system.name}: {system.summary}", *preset_lines(system, f"{before}{system.name} "), sep="\n")
    print(after)


def train(arguments: list[str]) -> None:
    """Imports and runs the command `train`: help of the others needs none of what it needs."""
    importlib.import_module("experiments.commands.train").train(arguments)


def _exists(module: str) -> bool:
    """Returns whether a module of this package can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main(program: str = "python -m experiments") -> None:
    """Lists everything, or runs a command. program: as it was started, for help."""
    name, *arguments = sys.argv[1:] or [""]
    before = "kpjax " if program == "kpjax" else f"{program}."
    commands = "\n".join(["your own images and videos:", *(
        f"  {program} {command} --help\n      {line}" for command, line in
        {"train": TRAIN, **{name: kind.__doc__.splitlines()[0] for name, kind in COMMANDS.items()}}.items())])
    if name == "train":
        raise SystemExit(exit_code_of(lambda: train(arguments)))
    if name in COMMANDS:
        raise SystemExit(exit_code_of(lambda: run_command(name, arguments, program)))
    if name in ("-h", "--help"):
        lists = f"{program} lists all systems and their presets; {before}<system> PRESET runs one\n{commands}"
        raise SystemExit(exit_code_of(lambda: print(lists)))
    module = next((module for module in (f"experiments.{name}.__main__", f"experiments.commands.{name}")
                   if name.isidentifier() and _exists(module)), None)
    if module:
        # `kpjax regda demo` with an installed wheel, where `experiments` is on no path. Its help says what was typed.
        sys.argv = [f"{before}{name}", *arguments]
        runpy.run_module(module, run_name="__main__")
    elif name:
        print(f"error: {name!r} is not a command; there are train, {', '.join(COMMANDS)}, and `{before}<system> "
              "PRESET`",
              file=sys.stderr)
        raise SystemExit(2)
    else:
        raise SystemExit(exit_code_of(lambda: print_systems(before, commands)))


if __name__ == "__main__":
    main()
