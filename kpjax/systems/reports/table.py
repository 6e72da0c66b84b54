"""A paper's table with ours beside it: variants by kind, mean and deviation over seeds, the best of each column.

`tabulate` reads the runs; `console_table` and `write_report` lay out the same cells, for a terminal and as HTML.
"""
import contextlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.errors import InputError, printable
from kpjax.files import read_json
from kpjax.training.run_folder import check_small_files

# Readers of a preset's run folders: results.json and metrics.jsonl of every variant and seed

LARGEST_COUNT = 2 ** 53  # of steps and seeds
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


class VariantRuns(NamedTuple):
    """All runs of one variant, in the order of their seeds, and the seeds whose folders hold no result yet."""

    finished: tuple[FinishedRun, ...]
    unfinished: tuple[str, ...]


def read_run(folder: Path) -> FinishedRun:
    """Reads the result in a run's folder. Raises InputError if results.json is missing, broken, or lacks a field."""
    path = folder / "results.json"
    if not path.exists():
        raise InputError(f"{folder}: not a finished run (no results.json); its own command resumes it")
    found = read_json(path)
    if missing := [name for name in NEEDED if name not in found]:
        raise InputError(f"{path}: lacks {', '.join(missing)}; run it again with `fresh`")
    metrics, config = found["metrics"], found.get("config") or {}
    timing = {name: found.get(name) for name in ("images_per_second", "wall_seconds", "images")}
    right = {name: isinstance(found[name], str) and found[name] and printable(found[name]) == found[name]
             for name in ("experiment", "preset", "variant")}
    right |= {name: type(found[name]) is int and abs(found[name]) <= LARGEST_COUNT for name in ("seed", "steps")}
    right |= {"metrics": isinstance(metrics, dict), "config": isinstance(config, dict)}
    right |= {name: value is None or _number(value) is not None for name, value in timing.items()}
    right |= {name: _number(value) is not None for name, value in metrics.items()} if right["metrics"] else {}
    if wrong := [name for name, holds in right.items() if not holds]:
        raise InputError(f"{path}: {printable(wrong[0])} is not what a run writes; run it again with `fresh`")
    check_small_files(folder, found)
    return FinishedRun(
        folder=folder, metrics={name: _number(value) for name, value in metrics.items()},
        **{name: found[name] for name in NEEDED if name != "metrics"},
        **{name: None if value is None else _number(value) for name, value in timing.items()},
        devices=found.get("devices"), versions=found.get("versions"), config=config)


def _number(value) -> float | None:
    """Returns a number as float, also one that strict JSON writes as text (nan, inf, -inf), or None for all else."""
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e308:
        return None
    return float(value)


def _plotted(value) -> bool:
    """Returns whether this is a number that an axis can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100


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
        seeds = sorted((seed for seed in folder.glob("seed-*") if seed.is_dir()),
                       key=lambda seed: (len(seed.name), seed.name))
        if seeds and folder.name != "stages":
            folders[folder.name] = seeds
    return folders


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
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(text)
            if isinstance(row, dict) and _plotted(row.get("step")):
                rows.append(row)
    history: dict[str, dict[float, float]] = {}
    for row in rows:
        if row.get("stage") == rows[-1].get("stage"):
            for name, value in row.items():
                number = None if name == "step" else _number(value)
                if number is not None and _plotted(number):
                    history.setdefault(name, {})[float(row["step"])] = number
    return {name: sorted(points.items()) for name, points in history.items()}


KINDS = {"method": "Method", "baseline": "Baselines", "control": "Controls", "ablation": "Ablations",
         "oracle": "Upper bounds"}


class Entry(NamedTuple):
    """A variant that a table lists, with its kind and the paper's numbers for it, if there are any."""

    variant: str
    kind: str  # one of KINDS
    label: str = ""  # the paper's name for it; the variant's own name if empty
    paper: Mapping[str, float] = {}  # by metric, in the column's unit and factor: 72.5 where the paper prints percent
    note: str = ""


class Column(NamedTuple):
    """A metric of results.json, and the way it is printed."""

    metric: str  # "target/pck"
    title: str = ""  # the metric's name if empty
    unit: str = ""  # "%", "px", "mm"; empty for a pure number
    factor: float = 1.0  # what a stored value is multiplied with: 100 for a fraction printed as percent
    decimals: int = 1
    better: str = "higher"  # or "lower"

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return (self.title or self.metric) + (f" ({self.unit})" if self.unit else "")


class Summary(NamedTuple):
    """A metric over the seeds of a variant, in the column's unit."""

    values: tuple[float, ...]  # one per finished seed that has the metric

    @property
    def mean(self) -> float:
        """NaN without a value, or if any seed's is undefined: a mean over some of the seeds would hide a failure."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of a sample (n - 1); NaN for fewer than two seeds."""
        finite = all(math.isfinite(value) for value in self.values)
        return statistics.stdev(self.values) if finite and len(self.values) > 1 else math.nan


