"""`python -m experiments`: the commands for people's own data, and all systems and presets with a line each."""
import importlib
import importlib.util
import pkgutil
import runpy
import sys
from importlib import metadata

import experiments
from kpjax.lab.commands import COMMANDS, run_command
from kpjax.systems.parsing import exit_code_of, screen_width

TRAIN = "Trains a network on your own labels, images or videos."
PLAN = "Says what a run will need on TPUs or GPUs: memory, and floors of a step's time and of hours."
PRESETS = "presets"  # the command that lists all systems
HELP = ("", "-h", "--help")


def commands_text(program: str) -> str:
    """Returns a line for each command for people's own data, and how to begin. program: as it was started."""
    commands = {"train": TRAIN, **{name: kind.__doc__.splitlines()[0] for name, kind in COMMANDS.items()}, "plan": PLAN}
    in_order = dict.fromkeys(["check", "train", *commands])
    return "\n".join([
        f"usage: {program} COMMAND ...", "", "Keypoints in your own images and videos, from a few labels:", "",
        *(f"  {name:{max(map(len, commands))}}  {commands[name]}" for name in in_order), "",
        f"begin:  {program} check MY_PROJECT,  then  {program} train --project MY_PROJECT",
        f"help:   {program} COMMAND --help",
        f"also:   {program} {PRESETS} lists the published systems and their presets;  {program} --version"])


def print_systems(before: str) -> None:
    """Imports every system of this package and prints a line for each of its presets. before: what runs a system."""
    from kpjax.systems.command_line import preset_lines

    for entry in pkgutil.iter_modules(experiments.__path__):
        system = None if entry.name.startswith("_") else getattr(
            importlib.import_module(f"experiments.{entry.name}"), "SYSTEM", None)
        if system and system.name == entry.name:  # not where a module of studies imports it
            print(f"{system.name}: {system.summary}", *preset_lines(system, f"{before}{system.name} "), sep="\n")


def version() -> str:
    """Returns the version of the installed distribution, "unknown" where there is none."""
    try:
        return metadata.version("kpjax")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def train(arguments: list[str]) -> None:
    """Imports and runs the command `train`: help of the others needs none of what it needs."""
    importlib.import_module("kpjax.lab.commands.train").train(arguments)


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
    if name == "train":
        raise SystemExit(exit_code_of(lambda: train(arguments), screen_width()))
    if name in COMMANDS:
        raise SystemExit(exit_code_of(lambda: run_command(name, arguments, program), screen_width()))
    if name in HELP:
        raise SystemExit(exit_code_of(lambda: print(commands_text(program)), screen_width()))
    if name == "--version":
        raise SystemExit(exit_code_of(lambda: print(f"kpjax {version()}"), screen_width()))
    if name == PRESETS:
        raise SystemExit(exit_code_of(lambda: print_systems(before), screen_width()))
    module = next((module for module in (f"experiments.{name}.__main__", f"kpjax.lab.commands.{name}")
                   if name.isidentifier() and _exists(module)), None)
    if module:
        # `kpjax regda demo` with an installed wheel, where `experiments` is on no path. Its help says what was typed.
        sys.argv = [f"{before}{name}", *arguments]
        runpy.run_module(module, run_name="__main__")
    else:
        print(f"error: {name!r} is not a command; there are train, {', '.join(COMMANDS)}, plan, and "
              f"`{before}<system> PRESET`",
              file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
