"""Squared errors of single test frames, kept in a run's folder for comparisons of rows."""
from pathlib import Path

import numpy as np

from kpjax.files import atomic

ERRORS = "test_errors.npz"


def write_errors(folder: Path, squares: np.ndarray, groups: np.ndarray, frames: np.ndarray) -> None:
    """Keeps what comparisons read of a run: (M,) of each tested frame's squared distances, its video, its number."""
    with atomic(folder / ERRORS) as partial:
        np.savez(partial, squares=squares, groups=groups, frames=frames)


def read_errors(folder: Path) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """By variant and seed what `write_errors` wrote into the runs of a preset's folder."""
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for path in sorted(folder.glob(f"*/seed-*/{ERRORS}")):
        with np.load(path) as stored:
            found.setdefault(path.parent.parent.name, {})[path.parent.name] = dict(stored)
    return found
