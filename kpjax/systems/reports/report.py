"""One self-contained page about all runs of a preset: runs/<experiment>/<preset>/report.html."""
import base64
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kpjax.drawing.charts import COLOURS, Curve, Dots, dot_plot, image_tag, line_plot
from kpjax.files import write_text
from kpjax.systems.reports import table
from kpjax.systems.reports.table import Column, Line
from kpjax.training.checkpoints import flat_identity
from kpjax.training.finished_runs import read_history, variant_folders

IMAGES_PER_VARIANT = 4
UNITS = {"distance": "px of the original images", "mae": "px of the original images", "pck": "0 to 1",
         "nme": "of the reference length"}  # of curves without a column
TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(folder: Path, lines: Sequence[Line], columns: Sequence[Column], *, title: str, summary: str = "",
                 commands: Sequence[str] = ()) -> Path:
    """Writes report.html beside the variants of a preset's folder, and returns its path.

    All numbers come from results.json, metrics.jsonl or `Entry.paper`; variants without a finished run read "not run".
    Images are those of each variant's lowest seed.

    Args:
        folder: of the preset.
        summary: below the title, plain text.
        commands: shell commands that reproduce the runs.
    """
    measured = [line for line in lines if line.runs.finished]
    colours = {line.entry.variant: n for n, line in enumerate(measured)}
    dots = [(heading, [Dots(line.name, colours.get(line.entry.variant, 0), line.cells[0].values,
                            line.entry.paper.get(columns[0].metric)) for line in lines if line.entry.kind == kind])
            for kind, heading in table.KINDS.items()]
    page = rendered(
        TEMPLATE, path=[folder.parent.name, folder.name], title=title, summary=summary,
        warnings=_warnings(folder, lines), header=table.header(lines, columns), groups=table.groups(lines, columns),
        dots=Markup(image_tag(dot_plot(dots, title=columns[0].heading), columns[0].heading)), column=columns[0],
        paper=any(table.has_paper_numbers(lines, column) for column in columns),
        paper_in_dots=table.has_paper_numbers(lines, columns[0]), measured=measured, commands=commands,
        keypoint_tables=[(column.heading, rows) for column in columns if (rows := _by_keypoint(measured, column))],
        panels=panels(measured, columns, colours), dashed=len(measured) > len(COLOURS),
        images=images_of(measured), **provenance(measured))
    return write_text(folder / "report.html", page)


