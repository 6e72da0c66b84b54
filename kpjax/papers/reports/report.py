"""A paper's table with ours beside it: variants by kind, mean and deviation over seeds, the best of
each column.

`tabulate` reads the runs; `console_table` lays out their cells for a terminal, and `write_report`
as a self-contained page about all runs of a preset, runs/<system>/<preset>/report.html. Beside
them stand differences between variants, with their intervals, and what runs cost.
"""

import base64
import itertools
import json
import math
import statistics
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from kpjax.drawing.charts import COLOURS, Curve, Dots, dot_plot, image_tag, line_plot
from kpjax.evaluation.intervals import interval_over_seeds
from kpjax.files import write_text
from kpjax.papers.configs import TUNING_SEEDS
from kpjax.training.finished_runs import (
    FinishedRun,
    VariantRuns,
    read_history,
    read_variants,
    variant_folders,
)
from kpjax.training.identity import flat_identity

IMAGES_PER_VARIANT = 4
UNITS = {
    "distance": "px of the original images",
    "mae": "px",
    "pck": "0 to 1",
    "nme": "of the reference length",
}  # of curves without a column
TEMPLATE = Path(__file__).with_name("report.html.jinja")
KINDS = {
    "method": "Method",
    "baseline": "Baselines",
    "control": "Controls",
    "ablation": "Ablations",
    "oracle": "Upper bounds",
}


class Entry(NamedTuple):
    """A variant that a table lists, with its kind and the paper's numbers for it, if there are
    any."""

    variant: str
    kind: str  # one of KINDS
    label: str = ""  # the paper's name for it; the variant's own name if empty
    #: by metric, in the column's unit and factor: 72.5 where the paper prints percent
    paper: Mapping[str, float] = {}
    note: str = ""


class Column(NamedTuple):
    """A metric of results.json, and the way it is printed."""

    metric: str  # "target/pck"
    title: str = ""  # the metric's name if empty
    unit: str = ""  # "%", "px", "mm"; empty for a pure number
    #: what a stored value is multiplied with: 100 for a fraction printed as percent
    factor: float = 1.0
    decimals: int = 1
    better: str = "higher"  # or "lower", or "" where neither is

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return (self.title or self.metric) + (f" ({self.unit})" if self.unit else "")


class Summary(NamedTuple):
    """A metric over the seeds of a variant, in the column's unit."""

    values: tuple[float, ...]  # one per finished seed that has the metric

    @property
    def mean(self) -> float:
        """NaN without a value, or if any seed's is undefined: a mean over some of the seeds would
        hide a failure.
        """
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


def tabulate(
    folder: Path, entries: Sequence[Entry], columns: Sequence[Column], tuning: bool = False
) -> list[Line]:
    """Reads the runs of a preset (runs/<system>/<preset>) and returns a line for each entry,
    ordered by kind.

    An entry without a finished run has empty cells. tuning: reads the tuning seeds in place of the
    others. Raises InputError for a results.json that cannot be used.
    """
    found = {
        name: runs._replace(
            finished=tuple(run for run in runs.finished if (run.seed in TUNING_SEEDS) == tuning)
        )
        for name, runs in read_variants(folder).items()
    }
    return lines_of([(entry, found.get(entry.variant)) for entry in entries], columns)


def lines_of(
    entries: Sequence[tuple[Entry, VariantRuns | None]], columns: Sequence[Column]
) -> list[Line]:
    """Returns a line for each entry with its runs, which may lie anywhere, ordered by kind."""
    entries = sorted(entries, key=lambda pair: list(KINDS).index(pair[0].kind))
    ordered, all_runs = (
        [entry for entry, _ in entries],
        [runs or VariantRuns((), ()) for _, runs in entries],
    )
    cells = [
        tuple(summarise_seeds(runs, column.metric, column.factor) for column in columns)
        for runs in all_runs
    ]
    competing = [n for n, entry in enumerate(ordered) if entry.kind != "oracle"]
    best = [
        _best({n: cells[n][c].mean for n in competing}, column) for c, column in enumerate(columns)
    ]
    return [
        Line(entry, runs, own, tuple(n in winners for winners in best))
        for n, (entry, runs, own) in enumerate(zip(ordered, all_runs, cells, strict=True))
    ]


