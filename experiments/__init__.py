"""Run cards: the presets of the papers' data sets and of the demos, and what was measured with
them.
"""

import importlib
from pathlib import Path

from kpjax import InputError
from kpjax.papers.engine import Experiment


def papers() -> list[str]:
    """Returns the names of all papers with presets."""
    return sorted(
        path.parent.name
        for path in Path(__file__).parent.glob("*/__main__.py")
        if path.parent.name != "measure"
    )


def experiment_of(name: str) -> Experiment:
    """Returns a paper with its presets. Raises InputError for an unknown one."""
    if name not in papers():
        raise InputError("system", f"{name!r} is unknown; there are {', '.join(papers())}")
    return importlib.import_module(f"experiments.{name}").EXPERIMENT
