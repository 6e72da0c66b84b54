"""A paper's table with ours beside it: rows by kind, mean and deviation over seeds, the best of each column."""
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kpjax.reports.finished_runs import VariantRuns, read_variants

KINDS = {"method": "Method", "rival": "Rivals", "control": "Controls", "ablation": "Ablations", "bound": "Bounds"}


class Row(NamedTuple):
    """One row: a variant, what it is in the comparison, and the paper's numbers for it, if the paper has any."""

    variant: str
    kind: str  # one of KINDS
    label: str = ""  # how the paper calls it; the variant's own name if empty
    paper: Mapping[str, float] = {}  # by metric, in the column's unit and factor: 72.5 where the paper prints percent
    note: str = ""


class Column(NamedTuple):
    """One column: a metric of results.json and how it is printed."""

    metric: str  # "target/pck"
    title: str = ""  # the metric's name if empty
    unit: str = ""  # "%", "px", "mm"; empty for a pure number
    factor: float = 1.0  # what a stored value is multiplied with: 100 for a fraction printed as percent
    decimals: int = 1
    better: str = "higher"  # or "lower"


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
    """A row with what was found for it."""

    row: Row
    runs: VariantRuns
    cells: tuple[Summary, ...]  # one per column
    best: tuple[bool, ...]  # whether it prints the best number of the column among all rows but the bounds


def tabulate(folder: Path, rows: Sequence[Row], columns: Sequence[Column]) -> list[Line]:
    """The table of one preset's folder (runs/<experiment>/<preset>): one line per row, by kind, then as given.

    A row without a finished run has empty cells. Raises ValueError for an unknown kind, a `better` that is neither
    higher nor lower, or a variant that stands twice, and InputError for a results.json that cannot be used.
    """
    if wrong := [row for row in rows if row.kind not in KINDS]:
        raise ValueError(f"{wrong[0].variant}: kind {wrong[0].kind!r} is none of {', '.join(KINDS)}")
    if wrong := [column for column in columns if column.better not in ("higher", "lower")]:
        raise ValueError(f"{wrong[0].metric}: better must be 'higher' or 'lower', got {wrong[0].better!r}")
    names = [row.variant for row in rows]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} has two rows")
    found = read_variants(folder)
    ordered = sorted(rows, key=lambda row: list(KINDS).index(row.kind))
    all_runs = [found.get(row.variant, VariantRuns((), ())) for row in ordered]
    cells = [tuple(summarise_seeds(runs, column.metric, column.factor) for column in columns) for runs in all_runs]
    competing = [n for n, row in enumerate(ordered) if row.kind != "bound"]
    best = [_best({n: cells[n][c].mean for n in competing}, column) for c, column in enumerate(columns)]
    return [Line(row, runs, row_cells, tuple(n in winners for winners in best))
            for n, (row, runs, row_cells) in enumerate(zip(ordered, all_runs, cells, strict=True))]


def summarise_seeds(runs: VariantRuns, metric: str, factor: float = 1.0) -> Summary:
    """A metric of all finished seeds, multiplied by `factor`."""
    return Summary(tuple(run.metrics[metric] * factor for run in runs.finished if metric in run.metrics))


def _best(means: Mapping[int, float], column: Column) -> frozenset[int]:
    """The rows that print the best mean: what prints alike is equally good, and a single row is no best."""
    printed = {n: round(mean, column.decimals) for n, mean in means.items() if math.isfinite(mean)}
    if len(printed) < 2:
        return frozenset()
    top = (max if column.better == "higher" else min)(printed.values())
    return frozenset(n for n, value in printed.items() if value == top)


def cell_text(cell: Summary, column: Column) -> str:
    """"95.1 ± 0.3", "95.1" of a single seed, "undefined" if a seed's value is not finite, "–" without a value."""
    if not cell.values:
        return "–"
    if undefined := sum(not math.isfinite(value) for value in cell.values):
        return f"undefined in {undefined} of {len(cell.values)}"
    text = f"{cell.mean:.{column.decimals}f}"
    return text if math.isnan(cell.deviation) else f"{text} ± {cell.deviation:.{column.decimals}f}"


def status_text(runs: VariantRuns) -> str:
    """How far a row is: "3 seeds", "1 seed, 1 unfinished", "unfinished", or "not run"."""
    done, begun = len(runs.finished), len(runs.unfinished)
    parts = [f"{done} seed{'s' if done > 1 else ''}"] if done else []
    parts += [f"{begun} unfinished" if done else "unfinished"] if begun else []
    return ", ".join(parts) or "not run"


def column_title(column: Column) -> str:
    """The column's title with its unit."""
    return (column.title or column.metric) + (f" ({column.unit})" if column.unit else "")


def has_paper_numbers(lines: Sequence[Line], column: Column) -> bool:
    """Whether the paper printed a number of this column for any of the rows."""
    return any(column.metric in line.row.paper for line in lines)


def variants_by_steps(lines: Sequence[Line]) -> dict[int, list[str]]:
    """The variants that have finished runs of each number of steps; the number that most have first."""
    found: dict[int, list[str]] = {}
    for line in lines:
        for steps in sorted({run.steps for run in line.runs.finished}):
            found.setdefault(steps, []).append(line.row.variant)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def text_table(folder: Path, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The table for a terminal: grouped by kind, ours and the paper's side by side, the best marked with a star."""
    lines = tabulate(folder, rows, columns)
    header = ["variant", "seeds"]
    for column in columns:
        header += [column_title(column) + "  "] + (["paper"] if has_paper_numbers(lines, column) else [])
    body: list[list[str] | str] = []
    kind = ""
    for line in lines:
        if line.row.kind != kind:
            kind = line.row.kind
            body.append(KINDS[kind].lower())
        finished = len(line.runs.finished)
        cells = [f"  {line.row.label or line.row.variant}",
                 str(finished) if finished and not line.runs.unfinished else status_text(line.runs)]
        for column, cell, best in zip(columns, line.cells, line.best, strict=True):
            cells.append(cell_text(cell, column) + (" *" if best else "  "))
            if has_paper_numbers(lines, column):
                value = line.row.paper.get(column.metric)
                cells.append("–" if value is None else f"{value:.{column.decimals}f}")
        body.append(cells)
    table = [header] + [cells for cells in body if isinstance(cells, list)]
    widths = [max(len(cells[c]) for cells in table) for c in range(len(header))]

    def laid_out(cells):
        return "  ".join(text.ljust(width) if c == 0 else text.rjust(width)
                         for c, (text, width) in enumerate(zip(cells, widths, strict=True))).rstrip()

    return "\n".join([laid_out(header)] + [cells if isinstance(cells, str) else laid_out(cells) for cells in body])