def summarise_seeds(runs: VariantRuns, metric: str, factor: float = 1.0) -> Summary:
    """Returns a metric of all finished seeds, multiplied by `factor`."""
    return Summary(
        tuple(run.metrics[metric] * factor for run in runs.finished if metric in run.metrics)
    )


def _best(means: Mapping[int, float], column: Column) -> frozenset[int]:
    """Returns the lines that print the best mean.

    Equal prints are equally good; where all are equal, as of a single line, none is best.
    """
    printed = {
        n: float(decimal_text(mean, f".{column.decimals}f"))
        for n, mean in means.items()
        if math.isfinite(mean)
    }
    top = (max if column.better == "higher" else min)(printed.values(), default=None)
    several = len(set(printed.values())) > 1 and bool(column.better)
    return frozenset(n for n, value in printed.items() if value == top and several)


# Layout


class Cell(NamedTuple):
    """A printed cell."""

    text: str
    role: str = ""  # "best", "paper" (a number from the paper) or "minor"; a class in report.css


def header(lines: Sequence[Line], columns: Sequence[Column]) -> list[Cell]:
    """Returns the cells above a table."""
    cells = [Cell("variant", "minor"), Cell("seeds", "minor")]
    for column in columns:
        cells += [Cell(column.heading)] + (
            [Cell("paper", "paper")] if has_paper_numbers(lines, column) else []
        )
    return cells


def groups(
    lines: Sequence[Line], columns: Sequence[Column]
) -> dict[str, list[tuple[Line, list[Cell]]]]:
    """Returns the printed lines of a table by the heading of their kind, each with its cells behind
    the name.
    """
    with_paper = [has_paper_numbers(lines, column) for column in columns]
    printed: dict[str, list[tuple[Line, list[Cell]]]] = {}
    for line in lines:
        cells = [Cell(seeds_text(line.runs), "minor")]
        for column, summary, best, paper in zip(
            columns, line.cells, line.best, with_paper, strict=True
        ):
            cells.append(Cell(cell_text(summary, column), "best" if best else ""))
            if paper:
                value = line.entry.paper.get(column.metric)
                text = "–" if value is None else decimal_text(value, f".{column.decimals}f")
                cells.append(Cell(text, "paper"))
        printed.setdefault(KINDS[line.entry.kind], []).append((line, cells))
    return printed


def cell_text(summary: Summary, column: Column) -> str:
    """Returns "95.1 ± 0.3", "95.1" for a single seed, "undefined" if a value is not finite, "–"
    without a value.
    """
    if not summary.values:
        return "–"
    if undefined := sum(not math.isfinite(value) for value in summary.values):
        return f"undefined in {undefined} of {len(summary.values)}"
    form = f".{column.decimals}f"
    mean = decimal_text(summary.mean, form)
    if math.isnan(summary.deviation):
        return mean
    return f"{mean} ± {decimal_text(summary.deviation, form)}"


def decimal_text(value: float, form: str) -> str:
    """Returns a number in a form such as "+.1f", rounded as the decimal that people read.

    Python and numpy sum in an order of their version, so a mean at a half comes out a little above
    or below it. The tenth digit ends that here; a half goes to the even neighbour.
    """
    return format(Decimal(f"{value:.10g}") if math.isfinite(value) else value, form)


def seeds_text(runs: VariantRuns) -> str:
    """Returns "3", "1, 1 unfinished", "unfinished" or "not run"."""
    done, begun = len(runs.finished), len(runs.unfinished)
    if not begun:
        return str(done) if done else "not run"
    return f"{done}, {begun} unfinished" if done else "unfinished"


