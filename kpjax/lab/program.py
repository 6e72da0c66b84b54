"""The program `kpjax`: commands for people's own images and videos.

Nothing here imports JAX before a command runs.
"""

import importlib
import sys
from importlib import metadata

from kpjax.errors import InputError, suggest_name
from kpjax.lab.commands import COMMANDS, run_command
from kpjax.papers.parsing import exit_code_of, screen_width

OTHERS = {
    "train": "Trains a network on your own labels, images or videos, and writes a report.",
    "plan": "Estimates memory and time of a run on TPUs or GPUs, without one.",
}
HELP = ("", "-h", "--help")


def usage() -> str:
    """Returns a line for each command, and how to begin."""
    lines = {name: kind.__doc__.splitlines()[0] for name, kind in COMMANDS.items()} | OTHERS
    return "\n".join(
        [
            "usage: kpjax COMMAND ...",
            "",
            "Keypoints in your own images and videos, when labels are missing:",
            "",
            *(
                f"  {name:{max(map(len, lines))}}  {lines[name]}"
                for name in dict.fromkeys(["check", "train", *lines])
            ),
            "",
            "begin:  kpjax check MY_PROJECT,  then  kpjax train --project MY_PROJECT",
            "help:   kpjax COMMAND --help",
            "also:   kpjax --version;  in a clone, `python -m experiments` lists the five papers",
        ]
    )


def version() -> str:
    """Returns the version of the installed distribution, "unknown" where there is none."""
    try:
        return metadata.version("kpjax")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def main() -> None:
    """Runs the command of the process's command line."""
    name, *arguments = sys.argv[1:] or [""]
    width = None if name == "plan" else screen_width()  # tables of a plan are not folded
    raise SystemExit(exit_code_of(lambda: _run(name, arguments), width))


def _run(name: str, arguments: list[str]) -> None:
    known = [*COMMANDS, *OTHERS]
    if name in OTHERS:
        importlib.import_module(f"kpjax.lab.commands.{name}").main(arguments)
    elif name in COMMANDS:
        run_command(name, arguments)
    elif name in HELP or name == "--version":
        print(f"kpjax {version()}" if name == "--version" else usage())
    else:
        raise InputError(
            f"{name!r} is not a command; there are {', '.join(known)}{suggest_name(name, known)}"
        )
