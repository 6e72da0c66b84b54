"""Measured numbers in files: `results.csv` of a room, a row for every number, from which all pages are rendered.

A room is a folder of `experiments` with a `tables.py`. A value has the unit that its run measured it in; tables scale
it. `seed` is one seed, or a range such as `0-4` where only the mean over those seeds was kept, with its deviation or
interval. Numbers whose runs no longer exist have `recorded by hand` in place of a commit.
"""
import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.system import System
from kpjax import InputError
from kpjax.files import read_json
from kpjax.reports.table import read_run, variant_folders

EXPERIMENTS = Path(__file__).parents[1]
FILE = "results.csv"
BY_HAND = "recorded by hand"


class Result(NamedTuple):
    """One number."""

    preset: str
    settings: str  # those that differ from the preset's, "labelled=10 sigma=2", by name
    variant: str  # "one - other" for a difference of which only mean and interval were kept
    seed: str
    metric: str
    value: float
    deviation: float | None = None  # over the seeds of a range, n - 1
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    steps: int | None = None
    seconds: float | None = None  # of training
    device: str = ""
    date: str = ""
    commit: str = BY_HAND

    @property
    def key(self) -> tuple[str, ...]:
        """What a number is of: gathering a run again replaces the numbers of equal keys."""
        return self[:5]


NUMBERS = {"value": float, "deviation": float, "low": float, "high": float, "steps": int, "seconds": float}


def read_results(room: Path) -> list[Result]:
    """Reads the numbers of a room, none where it has no file. Raises InputError for a row that is none."""
    path = room / FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(Result._fields):
            raise InputError(f"{path}: the first line must be {','.join(Result._fields)}")
        found = []
        for number, row in enumerate(reader, 2):
            try:
                found.append(Result(**row | {name: kind(row[name]) if row[name] else None
                                             for name, kind in NUMBERS.items()}))
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}, line {number}: {error}; gather its run again") from None
    return found


def write_results(room: Path, results: Iterable[Result]) -> None:
    """Writes the numbers of a room in the order of their keys, so that a difference shows what was measured."""
    with (room / FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Result._fields)
        for result in sorted(results, key=lambda one: one.key):
            writer.writerow("" if value is None else format(value, ".6g") if isinstance(value, float) else value
                            for value in result)


def merged(old: Iterable[Result], new: Iterable[Result]) -> list[Result]:
    """Returns old numbers, those that were measured again replaced.

    A seed that was measured also replaces what was recorded by hand for its variant and metric, a mean over seeds or
    a difference from another variant: the seeds of two recordings do not mix. Tuning seeds replace tuning seeds only.
    """
    new = list(new)
    keys, measured = {one.key for one in new}, {(*one[:3], one.metric, _of_tuning(one)) for one in new}

    def stale(one: Result) -> bool:
        parts = re.split(" [-/] ", one.variant)
        return one.commit == BY_HAND and any((*one[:2], part, one.metric, _of_tuning(one)) in measured
                                             for part in parts)

    return [one for one in old if one.key not in keys and not stale(one)] + new


def _of_tuning(one: Result) -> bool:
    first = re.match(r"\d+", one.seed)
    return bool(first) and int(first[0]) in TUNING_SEEDS


def run_results(system: System, workdir: Path, metrics: Collection[str]) -> Iterator[Result]:
    """Yields the numbers of all finished runs of a system below a folder of runs.

    metrics: the ones that tables read; the columns of the system's own table are read in any case. Runs of versions
    that did not record which settings were asked for are left out.
    """
    for folder in sorted(path for path in (workdir / system.name).glob("*") if path.is_dir()):
        # "<preset>-<field>-<value>", or "<preset>_<field>_<value>" of a field that a shared base depends on.
        preset = max((name for name in system.presets if folder.name.startswith((f"{name}-", f"{name}_"))
                      or folder.name == name), key=len, default=None)
        if preset is None:
            continue
        wanted = {*metrics, *(column.metric for column in system.columns(system.presets[preset]))}
        for seeds in variant_folders(folder).values():
            for path in (seed / "results.json" for seed in seeds):
                if not path.is_file() or "settings" not in (kept := read_json(path)):
                    continue
                run, devices = read_run(path.parent), kept.get("devices") or {}
                for metric in sorted(wanted & set(run.metrics)):
                    yield Result(
                        preset, kept["settings"], run.variant, str(run.seed), metric, run.metrics[metric],
                        steps=run.steps, seconds=run.wall_seconds and round(run.wall_seconds, 1),
                        device=f"{devices.get('count', 1)} {devices.get('kind', '')}".strip(),
                        date=datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat(),
                        commit=kept.get("commit") or "unknown")


def gathered(system: System, workdir: Path, metrics: Collection[str], beside: str = "") -> int:
    """Writes the numbers of all finished runs into the system's file, and returns how many were read.

    beside: names runs that repeat others, to be compared with what ran beside them on one computer. They get a setting
    of this name, so that they neither replace nor join the others.
    """
    room = EXPERIMENTS / system.name
    new = list(run_results(system, workdir, metrics))
    if beside:
        new = [one._replace(settings=" ".join(sorted([*one.settings.split(), f"beside={beside}"]))) for one in new]
    write_results(room, merged(read_results(room), new))
    return len(new)


class Numbers:
    """The numbers of a room by what they are of."""

    def __init__(self, results: Sequence[Result]):
        self._found: dict[tuple[str, ...], list[Result]] = {}
        self._seeds: dict[tuple[str, ...], set[str]] = {}
        for one in results:
            self._seeds.setdefault(one[:3], set()).add(one.seed)
            self._found.setdefault((one.preset, one.settings, one.variant, one.metric), []).append(one)

    def of(self, preset: str, settings: str, variant: str, metric: str, seeds: range = range(100)) -> list[Result]:
        """Returns a metric of a variant, by rising seed, ranges last. seeds: those that count."""
        found = self._found.get((preset, settings, variant, metric), [])
        return sorted((one for one in found if _among(one.seed, seeds)),
                      key=lambda one: (not one.seed.isdigit(), int(one.seed) if one.seed.isdigit() else 0))

    def ran(self, preset: str, settings: str, variant: str, seeds: range = range(100)) -> bool:
        """Returns whether a variant has any number of these seeds."""
        return any(_among(seed, seeds) for seed in self._seeds.get((preset, settings, variant), ()))


def _among(seed: str, seeds: range) -> bool:
    return not seed[:1].isdigit() or all(int(end) in seeds for end in seed.split("-") if end.isdigit())