def has_paper_numbers(lines: Sequence[Line], column: Column) -> bool:
    """Returns whether the paper has a number in this column for any of the lines."""
    return any(column.metric in line.entry.paper for line in lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lays out a Markdown table."""
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]
    )


def console_table(lines: Sequence[Line], columns: Sequence[Column], width: int) -> str:
    """Returns a table for a terminal of so many letters, and what its marks mean below it.

    Each column is a line of it, and as many variants stand beside each other as fit.
    """
    directed = [
        column._replace(title=f"{column.title or column.metric}, {column.better} is better")
        if any(line.best[n] for line in lines)
        else column
        for n, column in enumerate(columns)
    ]
    heads = [cell.text for cell in header(lines, directed)[1:]]
    variants = [
        [line.name, *(cell.text + {"best": " *", "": "  "}.get(cell.role, "") for cell in cells)]
        for of_kind in groups(lines, columns).values()
        for line, cells in of_kind
    ]
    sizes = [max(map(len, one)) for one in variants]
    first = min(max(map(len, heads)), max(width // 2, width - sum(sizes) - 2 * len(sizes)))
    beside = max((width - first) // (max(sizes) + 2), 1)
    blocks = []
    for start in range(0, len(variants), beside):
        rows = []
        for head, *texts in zip(["", *heads], *variants[start : start + beside], strict=True):
            *above, last = textwrap.wrap(head, first) or [""]
            values = (text.rjust(size) for text, size in zip(texts, sizes[start:], strict=False))
            rows += [*above, "  ".join([last.ljust(first), *values]).rstrip()]
        blocks.append("\n".join(rows))
    marks = (
        "\n*: the best of its kind, upper bounds aside"
        if any(any(line.best) for line in lines)
        else ""
    )
    return "\n\n".join(blocks) + marks


# Differences and costs

# in the order of what is compared; None where one is not finished
Runs = Sequence[FinishedRun | None]


def paired_differences(runs: Runs, others: Runs, metric: str) -> list[float]:
    """Returns a metric of runs less that of others, pair by pair, as of equal seeds, where both
    have it.
    """
    return [
        one.metrics[metric] - other.metrics[metric]
        for one, other in zip(runs, others, strict=True)
        if one and other and {metric} <= one.metrics.keys() & other.metrics.keys()
    ]


def difference_text(
    values: Sequence[float], wanted: int, *, factor: float = 1.0, decimals: int = 1
) -> str:
    """Returns "+7.9 [+5.1, +10.7]", a mean with its interval over seeds, "(2 of 3)" behind it if
    some are missing, or "not run"."""
    if not values:
        return "not run"
    values = [factor * value for value in values]
    form = f"+.{decimals}f"
    text = decimal_text(statistics.fmean(values), form)
    if found := interval_over_seeds(values):
        text += f" [{decimal_text(found.low, form)}, {decimal_text(found.high, form)}]"
    return text if len(values) == wanted else f"{text} ({len(values)} of {wanted})"


def cost_text(runs: Runs) -> str:
    """Returns "800 steps, 25,600 images, 61 s" of training, the mean over finished runs, or "not
    run".
    """
    found = [run for run in runs if run]
    if not found:
        return "not run"
    steps, images, seconds = (
        decimal_text(statistics.fmean(getattr(run, name) or 0 for run in found), ",.0f")
        for name in ("steps", "images", "wall_seconds")
    )
    return f"{steps} steps, {images} images, {seconds} s"


# The page


def write_report(
    folder: Path,
    lines: Sequence[Line],
    columns: Sequence[Column],
    *,
    title: str,
    summary: str = "",
    commands: Sequence[str] = (),
) -> Path:
    """Writes report.html beside the variants of a preset's folder, and returns its path.

    All numbers come from results.json, metrics.jsonl or `Entry.paper`; variants without a finished
    run read "not run". Images are those of each variant's lowest seed.

    Args:
        folder: of the preset.
        summary: below the title, plain text.
        commands: shell commands that reproduce the runs.
    """
    measured = [line for line in lines if line.runs.finished]
    colours = {line.entry.variant: n for n, line in enumerate(measured)}
    dots = [
        (
            heading,
            [
                Dots(
                    line.name,
                    colours.get(line.entry.variant, 0),
                    line.cells[0].values,
                    line.entry.paper.get(columns[0].metric),
                )
                for line in lines
                if line.entry.kind == kind
            ],
        )
        for kind, heading in KINDS.items()
    ]
    page = render_page(
        TEMPLATE,
        path=[folder.parent.name, folder.name],
        title=title,
        summary=summary,
        warnings=_warnings(folder, lines),
        header=header(lines, columns),
        groups=groups(lines, columns),
        dots=Markup(image_tag(dot_plot(dots, title=columns[0].heading), columns[0].heading)),
        column=columns[0],
        paper=any(has_paper_numbers(lines, column) for column in columns),
        paper_in_dots=has_paper_numbers(lines, columns[0]),
        measured=measured,
        commands=commands,
        keypoint_tables=[
            (column.heading, rows) for column in columns if (rows := _by_keypoint(measured, column))
        ],
        panels=panels(measured, columns, colours),
        dashed=len(measured) > len(COLOURS),
        images=images_of(measured),
        **provenance(measured),
    )
    return write_text(folder / "report.html", page)


def render_page(template: Path, **values: Any) -> str:
    """Returns a page by its template, which may include files of its own folder and of this one."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = FileSystemLoader([template.parent, TEMPLATE.parent])
    return (
        Environment(
            loader=folders,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        .get_template(template.name)
        .render(**values)
    )


def _warnings(folder: Path, lines: Sequence[Line]) -> list[str]:
    """Returns what a reader must know before comparing variants."""
    steps = {
        line.name: sorted({run.steps for run in line.runs.finished})
        for line in lines
        if line.runs.finished
    }
    texts = []
    if len(set(map(tuple, steps.values()))) > 1:
        listed = "; ".join(
            f"{name} {', '.join(f'{number:,}' for number in found)}"
            for name, found in steps.items()
        )
        texts.append(f"Not all runs have the same number of optimizer steps: {listed}.")
    if (
        len({tuple(run.seed for run in line.runs.finished) for line in lines if line.runs.finished})
        > 1
    ):
        texts.append("Not all variants have the same seeds.")
    if others := sorted(set(variant_folders(folder)) - {line.entry.variant for line in lines}):
        texts.append(f"In this folder but not in the table: {', '.join(others)}.")
    return texts


# Charts, tables by keypoint and images


def _by_keypoint(measured: Sequence[Line], column: Column) -> list[tuple[str, Sequence[str]]]:
    """Returns keypoints, each with a cell of each variant, of a column that is also stored as
    <metric>/<keypoint>.
    """
    prefix = f"{column.metric}/"
    names = dict.fromkeys(
        name
        for line in measured
        for run in line.runs.finished
        for name in run.metrics
        if name.startswith(prefix)
    )
    return [
        (
            name.removeprefix(prefix),
            [
                cell_text(summarise_seeds(line.runs, name, column.factor), column)
                for line in measured
            ],
        )
        for name in names
    ]


def panels(
    measured: Sequence[Line], columns: Sequence[Column], colours: Mapping[str, int]
) -> list[tuple[str, bool, Markup]]:
    """Returns the heading of each plot over the steps, whether it is logarithmic, and its image."""
    histories = {
        line.entry.variant: [read_history(run.folder) for run in line.runs.finished]
        for line in measured
    }
    known = list(
        dict.fromkeys(name for runs in histories.values() for history in runs for name in history)
    )
    by_metric = {column.metric: column for column in columns}
    rest = [
        name
        for name in known
        if name not in by_metric
        and "second" not in name
        and name != "time"
        and not any(name.startswith(f"{metric}/") for metric in by_metric)
    ]
    # The table's metrics, losses (the total first), gradient norms, the rest; none per keypoint or
    # of time.
    starts, found = ("loss/total", "loss/", "gradient_norm"), []
    for name in [
        *filter(known.__contains__, by_metric),
        *sorted(
            rest,
            key=lambda name: next(
                (n for n, start in enumerate(starts) if name.startswith(start)), len(starts)
            ),
        ),
    ]:
        column = by_metric.get(name, Column(name, unit=UNITS.get(name.rpartition("/")[2], "")))
        logarithmic = name.startswith(("loss/", "gradient_norm"))
        curves = [
            Curve(
                line.name,
                colours[line.entry.variant],
                [history.get(name, ()) for history in histories[line.entry.variant]],
            )
            for line in measured
        ]
        found.append(
            (
                column.heading,
                logarithmic,
                curve_image(
                    curves, f"{name} over steps", logarithmic=logarithmic, factor=column.factor
                ),
            )
        )
    return [panel for panel in found if panel[-1]]


def curve_image(curves: Sequence[Curve], title: str, *, logarithmic: bool, factor: float) -> Markup:
    """Returns lines over the steps as an image for a page, empty without a value."""
    return Markup(
        image_tag(line_plot(curves, title=title, logarithmic=logarithmic, factor=factor), title)
    )


def images_of(measured: Sequence[Line]) -> list[tuple[str, str, str]]:
    """Returns label, caption and base64 of the first images of each variant's lowest seed."""
    return [
        (
            f"{line.name}, seed {line.runs.finished[0].seed}",
            path.stem.replace("_", " "),
            base64.b64encode(path.read_bytes()).decode(),
        )
        for line in measured
        for path in sorted((line.runs.finished[0].folder / "images").glob("[!.]*.png"))[
            :IMAGES_PER_VARIANT
        ]
    ]


# Provenance: machines, versions, times and configurations


def describe_value(value: Any) -> str:
    """Returns a value of results.json in a line: mappings as "key value", lists joined, numbers as
    they are.
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {describe_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(describe_value, value))
    return "" if value is None else str(value)


def duration(seconds: float) -> str:
    """Returns "42 s", "3 min 05 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def provenance(measured: Sequence[Line]) -> dict[str, Any]:
    """Returns the machines and times of all runs, and headings with fields of their configurations,
    as templates name
    them: fields that all runs share, then those of each variant."""
    runs = [(line.name, run) for line in measured for run in line.runs.finished]
    machines = Counter(
        "; ".join(filter(None, (describe_value(run.devices), describe_value(run.versions))))
        for _, run in runs
    )
    times = [run.wall_seconds for _, run in runs if run.wall_seconds is not None]
    configs = [
        (
            line.name,
            [
                {
                    name: json.dumps(value, ensure_ascii=False, default=str)
                    for name, value in flat_identity(run.config).items()
                    if name
                }
                for run in line.runs.finished
            ],
        )
        for line in measured
    ]
    every = [config for _, found in configs for config in found]
    names = dict.fromkeys(itertools.chain(*every))
    shared = {
        name: every[0][name] for name in names if len({config.get(name) for config in every}) == 1
    }
    parts = [
        ("Configuration of all runs", shared),
        *(
            (
                f"{variant}: fields that differ",
                {
                    name: ", ".join(dict.fromkeys(config.get(name, "–") for config in found))
                    for name in names
                    if name not in shared
                },
            )
            for variant, found in configs
        ),
    ]
    return {
        "duration": duration,
        "configuration": [(heading, fields) for heading, fields in parts if fields],
        "runs": {
            "rows": runs,
            "total": duration(sum(times)) if times else "",
            "machines": [
                text if len(machines) == 1 else f"{text} ({count} of {len(runs)} runs)"
                for text, count in machines.items()
                if text
            ],
        },
    }
