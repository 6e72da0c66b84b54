"""Run cards: the presets of the papers' data sets and of the demos, and what was measured with
them.
"""

import importlib
from pathlib import Path

from kpjax import InputError
from kpjax.systems.system import System


def systems() -> list[str]:
    """Returns the names of all systems with presets."""
    return sorted(
        path.parent.name
        for path in Path(__file__).parent.glob("*/__main__.py")
        if path.parent.name != "measure"
    )


def system_of(name: str) -> System:
    """Returns a system with its presets. Raises InputError for an unknown one."""
    if name not in systems():
        raise InputError("system", f"{name!r} is unknown; there are {', '.join(systems())}")
    return importlib.import_module(f"experiments.{name}").SYSTEM
