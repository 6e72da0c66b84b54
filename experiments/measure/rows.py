"""Measured numbers in files: `results.csv` of a room, a row for every number of a finished run.

A value has the unit that its run measured it in; tables scale it.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kpjax import InputError
from kpjax.files import read_json, remove_partials
from kpjax.formats.tables import write_rows
from kpjax.models.weights.pretrained import KNOWN_WEIGHTS
from kpjax.papers.configs import (
    flat,
    read_settings,
    stored_leaves,
    value_text,
    with_settings,
    with_weights,
)
from kpjax.papers.engine import Experiment
from kpjax.training.finished_runs import mixed_programs, read_run, variant_folders

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
        """What a number is of."""
        return self[:5]

    @property
    def run(self) -> tuple[str, ...]:
        """The run that it is of: preset, settings, variant and seed."""
        return self[:4]


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
    """Returns old numbers and new ones, which replace all numbers of their runs: of a run measured
    again none stays that was not measured this time.
    """
    new = list({one.key: one for one in new}.values())
    again = {one.run for one in new}
    return [one for one in old if one.run not in again] + new


def run_results(experiment: Experiment, workdir: Path) -> Iterator[Result]:
    """Yields all numbers of all finished runs of a system below a folder of runs, but for those
    that `reason_to_leave_out` finds a fault with, each named in a line.
    """
    for folder in sorted(
        path for path in (workdir / experiment.paper.name).glob("*") if path.is_dir()
    ):
        for variant, seeds in variant_folders(folder).items():
            paths = [seed / "results.json" for seed in seeds if (seed / "results.json").is_file()]
            whole = [
                run for run in (read_run(path.parent) for path in paths) if len(run.under) == 1
            ]
            if mixed := mixed_programs(whole):
                print(f"left out: {folder / variant}: {mixed}")
                continue
            for path in paths:
                run, kept = read_run(path.parent), read_json(path)
                preset = _preset_of(experiment, folder.name)
                if reason := reason_to_leave_out(experiment, preset, folder.name, kept):
                    print(f"left out: {path.parent} {reason}")
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


def _preset_of(experiment: Experiment, folder: str) -> str:
    """Returns the preset of a folder of runs; "" for none that there is.

    folder: "<preset>", "<preset>-<field>-<value>", or "<preset>_<field>_<value>" of a field that a
    shared base depends on.
    """

    def of_base(preset: str) -> Iterable[str]:
        config = experiment.presets[preset]
        return config.of_base() if hasattr(config, "of_base") else ()

    found = [
        preset
        for preset in experiment.presets
        if folder == preset
        or folder.startswith(
            (f"{preset}-", *(f"{preset}_{field}_" for field in of_base(preset))),
        )
    ]
    return max(found, key=len, default="")


def reason_to_leave_out(
    experiment: Experiment, preset: str, folder: str, kept: Mapping[str, Any]
) -> str:
    """Returns why the numbers of a run would be taken for those of another one; "" for no reason.

    preset: of the folder of its preset, whose name is `folder`. kept: its results.json.
    """
    if kept["preset"] != folder:
        return f"is a run of {kept['preset']}, in a folder of another name: a copy"
    if not preset:
        return "is of a preset that there is no more"
    if kept.get("went_on_under"):
        return "went on under other programs than it began under; train it again with --fresh"
    if changed := _unlike_its_name(experiment, preset, kept):
        return f"is not what its preset and settings name today: {changed}"
    return ""


def _unlike_its_name(experiment: Experiment, preset: str, kept: Mapping[str, Any]) -> str:
    """Returns a field in which the config of a run differs from that of its preset with its
    settings, with both values; "" for none.

    Fields that either lacks are passed over, those of another version. So are all where a file of
    weights is no known one: what it brings is not known here.
    """
    config = experiment.presets[preset]
    known = flat(config)
    settings = {
        name: value for name, value in read_settings(kept["settings"]).items() if name in known
    }
    if settings.get("weights") and settings["weights"] not in KNOWN_WEIGHTS:
        return ""
    expected = flat(with_weights(with_settings(config, settings), settings))
    found = stored_leaves(kept.get("config") or {})
    # Files of weights have other paths on other machines; settings have their names.
    compared = (expected.keys() & found.keys()) - {"summary", "weights", "network"}
    for name in sorted(compared):
        is_now, was = value_text(expected[name]), value_text(found[name])
        if is_now != was:
            return f"{name} is {was}, not {is_now}"
    return ""


def gather_rows(experiment: Experiment, workdir: Path, shown: Collection[tuple[str, ...]]) -> int:
    """Writes the numbers of finished runs that tables show into the system's file, says which runs
    are in none, and returns how many numbers were read.

    Numbers of another kind of computer are kept, and those of the run at hand left out.
    shown: preset, settings, variant and metric of what tables show.
    """
    room = EXPERIMENTS / experiment.paper.name
    old = read_results(room)
    measured_on = {one.run: one.device for one in old}
    in_tables = {run[:3] for run in shown}
    new, unshown, elsewhere = [], set(), {}
    for one in run_results(experiment, workdir):
        device = measured_on.get(one.run, one.device)
        if one.run[:3] not in in_tables:
            unshown.add(one.run[:3])
        elif (*one.run[:3], one.metric) not in shown:
            continue
        elif device != one.device:
            elsewhere[one.run] = device
        else:
            new.append(one)
    for preset, settings, variant in sorted(unshown):
        print(f"{experiment.paper.name}: no table shows {f'{preset} {settings}'.strip()}/{variant}")
    for (*run, seed), device in elsewhere.items():
        print(
            f"left out: {' '.join(run)}, seed {seed}, was measured on {device} before; take other "
            f"seeds, or remove its lines from {room / FILE}"
        )
    write_results(room, merge_rows(old, new))
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
