"""The command `train`: the preset `own` of a system, or else the labels of a project.

Its help needs no JAX.
"""

from collections.abc import Sequence
from pathlib import Path

from kpjax.errors import InputError, suggest_name
from kpjax.lab.own.systems import NEEDS, ways

PLAIN = "semi_supervised"  # trains where no system is named


def main(arguments: Sequence[str]) -> Path | None:
    """Trains the system that is named first, or the labels of a project if none is; returns the path
    of its report.

    Prints help without arguments. Raises InputError for an unknown system, and whatever its preset
    raises.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return None
    name, flags = system_and_flags(arguments)
    if name not in NEEDS:
        raise InputError(
            f"kpjax train: {name!r} is not a system; there are {', '.join(NEEDS)}, and without one "
            f"kpjax train --project P trains on all labels of P{suggest_name(name, list(NEEDS))}"
        )
    from kpjax.lab.own.systems import own_experiment
    from kpjax.papers.command_line import run
    from kpjax.papers.engine import OWN

    return run(own_experiment(name), [OWN, *flags])


def system_and_flags(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the system that trains, and its flags, of what stands behind `train`."""
    name, *flags = arguments
    return (PLAIN, [name, *flags]) if name.startswith("-") else (name, flags)


def usage() -> str:
    """Returns what one may have, and the command for it."""
    lines = {
        "--project P": "labelled frames",
        "--project A --project B": "several projects, of the same keypoints or of different ones",
        **{f"{name} {needs.takes}": needs.have for name, needs in ways()},
    }
    return "\n".join(
        [
            "usage: kpjax train [SYSTEM] [flags]",
            "",
            "You have",
            *(f"  {line}:\n      kpjax train {typed}" for typed, line in lines.items()),
            "",
            "What you do not type is chosen from your data; the report gives the reasons.",
            "kpjax train SYSTEM --help lists the main flags and the variants, --help-all every flag.",
        ]
    )