class Line(NamedTuple):
    """An entry with its runs."""

    entry: Entry
    runs: VariantRuns
    cells: tuple[Summary, ...]  # one per column
    best: tuple[bool, ...]  # whether it prints the best number of the column, upper bounds aside

    @property
    def name(self) -> str:
        """The paper's name for the variant, or its own."""
        return self.entry.label or self.entry.variant


def tabulate(folder: Path, entries: Sequence[Entry], columns: Sequence[Column]) -> list[Line]:
    """Reads the runs of a preset (runs/<experiment>/<preset>) and returns a line for each entry, ordered by kind.

    An entry without a finished run has empty cells. Raises InputError for a results.json that cannot be used.
    """
    found = read_variants(folder)
    return lines_of([(entry, found.get(entry.variant)) for entry in entries], columns)


def lines_of(entries: Sequence[tuple[Entry, VariantRuns | None]], columns: Sequence[Column]) -> list[Line]:
    """Returns a line for each entry with its runs, which may lie anywhere, ordered by kind."""
    entries = sorted(entries, key=lambda pair: list(KINDS).index(pair[0].kind))
    ordered, all_runs = [entry for entry, _ in entries], [runs or VariantRuns((), ()) for _, runs in entries]
    cells = [tuple(summarise_seeds(runs, column.metric, column.factor) for column in columns) for runs in all_runs]
    competing = [n for n, entry in enumerate(ordered) if entry.kind != "oracle"]
    best = [_best({n: cells[n][c].mean for n in competing}, column) for c, column in enumerate(columns)]
    return [Line(entry, runs, own, tuple(n in winners for winners in best))
            for n, (entry, runs, own) in enumerate(zip(ordered, all_runs, cells, strict=True))]


def summarise_seeds(runs: VariantRuns, metric: str, factor: float = 1.0) -> Summary:
    """Returns a metric of all finished seeds, multiplied by `factor`."""
    return Summary(tuple(run.metrics[metric] * factor for run in runs.finished if metric in run.metrics))


def _best(means: Mapping[int, float], column: Column) -> frozenset[int]:
    """Returns the lines that print the best mean. Equal prints are equally good; a single line is not a best."""
    printed = {n: round(mean, column.decimals) for n, mean in means.items() if math.isfinite(mean)}
    if len(printed) < 2:
        return frozenset()
    top = (max if column.better == "higher" else min)(printed.values())
    return frozenset(n for n, value in printed.items() if value == top)


# Layout

class Cell(NamedTuple):
    """A printed cell."""

    text: str
    role: str = ""  # "best", "paper" (a number from the paper) or "minor"; a class in report.css


class Group(NamedTuple):
    """The lines of one kind, each with its cells behind the variant's name."""

    heading: str
    lines: Sequence[tuple[Line, Sequence[Cell]]]


def header(lines: Sequence[Line], columns: Sequence[Column]) -> list[Cell]:
    """Returns the cells above a table."""
    cells = [Cell("variant", "minor"), Cell("seeds", "minor")]
    for column in columns:
        cells += [Cell(column.heading)] + [Cell("paper", "paper")] * has_paper_numbers(lines, column)
    return cells


def groups(lines: Sequence[Line], columns: Sequence[Column]) -> list[Group]:
    """Returns the printed lines of a table by kind."""
    with_paper = [has_paper_numbers(lines, column) for column in columns]
    printed: dict[str, list] = {}
    for line in lines:
        cells = [Cell(seeds_text(line.runs), "minor")]
        for column, summary, best, paper in zip(columns, line.cells, line.best, with_paper, strict=True):
            cells.append(Cell(cell_text(summary, column), "best" if best else ""))
            if paper:
                value = line.entry.paper.get(column.metric)
                cells.append(Cell("–" if value is None else f"{value:.{column.decimals}f}", "paper"))
        printed.setdefault(line.entry.kind, []).append((line, cells))
    return [Group(KINDS[kind], of_kind) for kind, of_kind in printed.items()]


def cell_text(summary: Summary, column: Column) -> str:
    """Returns "95.1 ± 0.3", "95.1" for a single seed, "undefined" if a value is not finite, "–" without a value."""
    if not summary.values:
        return "–"
    if undefined := sum(not math.isfinite(value) for value in summary.values):
        return f"undefined in {undefined} of {len(summary.values)}"
    deviation = "" if math.isnan(summary.deviation) else f" ± {summary.deviation:.{column.decimals}f}"
    return f"{summary.mean:.{column.decimals}f}{deviation}"


def seeds_text(runs: VariantRuns) -> str:
    """Returns "3", "1, 1 unfinished", "unfinished" or "not run"."""
    done, begun = len(runs.finished), len(runs.unfinished)
    return ", ".join([str(done)] * (done > 0) + [f"{begun} unfinished" if done else "unfinished"] * (begun > 0)
                     ) or "not run"


def has_paper_numbers(lines: Sequence[Line], column: Column) -> bool:
    """Returns whether the paper has a number in this column for any of the lines."""
    return any(column.metric in line.entry.paper for line in lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lays out a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])
