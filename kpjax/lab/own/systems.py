"""Systems on people's own data, and the system of any finished run."""
import importlib
import importlib.util

from kpjax import InputError
from kpjax.lab.own.needs import NEEDS
from kpjax.systems.system import OWN, System


def own_system(name: str) -> System:
    """Returns a system whose one preset, `own`, is for people's own data. Raises InputError for an unknown name."""
    if name not in NEEDS:
        raise InputError("system", f"{name!r} does not train on one's own data; kpjax train lists those that do")
    return importlib.import_module(f"kpjax.lab.own.{name}").SYSTEM


def system_of_run(experiment: str, preset: str) -> System | None:
    """Returns the system that made a run, without its other presets and their data; None for an unknown one."""
    if preset.partition("-")[0] == OWN:
        return own_system(experiment) if experiment in NEEDS else None
    if not experiment.isidentifier() or importlib.util.find_spec(f"kpjax.systems.{experiment}") is None:
        return None
    return getattr(importlib.import_module(f"kpjax.systems.{experiment}"), "SYSTEM", None)