def rendered(template: Path, **values: Any) -> str:
    """Returns a page by its template, which may include files of its own folder and of this one."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = FileSystemLoader([template.parent, TEMPLATE.parent])
    return Environment(loader=folders, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True).get_template(template.name).render(**values)


def _warnings(folder: Path, lines: Sequence[Line]) -> list[str]:
    """Returns what a reader must know before comparing variants."""
    steps = {line.name: sorted({run.steps for run in line.runs.finished}) for line in lines if line.runs.finished}
    texts = []
    if len(set(map(tuple, steps.values()))) > 1:
        listed = "; ".join(f"{name} {', '.join(f'{number:,}' for number in found)}" for name, found in steps.items())
        texts.append(f"Not all runs have the same number of optimizer steps: {listed}.")
    if len({tuple(run.seed for run in line.runs.finished) for line in lines if line.runs.finished}) > 1:
        texts.append("Not all variants have the same seeds.")
    if others := sorted(set(variant_folders(folder)) - {line.entry.variant for line in lines}):
        texts.append(f"In this folder but not in the table: {', '.join(others)}.")
    return texts


# Charts, tables by keypoint and images

def _by_keypoint(measured: Sequence[Line], column: Column) -> list[tuple[str, Sequence[str]]]:
    """Returns keypoints, each with a cell of each variant, of a column that is also stored as <metric>/<keypoint>."""
    prefix = f"{column.metric}/"
    names = dict.fromkeys(name for line in measured for run in line.runs.finished for name in run.metrics
                          if name.startswith(prefix))
    return [(name.removeprefix(prefix), [table.cell_text(table.summarise_seeds(line.runs, name, column.factor), column)
                                         for line in measured]) for name in names]


def panels(measured: Sequence[Line], columns: Sequence[Column], colours: Mapping[str, int]
           ) -> list[tuple[str, bool, Markup]]:
    """Returns the heading of each plot over the steps, whether it is logarithmic, and its image."""
    histories = {line.entry.variant: [read_history(run.folder) for run in line.runs.finished] for line in measured}
    known = list(dict.fromkeys(name for runs in histories.values() for history in runs for name in history))
    by_metric = {column.metric: column for column in columns}
    found = []
    for name in _curve_names(known, list(by_metric)):
        column = by_metric.get(name, Column(name, unit=UNITS.get(name.rpartition("/")[2], "")))
        logarithmic = name.startswith(("loss/", "gradient_norm"))
        curves = [Curve(line.name, colours[line.entry.variant],
                        [history.get(name, ()) for history in histories[line.entry.variant]]) for line in measured]
        found.append((column.heading, logarithmic,
                      curve_image(curves, f"{name} over steps", logarithmic=logarithmic, factor=column.factor)))
    return [panel for panel in found if panel[-1]]


def curve_image(curves: Sequence[Curve], title: str, *, logarithmic: bool, factor: float) -> Markup:
    """Returns lines over the steps as an image for a page, empty without a value."""
    return Markup(image_tag(line_plot(curves, title=title, logarithmic=logarithmic, factor=factor), title))


def _curve_names(known: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """Returns the table's metrics, losses (the total first), gradient norms, the rest; none per keypoint or of time."""
    starts = ("loss/total", "loss/", "gradient_norm")
    rest = [name for name in known if name not in metrics and "second" not in name and name != "time"
            and not any(name.startswith(f"{metric}/") for metric in metrics)]
    return [name for name in metrics if name in known] + sorted(
        rest, key=lambda name: next((n for n, start in enumerate(starts) if name.startswith(start)), len(starts)))


def images_of(measured: Sequence[Line]) -> list[tuple[str, str, str]]:
    """Returns label, caption and base64 of the first images of each variant's lowest seed."""
    return [(f"{line.name}, seed {line.runs.finished[0].seed}", path.stem.replace("_", " "),
             base64.b64encode(path.read_bytes()).decode()) for line in measured
            for path in sorted((line.runs.finished[0].folder / "images").glob("[!.]*.png"))[:IMAGES_PER_VARIANT]]


# Provenance: machines, versions, times and configurations

def described(value: Any) -> str:
    """Returns a value of results.json in a line: mappings as "key value", lists joined, numbers as they are."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {described(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(described, value))
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
    """Returns the machines, times and configurations of all runs, as templates name them."""
    runs = [(line.name, run) for line in measured for run in line.runs.finished]
    machines = Counter("; ".join(filter(None, (described(run.devices), described(run.versions)))) for _, run in runs)
    times = [run.wall_seconds for _, run in runs if run.wall_seconds is not None]
    return {"duration": duration, "configuration": _configuration(measured), "runs": {
        "rows": runs, "total": duration(sum(times)) if times else "",
        "machines": [text if len(machines) == 1 else f"{text} ({count} of {len(runs)} runs)"
                     for text, count in machines.items() if text]}}


def _configuration(measured: Sequence[Line]) -> list[tuple[str, Mapping[str, str]]]:
    """Returns headings and fields: those that all runs share, then those of each variant."""
    configs = [(line.name, [{name: json.dumps(value, ensure_ascii=False, default=str) for name, value in
                             flat_identity(run.config).items() if name} for run in line.runs.finished])
               for line in measured]
    every = [config for _, found in configs for config in found]
    names = dict.fromkeys(itertools.chain(*every))
    shared = {name: every[0][name] for name in names if len({config.get(name) for config in every}) == 1}
    parts = [("Configuration of all runs", shared), *(
        (f"{variant}: fields that differ", {
            name: ", ".join(dict.fromkeys(config.get(name, "–") for config in found))
            for name in names if name not in shared}) for variant, found in configs)]
    return [(heading, fields) for heading, fields in parts if fields]
