"""Measured numbers in files: `results.csv` of a room, a row for every number of a finished run.

A value has the unit that its run measured it in; tables scale it.
"""

import csv
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kpjax import InputError
from kpjax.files import read_json, remove_partials
from kpjax.formats.tables import write_rows
from kpjax.papers.engine import Experiment
from kpjax.training.finished_runs import read_run, variant_folders

EXPERIMENTS = Path(__file__).parents[1]
FILE = "results.csv"


class Result(NamedTuple):
    """One number."""

    preset: str
    settings: str  # those that differ from the preset's, "labelled=0.1 sigma=2", by name
    variant: str
    seed: str  # a number, or a word where nothing is drawn
    metric: str
    value: float
    steps: int | None = None
    seconds: float | None = None  # seconds of training
    device: str = ""
    date: str = ""
    commit: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What a number is of: gathering a run again replaces the numbers of equal keys."""
        return self[:5]


NUMBERS = {"value": float, "steps": int, "seconds": float}


def read_results(room: Path) -> list[Result]:
    """Reads the numbers of a room, none where it has no file.

    Raises InputError for a row that is none.
    """
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
                found.append(
                    Result(
                        **row
                        | {
                            name: kind(row[name]) if row[name] else None
                            for name, kind in NUMBERS.items()
                        }
                    )
                )
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}, line {number}: {error}; gather its run again") from None
    return found


def write_results(room: Path, results: Iterable[Result]) -> None:
    """Writes the numbers of a room in the order of their keys, so that a difference shows what was
    measured.
    """
    remove_partials(room)
    write_rows(
        room / FILE,
        [
            Result._fields,
            *(
                [
                    ""
                    if value is None
                    else format(value, ".6g")
                    if isinstance(value, float)
                    else value
                    for value in result
                ]
                for result in sorted(results, key=lambda one: one.key)
            ),
        ],
    )


def merge_rows(old: Iterable[Result], new: Iterable[Result]) -> list[Result]:
    """Returns old numbers, those that were measured again replaced."""
    return list({one.key: one for one in (*old, *new)}.values())


def run_results(experiment: Experiment, workdir: Path) -> Iterator[Result]:
    """Yields all numbers of all finished runs of a system below a folder of runs, but for those that
    went on under other programs, which a line names.
    """
    for folder in sorted(
        path for path in (workdir / experiment.paper.name).glob("*") if path.is_dir()
    ):
        # "<preset>-<field>-<value>", or "<preset>_<field>_<value>" of a field that a shared base
        # depends on.
        preset = max(
            (
                name
                for name in experiment.presets
                if folder.name.startswith((f"{name}-", f"{name}_")) or folder.name == name
            ),
            key=len,
            default=None,
        )
        if preset is None:
            continue
        for seeds in variant_folders(folder).values():
            for path in filter(Path.is_file, (seed / "results.json" for seed in seeds)):
                run, kept = read_run(path.parent), read_json(path)
                if kept.get("went_on_under"):
                    print(
                        f"left out: {path.parent} went on under other programs than it began under; "
                        "train it again with --fresh"
                    )
                    continue
                devices = kept.get("devices") or {}
                for metric, value in sorted(run.metrics.items()):
                    yield Result(
                        preset,
                        kept["settings"],
                        run.variant,
                        str(run.seed),
                        metric,
                        value,
                        steps=run.steps,
                        seconds=run.wall_seconds and round(run.wall_seconds, 1),
                        device=f"{devices.get('count', 1)} {devices.get('kind', '')}".strip(),
                        date=datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat(),
                        commit=kept.get("commit") or "unknown",
                    )


def gather_rows(experiment: Experiment, workdir: Path, shown: Collection[tuple[str, ...]]) -> int:
    """Writes the numbers of finished runs that tables show into the system's file, says which
    variants are in none, and returns how many numbers were read.

    shown: preset, settings, variant and metric of what tables show.
    """
    room = EXPERIMENTS / experiment.paper.name
    found = list(run_results(experiment, workdir))
    new = [one for one in found if (*one[:3], one.metric) in shown]
    if left := sorted({one.variant for one in found} - {variant for _, _, variant, _ in shown}):
        print(f"{experiment.paper.name}: no table shows {', '.join(left)}")
    write_results(room, merge_rows(read_results(room), new))
    return len(new)


def by_run(
    results: Iterable[Result], *, tuning: bool = False
) -> dict[tuple[str, ...], list[Result]]:
    """Returns numbers by preset, settings, variant and metric.

    tuning: whether those of tuning seeds, from 100 on, or those of all others.
    """
    found: dict[tuple[str, ...], list[Result]] = {}
    for one in results:
        if tuning == (one.seed.isdecimal() and int(one.seed) >= 100):
            found.setdefault((*one[:3], one.metric), []).append(one)
    return found
