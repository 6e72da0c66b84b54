"""What the run folders of one preset hold: results.json, metrics.jsonl and images of every variant and seed."""
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.errors import InputError

NEEDED = ("experiment", "preset", "variant", "seed", "steps", "metrics")


class FinishedRun(NamedTuple):
    """One finished run: its folder and what its results.json says."""

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
    """The result in one run's folder. Raises InputError if results.json is missing, broken, or lacks a field."""
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{folder}: not a finished run (no results.json); its own command resumes it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run it again with --fresh") from None
    missing = [name for name in NEEDED if not isinstance(found, dict) or name not in found]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; run it again with --fresh")
    metrics = found["metrics"]
    wrong = [] if isinstance(metrics, dict) else ["metrics"]
    wrong += [name for name, value in metrics.items() if _number(value) is None] if not wrong else []
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is not a number; run it again with --fresh")
    return FinishedRun(
        folder=folder, metrics={name: _number(value) for name, value in metrics.items()},
        **{name: found[name] for name in NEEDED if name != "metrics"},
        **{name: found.get(name) for name in ("images_per_second", "wall_seconds", "devices", "versions")},
        config=found.get("config") or {})


def _number(value) -> float | None:
    """A number as float, also one that strict JSON had to write as text (nan, inf, -inf); None for anything else."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_variants(preset_folder: Path) -> dict[str, VariantRuns]:
    """All variants with a run below `preset_folder` (runs/<experiment>/<preset>), by name. Empty without any."""
    variants = {}
    for folder in sorted(preset_folder.iterdir()) if preset_folder.is_dir() else ():
        if folder.name == "stages" or not folder.is_dir():
            continue
        seeds = sorted((seed for seed in folder.glob("seed-*") if seed.is_dir()), key=_seed_order)
        if seeds:
            done = [seed for seed in seeds if (seed / "results.json").is_file()]
            variants[folder.name] = VariantRuns(
                tuple(read_run(seed) for seed in done), tuple(seed.name for seed in seeds if seed not in done))
    return variants


def _seed_order(folder: Path) -> tuple[int, str]:
    number = folder.name.removeprefix("seed-")
    return (int(number) if number.isdigit() else 10**9, folder.name)


def read_history(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Every metric over the steps of a run, from metrics.jsonl: (step, value) by name, a step's last value counting.

    A line is an object with `step`, numbers, and perhaps `stage`: only lines of the last line's stage are read, since
    every stage counts its own steps. Values that are not finite are left out, as are lines that a killed run broke.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return {}
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int | float):
            lines.append(line)
    stage = lines[-1].get("stage") if lines else None
    history: dict[str, dict[float, float]] = {}
    for line in lines:
        if line.get("stage") == stage:
            for name, value in line.items():
                number = None if name == "step" else _number(value)
                if number is not None and math.isfinite(number):
                    history.setdefault(name, {})[float(line["step"])] = number
    return {name: sorted(points.items()) for name, points in history.items()}
