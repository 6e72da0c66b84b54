"""`python -m experiments`: all systems and presets with a line each, and the commands for people's own data."""
import importlib
import pkgutil
import runpy
import sys

import experiments
from experiments.commands import COMMANDS, exit_code_of, run_command


def print_systems() -> None:
    """Imports every system of this package and prints a line for each of its presets."""
    from experiments.command_line import preset_lines

    for entry in pkgutil.iter_modules(experiments.__path__):
        system = None if entry.name.startswith("_") else getattr(
            importlib.import_module(f"experiments.{entry.name}"), "SYSTEM", None)
        if system and system.name == entry.name:  # not where a module of studies imports it
            print(f"{system.name}: {system.summary}", *preset_lines(system, f"python -m experiments.{system.name} "),
                  sep="\n")


def main() -> None:
    """Lists everything, or runs a command."""
    name, *arguments = sys.argv[1:] or [""]
    commands = "\n".join(["your own images and videos:", *(
        f"  python -m experiments {command} --help\n      {kind.__doc__.splitlines()[0]}"
        for command, kind in COMMANDS.items())])
    if name in COMMANDS:
        raise SystemExit(exit_code_of(lambda: run_command(name, arguments)))
    if name in ("-h", "--help"):
        print("python -m experiments lists all systems and their presets; python -m experiments.<system> PRESET runs "
              "one\n" + commands)
    elif name in [entry.name for entry in pkgutil.iter_modules(experiments.__path__)]:
        # `python -m kpjax regda demo` in an installed wheel, where `experiments` is on no path.
        sys.argv = [f"experiments.{name}", *arguments]
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    elif name:
        print(f"error: {name!r} is no command; there are {', '.join(COMMANDS)}, and `python -m experiments.<name> "
              "PRESET`", file=sys.stderr)
        raise SystemExit(2)
    else:
        print_systems()
        print(commands)


if __name__ == "__main__":
    main()
