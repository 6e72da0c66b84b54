"""What a row gains over chance and over diversity, seed by seed."""
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.seed_intervals import over_seeds
from kpjax.reports.table import markdown

CONTROLS = ("random", "diversity")


def interval(differences: Sequence[float]) -> str:
    """"-0.41 [-0.90, +0.08]": the mean and where it lies with a probability of 95 % by Student's t."""
    found = over_seeds(differences)
    return f"{np.mean(differences):+.2f}" + (f" [{found.low:+.2f}, {found.high:+.2f}]" if found else "")


def differences(values: Mapping[tuple[str, int], float], title: str) -> str:
    """A Markdown table: each row less `random` and less `diversity` of the same seed; below 0 is better than they are.

    values: the error by variant and seed, of those runs that are finished.
    """
    seeds = sorted({seed for _, seed in values})
    rows = []
    for name in dict.fromkeys(name for name, _ in values):
        cells = []
        for control in CONTROLS:
            pairs = [values[name, seed] - values[control, seed] for seed in seeds
                     if (name, seed) in values and (control, seed) in values]
            cells.append("" if name == control else interval(pairs) if pairs else "not run")
        rows.append([name, *cells])
    return markdown([title, *(f"less {control}" for control in CONTROLS)], rows)
