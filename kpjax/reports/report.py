"""One self-contained page about all runs of a preset: runs/<experiment>/<preset>/report.html."""
import base64
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from kpjax.drawing.curves import COLOURS, Curve, Dots, dot_plot, line_plot
from kpjax.reports.finished_runs import read_history, read_variants
from kpjax.reports.provenance import commands_section, configuration_section, runs_section
from kpjax.reports.summary import finding, tiles
from kpjax.reports.table import (
    KINDS,
    Column,
    Line,
    Row,
    cell_text,
    column_title,
    has_paper_numbers,
    status_text,
    summarise_seeds,
    tabulate,
    variants_by_steps,
)

IMAGES_PER_VARIANT = 4
STYLE = Path(__file__).with_name("report.css")


def write_report(
    folder: Path, *, rows: Sequence[Row], columns: Sequence[Column], title: str, summary: str = "",
    curves: Sequence[str] | None = None, images: Mapping[str, str] | None = None, commands: Sequence[str] = (),
) -> Path:
    """Writes report.html beside the variants of a preset's folder, and returns its path.

    rows, columns: the table; the first column is the one that the headline and the plot of all seeds are about. Rows
    without a finished run say "not run": no number in the page comes from anywhere but a results.json, a metrics.jsonl
    or `Row.paper`. title, summary: plain text for the head of the page.
    curves: names in metrics.jsonl to plot, in this order; all but those per keypoint if not given.
    images: captions by the stem of images/<stem>.png, in this order; the first four files of the lowest seed if not
    given. commands: what to type to get these runs again.
    Raises InputError for a results.json that cannot be used, ValueError for rows or columns that contradict themselves.
    """
    folder = Path(folder)
    lines = tabulate(folder, rows, columns)
    measured = [line for line in lines if line.runs.finished]
    colours = {line.row.variant: n for n, line in enumerate(measured)}
    body = [
        f'<p class="eyebrow">kpjax · {escape(folder.parent.name)} · {escape(folder.name)}</p><h1>{escape(title)}</h1>',
        f"<p>{escape(summary)}</p>" if summary else "",
        f'<p class="finding">{escape(finding(lines, columns[0]))}</p>{tiles(lines, columns[0])}',
        _warnings(folder, lines),
        _table_section(lines, columns),
        _dots_section(lines, columns[0], colours),
        _keypoints_section(measured, columns),
        _curves_section(measured, columns, curves, colours),
        _images_section(measured, images),
        commands_section(commands),
        runs_section(measured),
        configuration_section(measured),
    ]
    page = ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head><body><main>\n"
            + "\n".join(part for part in body if part) + "\n</main></body></html>\n")
    path = folder / "report.html"
    temporary = path.with_name(".report.html.writing")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return path


def _warnings(folder: Path, lines: Sequence[Line]) -> str:
    """What a reader has to know before comparing rows."""
    texts = []
    usual, *others = variants_by_steps(lines).items() or [(0, [])]
    if others:
        listed = "; ".join(f"{steps:,} in {', '.join(names)}" for steps, names in others)
        texts.append(f"Not all runs have the same number of optimizer steps: {usual[0]:,} in most; {listed}.")
    seeds = {tuple(run.seed for run in line.runs.finished) for line in lines if line.runs.finished}
    if len(seeds) > 1:
        texts.append("Not all rows have the same seeds.")
    named = {line.row.variant for line in lines}
    if others := sorted(set(read_variants(folder)) - named):
        texts.append(f"In this folder but not in the table: {', '.join(others)}.")
    return "".join(f'<p class="note warning">{escape(text)}</p>' for text in texts)


