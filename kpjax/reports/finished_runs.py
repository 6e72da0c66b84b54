"""Readers of a preset's run folders: results.json and metrics.jsonl of every variant and seed."""
import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.errors import InputError

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
    devices: Any
    versions: Any
    config: Mapping[str, Any]


class VariantRuns(NamedTuple):
    """All runs of one variant, in the order of their seeds, and the seeds whose folders hold no result yet."""

    finished: tuple[FinishedRun, ...]
    unfinished: tuple[str, ...]


def read_run(folder: Path) -> FinishedRun:
    """Reads the result in a run's folder. Raises InputError if results.json is missing, broken, or lacks a field."""
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a finished run (no results.json); its own command resumes it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run it again with fresh=True") from None
    missing = [name for name in NEEDED if not isinstance(found, dict) or name not in found]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; run it again with fresh=True")
    metrics = found["metrics"]
    wrong = [] if isinstance(metrics, dict) else ["metrics"]
    wrong += [name for name, value in metrics.items() if _number(value) is None] if not wrong else []
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is not a number; run it again with fresh=True")
    return FinishedRun(
        folder=folder, metrics={name: _number(value) for name, value in metrics.items()},
        **{name: found[name] for name in NEEDED if name != "metrics"},
        **{name: found.get(name) for name in ("images_per_second", "wall_seconds", "devices", "versions")},
        config=found.get("config") or {})


def _number(value) -> float | None:
    """Returns a number as float, also one that strict JSON writes as text (nan, inf, -inf), or None for all else."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_variants(preset_folder: Path) -> dict[str, VariantRuns]:
    """Reads all variants with a run below `preset_folder` (runs/<experiment>/<preset>), by name."""
    variants = {}
    for name, seeds in variant_folders(preset_folder).items():
        done = [seed for seed in seeds if (seed / "results.json").is_file()]
        variants[name] = VariantRuns(
            tuple(read_run(seed) for seed in done), tuple(seed.name for seed in seeds if seed not in done))
    return variants


def variant_folders(preset_folder: Path) -> dict[str, list[Path]]:
    """Returns the folders of all seeds, in order, of each variant with a run."""
    folders = {}
    for folder in sorted(preset_folder.iterdir()) if preset_folder.is_dir() else ():
        seeds = sorted((seed for seed in folder.glob("seed-*") if seed.is_dir()), key=_seed_order)
        if seeds and folder.name != "stages":
            folders[folder.name] = seeds
    return folders


def _seed_order(folder: Path) -> tuple[int, str]:
    number = folder.name.removeprefix("seed-")
    return (int(number) if number.isdigit() else 10**9, folder.name)


def read_history(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Reads every metric over the steps of a run from metrics.jsonl: (step, value) by name, the last value of a step.

    Only rows of the last row's stage are read, since every stage counts its own steps. Values that are not finite are
    left out, as are rows that a killed run broke.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    rows = []
    for text in path.read_bytes().decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(text)
            if isinstance(row, dict) and isinstance(row.get("step"), int | float):
                rows.append(row)
    history: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.get("stage") == rows[-1].get("stage"):
            for name, value in row.items():
                number = None if name == "step" else _number(value)
                if number is not None and math.isfinite(number):
                    history.setdefault(name, {})[float(row["step"])] = number
    return {name: sorted(points.items()) for name, points in history.items()}
