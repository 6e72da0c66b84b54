"""The program `kpjax`: commands for people's own images and videos. Nothing here imports JAX before a command runs."""
import difflib
import importlib
import sys
from importlib import metadata

from kpjax.lab.commands import COMMANDS, run_command
from kpjax.systems.parsing import exit_code_of, screen_width

OTHERS = {"train": "Trains a network on your own labels, images or videos.",
          "plan": "Says what a run will need on TPUs or GPUs: memory, and floors of a step's time and of hours."}
HELP = ("", "-h", "--help")


def usage() -> str:
    """Returns a line for each command, and how to begin."""
    lines = {name: kind.__doc__.splitlines()[0] for name, kind in COMMANDS.items()} | OTHERS
    return "\n".join([
        "usage: kpjax COMMAND ...", "", "Keypoints in your own images and videos, from a few labels:", "",
        *(f"  {name:{max(map(len, lines))}}  {lines[name]}" for name in dict.fromkeys(["check", "train", *lines])), "",
        "begin:  kpjax check MY_PROJECT,  then  kpjax train --project MY_PROJECT", "help:   kpjax COMMAND --help",
        "also:   kpjax --version;  in a clone, python -m experiments lists the published systems and their presets"])


def version() -> str:
    """Returns the version of the installed distribution, "unknown" where there is none."""
    try:
        return metadata.version("kpjax")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def main() -> None:
    """Runs the command of the process's command line."""
    name, *arguments = sys.argv[1:] or [""]
    if name in OTHERS:
        width = screen_width() if name == "train" else None  # tables of a plan are not folded
        raise SystemExit(exit_code_of(
            lambda: importlib.import_module(f"kpjax.lab.commands.{name}").main(arguments), width))
    if name in COMMANDS:
        raise SystemExit(exit_code_of(lambda: run_command(name, arguments), screen_width()))
    if name in HELP:
        raise SystemExit(exit_code_of(lambda: print(usage()), screen_width()))
    if name == "--version":
        raise SystemExit(exit_code_of(lambda: print(f"kpjax {version()}"), screen_width()))
    near = difflib.get_close_matches(name.lower(), [*COMMANDS, *OTHERS], 1)
    print(f"error: {name!r} is not a command; " + (f"did you mean {near[0]}?" if near else
                                                   f"there are {', '.join([*COMMANDS, *OTHERS])}"), file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