def _table_section(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    with_paper = [has_paper_numbers(lines, column) for column in columns]
    head = "".join(f"<th>{escape(column_title(column))}</th>" + ("<th>paper</th>" if paper else "")
                   for column, paper in zip(columns, with_paper, strict=True))
    parts, kind = [], ""
    for line in lines:
        if line.row.kind != kind:
            kind = line.row.kind
            parts.append(f'<tr class="kind"><th scope="rowgroup" colspan="{2 + len(columns) + sum(with_paper)}">'
                         f"{KINDS[kind]}</th></tr>")
        label = escape(line.row.label or line.row.variant)
        note = f"<small>{escape(line.row.note)}</small>" if line.row.note else ""
        cells = [f'<th scope="row">{label}{note}</th><td class="minor">{_seeds_text(line)}</td>']
        for column, cell, best, paper in zip(columns, line.cells, line.best, with_paper, strict=True):
            text = escape(cell_text(cell, column))
            cells.append(f"<td>{f'<b>{text}</b>' if best else text}</td>")
            if paper:
                value = line.row.paper.get(column.metric)
                cells.append(f'<td class="paper">{"–" if value is None else f"{value:.{column.decimals}f}"}</td>')
        parts.append(f'<tr{"" if line.runs.finished else " class=absent"}>{"".join(cells)}</tr>')
    note = ("Mean ± standard deviation over seeds (n − 1); a single seed has no deviation. Bold: the best of a column, "
            "bounds aside." + (" The paper’s numbers stand as it prints them." if any(with_paper) else ""))
    return (f'<h2>Results</h2><div class="scroll"><table><thead><tr><th>variant</th><th>seeds</th>{head}</tr></thead>'
            f'<tbody>{"".join(parts)}</tbody></table></div><p class="note">{note}</p>')


def _seeds_text(line: Line) -> str:
    finished = len(line.runs.finished)
    return str(finished) if finished and not line.runs.unfinished else status_text(line.runs)


def _dots_section(lines: Sequence[Line], column: Column, colours: Mapping[str, int]) -> str:
    groups = [(heading, [
        Dots(line.row.label or line.row.variant, colours.get(line.row.variant, 0), line.cells[0].values,
             line.row.paper.get(column.metric))
        for line in lines if line.row.kind == kind]) for kind, heading in KINDS.items()]
    plot = dot_plot(groups, title=column_title(column))
    paper = ", the paper’s number a diamond" if has_paper_numbers(lines, column) else ""
    caption = (f"<b>{escape(column_title(column))}</b>, {column.better} is better. "
               f"Every seed a ring, their mean a bar{paper}.")
    return plot and f"<figure><figcaption>{caption}</figcaption>{plot}</figure>"


def _keypoints_section(measured: Sequence[Line], columns: Sequence[Column]) -> str:
    """A table for each column that is also stored per keypoint, as <metric>/<keypoint>."""
    parts = []
    for column in columns:
        prefix = f"{column.metric}/"
        keypoints = list(dict.fromkeys(name for line in measured for run in line.runs.finished for name in run.metrics
                                       if name.startswith(prefix)))
        if not keypoints:
            continue
        cells = {(line.row.variant, name): summarise_seeds(line.runs, name, column.factor)
                 for line in measured for name in keypoints}
        means = [cell.mean for cell in cells.values() if math.isfinite(cell.mean)]
        low, high = (min(means), max(means)) if means else (0.0, 0.0)
        head = "".join(f"<th>{escape(line.row.label or line.row.variant)}</th>" for line in measured)
        body = []
        for name in keypoints:
            row = [f'<th scope="row">{escape(name.removeprefix(prefix))}</th>']
            for line in measured:
                cell = cells[line.row.variant, name]
                level = (cell.mean - low) / (high - low) if high > low and math.isfinite(cell.mean) else 0.0
                level = 1 - level if column.better == "lower" else level
                row.append(f'<td class="level" style="--v:{level:.2f}">{escape(cell_text(cell, column))}</td>')
            body.append(f"<tr>{''.join(row)}</tr>")
        parts.append(f"<h3>{escape(column_title(column))}</h3>"
                     f'<div class="scroll"><table><thead><tr><th>keypoint</th>{head}</tr></thead><tbody>{"".join(body)}'
                     "</tbody></table></div>")
    if not parts:
        return ""
    return f'<h2>By keypoint</h2><p class="note">Deeper colour is better.</p>{"".join(parts)}'


def _curves_section(
    measured: Sequence[Line], columns: Sequence[Column], wanted: Sequence[str] | None, colours: Mapping[str, int],
) -> str:
    histories = {line.row.variant: [read_history(run.folder) for run in line.runs.finished] for line in measured}
    known = list(dict.fromkeys(name for runs in histories.values() for history in runs for name in history))
    by_metric = {column.metric: column for column in columns}
    names = _curve_names(known, list(by_metric)) if wanted is None else wanted
    panels = []
    for name in names:
        column = by_metric.get(name, Column(name))
        logarithmic = name.startswith(("loss/", "gradient_norm"))
        curves = [Curve(line.row.label or line.row.variant, colours[line.row.variant],
                        [history.get(name, ()) for history in histories[line.row.variant]]) for line in measured]
        if plot := line_plot(curves, title=f"{name} over steps", logarithmic=logarithmic, factor=column.factor):
            panels.append(f"<figure><figcaption><b>{escape(column_title(column))}</b>"
                          f"{', logarithmic' if logarithmic else ''}</figcaption>{plot}</figure>")
    if not panels:
        return ""
    dashes = " From the ninth variant on lines are dashed." if len(measured) > COLOURS else ""
    return ('<h2>Over the steps</h2><p class="note">Mean over seeds, the band from the lowest to the highest. '
            f"Long runs are averaged in equal stretches of steps.{dashes}</p>"
            f'<div class="panels">{"".join(panels)}</div>')


def _curve_names(known: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """The table's metrics, losses (the total first), gradient norms, the rest; nothing per keypoint or of time."""
    def place(name):
        starts = ("loss/total", "loss/", "gradient_norm")
        return next((n for n, start in enumerate(starts) if name.startswith(start)), len(starts))

    rest = [name for name in known if name not in metrics and "second" not in name and name != "time"
            and not any(name.startswith(f"{metric}/") for metric in metrics)]
    return [name for name in metrics if name in known] + sorted(rest, key=place)


def _images_section(measured: Sequence[Line], wanted: Mapping[str, str] | None) -> str:
    parts = []
    for line in measured:
        run = line.runs.finished[0]
        found = sorted((run.folder / "images").glob("*.png"))
        chosen = ([(path, path.stem.replace("_", " ")) for path in found[:IMAGES_PER_VARIANT]] if wanted is None else
                  [(path, caption) for stem, caption in wanted.items() for path in found if path.stem == stem])
        for path, caption in chosen:
            data = base64.b64encode(path.read_bytes()).decode()
            label = escape(f"{line.row.label or line.row.variant}, seed {run.seed}")
            parts.append(f"<figure><figcaption><b>{label}</b> · {escape(caption)}</figcaption>"
                         f'<img alt="{label}: {escape(caption)}" src="data:image/png;base64,{data}"></figure>')
    return f'<h2>Images</h2><div class="images">{"".join(parts)}</div>' if parts else ""
