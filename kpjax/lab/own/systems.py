"""Systems on people's own data, and the system of any finished run."""
import importlib
import importlib.util

from kpjax import InputError
from kpjax.lab.own.command import OWN_PARTS
from kpjax.systems.system import OWN, System


def own_system(name: str) -> System:
    """Returns a system whose one preset, `own`, is for people's own data. Raises InputError for an unknown name."""
    if importlib.util.find_spec(f"kpjax.lab.own.{name}") is None:
        raise InputError("system", f"{name!r} does not train on one's own data; kpjax train lists those that do")
    system = importlib.import_module(f"kpjax.lab.own.{name}").SYSTEM
    return system._replace(template=system.presets[OWN], own=OWN_PARTS)


def system_of_run(experiment: str, preset: str) -> System | None:
    """Returns the system that made a run, without its other presets and their data; None for an unknown one."""
    module = "lab.own" if preset.partition("-")[0] == OWN else "systems"
    known = experiment.isidentifier() and importlib.util.find_spec(f"kpjax.{module}.{experiment}") is not None
    if not known:
        return None
    found = getattr(importlib.import_module(f"kpjax.{module}.{experiment}"), "SYSTEM", None)
    return own_system(experiment) if found and module == "lab.own" else found
