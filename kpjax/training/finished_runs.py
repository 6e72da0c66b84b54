"""Readers of finished runs: results.json and metrics.jsonl of every variant and seed below a
preset's folder.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.errors import InputError, printable, summarise
from kpjax.files import read_json
from kpjax.training.identity import changed_programs
from kpjax.training.run_folder import check_small_files

LARGEST_COUNT = 2**53  # largest count of steps and seeds
OF_PROGRAMS = ("sources", "versions", "arithmetic")
NEEDED = ("experiment", "preset", "variant", "seed", "steps", "metrics")


class FinishedRun(NamedTuple):
    """One finished run: its folder and the content of its results.json."""

    folder: Path
    experiment: str
    preset: str
    variant: str
    seed: int
    steps: int
    metrics: Mapping[str, float]
    images_per_second: float | None
    wall_seconds: float | None
    images: int | None  # read in training
    devices: Any
    versions: Any
    config: Mapping[str, Any]
    under: Sequence[Mapping[str, Any]] = ()  # the programs that computed it, one after the other

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.variant}, seed {self.seed}"


class VariantRuns(NamedTuple):
    """All runs of one variant, in the order of their seeds, and the seeds whose folders hold no
    result yet.
    """

    finished: tuple[FinishedRun, ...]
    unfinished: tuple[str, ...]


def read_run(folder: Path) -> FinishedRun:
    """Reads the result in a run's folder.

    Raises InputError if results.json is missing, broken, or lacks a field.
    """
    path = folder / "results.json"
    if not path.exists():
        raise InputError(
            f"{folder}: not a finished run (no results.json); its own command resumes it"
        )
    found = read_json(path)
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; run it again with `fresh`")
    metrics = found["metrics"]
    config = found.get("config") or {}
    timing = {name: found.get(name) for name in ("images_per_second", "wall_seconds", "images")}
    right = {
        name: isinstance(found[name], str) and found[name] and printable(found[name]) == found[name]
        for name in ("experiment", "preset", "variant")
    }
    right |= {
        name: type(found[name]) is int and abs(found[name]) <= LARGEST_COUNT
        for name in ("seed", "steps")
    }
    right |= {"metrics": isinstance(metrics, dict), "config": isinstance(config, dict)}
    for name, value in timing.items():
        right[name] = value is None or _number(value) is not None
    right |= (
        {name: _number(value) is not None for name, value in metrics.items()}
        if right["metrics"]
        else {}
    )
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        raise InputError(
            f"{path}: {printable(wrong[0])} is not what a run writes; run it again with `fresh`"
        )
    check_small_files(folder, found)
    return FinishedRun(
        folder=folder,
        metrics={name: _number(value) for name, value in metrics.items()},
        **{name: found[name] for name in NEEDED if name != "metrics"},
        **{name: None if value is None else _number(value) for name, value in timing.items()},
        devices=found.get("devices"),
        versions=found.get("versions"),
        config=config,
        under=found.get("went_on_under") or [{name: found.get(name) for name in OF_PROGRAMS}],
    )


def mixed_programs(runs: Sequence[FinishedRun]) -> str:
    """Returns which runs of a table were computed by other programs than its first one, in a line;
    "" where all are by the same."""
    if not runs:
        return ""
    first = runs[0].under[0]
    others: dict[str, list[str]] = {}
    for run in runs:
        for programs in run.under:
            if changed := changed_programs(first, programs):
                others.setdefault(changed, []).append(run.title)
    if not others:
        return ""
    found = "; ".join(f"{summarise(titles, 3)}: {changed}" for changed, titles in others.items())
    return f"not all runs of this table were computed by the same programs ({found}); --fresh trains again"


def runs_in(folders: Sequence[Path]) -> list[FinishedRun | None]:
    """Reads the results of runs, None for one that is not finished."""
    return [read_run(folder) if (folder / "results.json").exists() else None for folder in folders]


def _number(value) -> float | None:
    """Returns a number as float, also one that strict JSON writes as text (nan, inf, -inf), or None
    for all else.
    """
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e308:
        return None
    return float(value)


def _can_be_plotted(value) -> bool:
    """Returns whether this is a number that an axis can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100


def read_variants(preset_folder: Path) -> dict[str, VariantRuns]:
    """Reads all variants with a run below `preset_folder` (runs/<experiment>/<preset>), by name."""
    variants = {}
    for name, seeds in variant_folders(preset_folder).items():
        done = [seed for seed in seeds if (seed / "results.json").is_file()]
        variants[name] = VariantRuns(
            tuple(read_run(seed) for seed in done),
            tuple(seed.name for seed in seeds if seed not in done),
        )
    return variants


def variant_folders(preset_folder: Path) -> dict[str, list[Path]]:
    """Returns the folders of all seeds, in order, of each variant with a run."""
    folders = {}
    for folder in sorted(preset_folder.iterdir()) if preset_folder.is_dir() else ():
        seeds = sorted(
            (seed for seed in folder.glob("seed-*") if seed.is_dir()),
            key=lambda seed: (len(seed.name), seed.name),
        )
        if seeds and folder.name != "stages":
            folders[folder.name] = seeds
    return folders


def read_history(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Reads every metric over the steps of a run from metrics.jsonl: (step, value) by name, the
    last value of a step.

    Only rows of the last row's stage are read, since every stage counts its own steps. Values that
    are not finite are left out, as are rows that a killed run broke.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    rows = []
    for text in path.read_bytes().decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(text)
            if isinstance(row, dict) and _can_be_plotted(row.get("step")):
                rows.append(row)
    history: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.get("stage") == rows[-1].get("stage"):
            for name, value in row.items():
                number = None if name == "step" else _number(value)
                if number is not None and _can_be_plotted(number):
                    history.setdefault(name, {})[float(row["step"])] = number
    return {name: sorted(points.items()) for name, points in history.items()}
