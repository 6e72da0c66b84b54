"""The command `train`: the preset `own` of a system."""
from collections.abc import Sequence

from etils import epath

from experiments.engine.command_line import run
from experiments.engine.own.needs import NEEDS
from experiments.engine.system import OWN, system_of
from kpjax import InputError


def train(arguments: Sequence[str]) -> epath.Path | None:
    """Trains the system that is named first and returns the path of its report; prints help without a system.

    Raises InputError for an unknown system, and whatever its preset raises.
    """
    name, *flags = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return None
    if name not in NEEDS:
        raise InputError("train", f"{name!r} is not a system; there are {', '.join(NEEDS)}")
    return run(system_of(name), [OWN, *flags])


def usage() -> str:
    """Returns a line for each system, with what it must be given."""
    return "\n".join(["usage: kpjax train SYSTEM [flags]", "",
                      *(f"  kpjax train {name} {needs.takes}" for name, needs in NEEDS.items()), "",
                      "kpjax train SYSTEM --help lists all flags; those that are not typed are chosen from the data"])
