"""Pages with tables: what stands between markers is rendered from `results.csv` alone.

    <!-- table: regda/demo -->          the table DEMO of experiments/regda/tables.py
    <!-- systems -->                    a row for every published system
    <!-- headlines -->                  every system's headline table with its findings
    <!-- tutorials -->                  a row for every page of docs/tutorials
    <!-- advice -->                     the lines of experiments/advice.py
    ... rendered ...
    <!-- end -->

A table is rows by columns. A cell is the mean over seeds with its deviation, or a difference over pairs of equal seeds
with its 95 % interval.
"""
import importlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments.engine.configs import flat, settings_text, value_text
from experiments.engine.own.needs import NEEDS
from experiments.engine.paper_numbers import paper_numbers
from experiments.engine.results import BY_HAND, EXPERIMENTS, Numbers, Result, read_results
from experiments.engine.system import System, system_of
from experiments.engine.tables import difference_text, mean_text, over_seeds, points_of, share_text
from kpjax import InputError
from kpjax.drawing.charts import Difference, bars, error_curves, forest_plot
from kpjax.reports.table import markdown

ROOT = EXPERIMENTS.parent
MARKED = re.compile(r"(<!-- (systems|headlines|tutorials|advice|table: [\w/]+) -->\n).*?(<!-- end -->)", re.S)
NOT_RUN = "not run"
FORMER_POINTS = {"openfield": 144}  # a mouse's four points on 36 frames; other sets had more than a thousand
FORMER_SPLIT = {"split": "former"}  # of numbers from before real sets had images for tuning: settings and tests shared


class Row(NamedTuple):
    """A line of a table."""

    title: str
    variant: str
    settings: Mapping[str, Any] = {}  # that differ from the preset's
    preset: str = ""  # the table's if empty
    minus: str = ""  # the variant that is subtracted, seed by seed
    minus_settings: Mapping[str, Any] | None = None  # of that variant; the row's if None
    minus_metric: str = ""  # of that variant; the same if empty
    metric: str = ""  # in place of the columns', or of {} in them
    seeds: range = range(100)  # those that count; tuning seeds are above these
    fixed: bool = False  # whether it does not depend on the settings of columns, as an oracle with all labels


class Column(NamedTuple):
    """A column: a metric, some settings, or both. What it gives comes before what the row gives, but for the metric."""

    heading: str
    metric: str
    factor: float = 1.0
    decimals: int = 1
    show: Literal["mean", "seeds", "steps", "seconds"] = "mean"
    settings: Mapping[str, Any] = {}
    preset: str = ""
    variant: str = ""
    minus: str = ""
    seeds: range | None = None  # in place of the row's


class Table(NamedTuple):
    """What a page shows: `preset` is that of all rows and columns that name no other."""

    preset: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    first: str = "variant"  # the heading above the titles
    paper: str = ""  # the table of `paper.txt` whose numbers stand behind ours
    points: Mapping[str, int] = {}  # of a PCK by preset, test images times keypoints, where runs did not record them
    check: Callable[[Any], None] | None = None  # raises InputError for the config of a preset that does not suit it


class Cell(NamedTuple):
    """The numbers of a place, and those that are subtracted from them."""

    column: Column
    values: Sequence[Result]
    others: Sequence[Result]
    difference: bool
    ran: bool  # whether the variant, and the one that is subtracted, have any number under these settings
    points: float | None = None  # that a PCK is over, where that is known

    @property
    def used(self) -> list[Result]:
        """All numbers that it shows."""
        return [*self.values, *self.others]

    @property
    def kept(self) -> Result | None:
        """The mean, or the mean difference, where only that was kept."""
        return next((one for one in self.values if not one.seed.isdigit() and self.difference == _is_difference(one)),
                    None)

    def pairs(self) -> list[float]:
        """Returns differences over equal seeds; where only means were kept, their difference."""
        if any(map(_is_difference, self.values)):
            return [one.value for one in self.values if one.seed.isdigit()]
        other = {one.seed: one.value for one in self.others}
        found = {one.seed: one.value - other[one.seed] for one in self.values if one.seed in other}
        return [value for seed, value in found.items() if seed.isdigit()] or list(found.values())

    def text(self) -> str:
        """Returns what the table shows."""
        column, scale = self.column, {"factor": self.column.factor, "decimals": self.column.decimals}
        if column.show in ("steps", "seconds"):
            found = [getattr(one, column.show) for one in self.values]
            return f"{sum(found) / len(found):,.0f}" if found and None not in found else ""
        if self.kept and column.show == "mean":
            return _kept_text(self.kept, self.difference, **scale) + (
                self.uncertainty() if self.kept.low is None else "")
        seeds = self.pairs() if self.difference else [one.value for one in self.values if one.seed.isdigit()]
        if column.show == "seeds":
            sign = "+" if self.difference else ""
            shown = (f"{column.factor * value:{sign}.{column.decimals}f}" for value in seeds)
            return " / ".join(shown) + self.uncertainty()
        if not seeds:
            return "" if self.ran else NOT_RUN
        text = (difference_text if self.difference else mean_text)(seeds, len(seeds), **scale)
        return text + self.uncertainty()

    def uncertainty(self) -> str:
        """Returns the interval of a mean PCK over the points of one run, which all seeds share; "" of anything else."""
        values = [one.value for one in self.values]
        if self.difference or not values:
            return ""
        return share_text(self.values[0].metric, sum(values) / len(values), self.points, factor=self.column.factor,
                          decimals=self.column.decimals)

    def interval(self) -> Difference | None:
        """Returns mean and interval of a difference in the table's unit; None where there are fewer than two seeds."""
        factor = self.column.factor
        if kept := self.kept:
            return None if kept.low is None else Difference("", factor * kept.value, factor * kept.low,
                                                            factor * kept.high)
        found = over_seeds([factor * value for value in self.pairs()])
        return found and Difference("", found.value, found.low, found.high)


def _is_difference(one: Result) -> bool:
    return " - " in one.variant


def _kept_text(one: Result, signed: bool, factor: float, decimals: int) -> str:
    sign = "+" if signed else ""
    text = f"{factor * one.value:{sign},.{decimals}f}"
    if one.low is not None:
        return f"{text} [{factor * one.low:{sign}.{decimals}f}, {factor * one.high:{sign}.{decimals}f}]"
    return text if one.deviation is None else f"{text} ± {factor * one.deviation:.{decimals}f}"


def on_former_split(table: Table) -> Table:
    """Returns a table of numbers that were measured on the former split, which it says above its rows."""
    return table._replace(points={**FORMER_POINTS, **table.points}, first=f"{table.first}, former split", columns=[
        column._replace(settings={**column.settings, **FORMER_SPLIT}) for column in table.columns])


def on_present_split(table: Table) -> Table:
    """Returns a table as its runs are made today, whichever split its numbers are of."""
    def present(place: Any) -> Any:
        return place._replace(settings={name: value for name, value in place.settings.items()
                                        if name not in FORMER_SPLIT})

    return table._replace(first=table.first.removesuffix(", former split"), rows=[*map(present, table.rows)],
                          columns=[*map(present, table.columns)])


def metric_of(row: Row, column: Column) -> str:
    """Returns the metric in a place of a table."""
    return column.metric.replace("{}", row.metric) if "{}" in column.metric else row.metric or column.metric


def place_of(table: Table, row: Row, column: Column) -> list[tuple[str, dict[str, Any], str]]:
    """Returns preset, settings and variant of the runs in a place of a table, then those that are subtracted."""
    preset = column.preset or row.preset or table.preset
    variant, minus = column.variant or row.variant, column.minus or row.minus
    settings = dict(row.settings) if row.fixed else {**row.settings, **column.settings}
    if not minus:
        return [(preset, settings, variant)]
    of_other = row.settings if row.minus_settings is None else row.minus_settings
    return [(preset, settings, variant), (preset, {**of_other, **column.settings}, minus)]


def presets_of(table: Table) -> list[str]:
    """Returns the presets of a table, its own first."""
    return list(dict.fromkeys([table.preset, *(place[0] for row in table.rows for column in table.columns
                                               for place in place_of(table, row, column))]))


def system_in(room: str) -> System | None:
    """Returns the system of a room; None where its numbers are of something else, or there is no such room."""
    exists = room and (EXPERIMENTS / room / "__init__.py").exists()
    return getattr(importlib.import_module(f"experiments.{room.replace('/', '.')}"), "SYSTEM", None) if exists else None


def fields_of(room: str, preset: str) -> dict[str, Any]:
    """Returns the fields of a preset by name; {} where a room is not a system or has no such preset."""
    system = system_in(room)
    return flat(system.presets[preset]) if system and preset in system.presets else {}


def key_of(system: str, preset: str, settings: Mapping[str, Any], variant: str) -> tuple[str, str, str]:
    """Returns what `results.csv` names a place by: settings that are the preset's own are left out."""
    own = fields_of(system, preset) if settings else {}
    return preset, settings_text({name: value for name, value in settings.items()
                                  if name not in own or value_text(value) != value_text(own[name])}), variant


def cell_of(table: Table, row: Row, column: Column, numbers: Numbers, system: str = "") -> Cell:
    """Returns the numbers in a place of a table. system: whose presets; without one settings are taken as they are."""
    one, *others = (key_of(system, *place) for place in place_of(table, row, column))
    metric, seeds = metric_of(row, column), column.seeds or row.seeds
    values, ran = numbers.of(*one, metric, seeds), numbers.ran(*one, seeds)
    if not others:
        recorded = [found.value for found in numbers.of(*one, points_of(metric), seeds)]
        return Cell(column, values, (), False, ran, min(recorded) if recorded else table.points.get(one[0]))
    (other,), apart = others, (*one[:2], f"{one[2]} - {others[0][2]}")
    of_other = row.minus_metric or metric
    if of_other == metric and (kept := numbers.of(*apart, metric, seeds)):
        return Cell(column, kept, (), True, True)
    if (*one, metric) == (*other, of_other):  # a control against itself
        return Cell(column, (), (), True, True)
    return Cell(column, values, numbers.of(*other, of_other, seeds), True,
                numbers.ran(*apart, seeds) or (ran and numbers.ran(*other, seeds)))


def table_text(table: Table, numbers: Numbers, system: str = "", *, source: bool = True) -> str:
    """Returns a table in Markdown, the paper's numbers behind ours where it names a table of the paper.

    system: whose paper. source: whether a line below says where the numbers are from.
    """
    cells = [[cell_of(table, row, column, numbers, system) for column in table.columns] for row in table.rows]
    lines = [[row.title, *(cell.text() + _printed(table, row, cell.column, system) for cell in line)]
             for row, line in zip(table.rows, cells, strict=True)]
    shown = markdown([table.first, *(column.heading for column in table.columns)], lines)
    if counts := sorted({int(cell.points) for line in cells for cell in line if cell.uncertainty()}):
        said = " or ".join(map(str, counts))
        shown += f"\n\n*In brackets behind a PCK: its 95 % interval over {said} points (Wilson).*"
    return f"{shown}\n" + (f"\n{_source([one for line in cells for cell in line for one in cell.used])}\n" if source
                           else "")


def _printed(table: Table, row: Row, column: Column, system: str) -> str:
    """Returns what the paper prints in a place of a table, such as " (paper 66.98 ± 0.94)"; "" where it has nothing."""
    if not table.paper or column.show != "mean":
        return ""
    (preset, settings, variant), *others = place_of(table, row, column)
    found = paper_numbers(system, table.paper + (", differences" if others else ""),
                          **fields_of(system, preset) | settings | {"preset": preset, "variant": variant})
    metric = metric_of(row, column) + (f"/less_{others[0][2]}" if others else "")
    if metric not in found:
        return ""
    printed = [f"{found[name]:.{max(column.decimals, 2)}f}" for name in (metric, "deviation") if name in found]
    return f" (paper {' ± '.join(printed)})"


def _source(used: Sequence[Result]) -> str:
    """Returns where numbers are from: the commits, days and devices of their runs, or that they were kept by hand."""
    runs = [one for one in used if one.commit != BY_HAND]
    if not runs:
        return "*Recorded by hand from earlier runs.*" if used else "*Not run.*"
    days, commits = sorted({one.date for one in runs}), sorted({one.commit for one in runs})
    said = ", ".join([" to ".join(dict.fromkeys((days[0], days[-1]))), *sorted({one.device for one in runs}),
                      "commit " + ", ".join(commits)])
    by_hand = sorted({one.variant for one in used if one.commit == BY_HAND})
    return f"*{said}{'; recorded by hand from earlier runs: ' + ', '.join(by_hand) if by_hand else ''}.*"


def forest_of(table: Table, numbers: Numbers, title: str, system: str = "") -> str:
    """Returns the differences in a table's first column as a plot; rows without an interval are left out."""
    found = [(row.title, cell_of(table, row, table.columns[0], numbers, system).interval()) for row in table.rows]
    return forest_plot([one._replace(label=name) for name, one in found if one], title=title,
                       axis=table.columns[0].heading)


def chart_of(table: Table, numbers: Numbers) -> str:
    """Returns the means in a table's first column as bars, from zero to 100 % of it; rows that were not run are left
    out."""
    column, rows = table.columns[0], []
    for row in table.rows:
        if seeds := [one.value for one in cell_of(table, row, column, numbers).values]:
            rows.append((row.title, column.factor * sum(seeds) / len(seeds)))
    return bars(rows, title=column.heading, highest=column.factor)


def curve_of(table: Table, numbers: Numbers, system: str) -> str:
    """Returns a table's rows as lines over its columns, whose headings begin with an amount such as "50 labels".

    Places that were not run, and rows that are differences, are left out.
    """
    def mean(row: Row, column: Column) -> float:
        found = [one.value for one in cell_of(table, row, column, numbers, system).values]
        return column.factor * sum(found) / len(found) if found else math.nan

    lines = [(row.title, [mean(row, column) for column in table.columns]) for row in table.rows if not row.minus]
    return error_curves([float(column.heading.split()[0]) for column in table.columns], lines, title=table.first,
                        across="labels", up=table.first)


# What systems say of themselves


def systems() -> list[System]:
    """Returns all published systems, in the order of the papers."""
    order = ("regda", "semi_supervised", "incremental", "pyramids", "adaptation")
    found = [system_of(path.parent.name) for path in EXPERIMENTS.glob("*/presets.py")]
    return sorted((system for system in found if system.about), key=lambda system: (
        order.index(system.name) if system.name in order else len(order), system.name))


def systems_text(page: Path) -> str:
    """Returns a row for every system: the problem, the paper, the command, and whether the method helps."""
    docs = os.path.relpath(ROOT / "docs" / "papers", page.parent)
    return markdown(["what you have", "system", "`kpjax train`", "does the method help beyond its control?"], [
        [system.about.problem, system.about.publication, f"`{system.name} {NEEDS[system.name].takes}`",
         f"{system.about.helps} [Tables]({docs}/{system.name}.md)"] for system in systems()]) + "\n"


def headlines_text(page: Path) -> str:
    """Returns a section for every system: its headline table, and what was found."""
    parts = []
    for system in systems():
        room = EXPERIMENTS / system.name
        table = table_text(tables_of(room)["headline"], Numbers(read_results(room)), system.name)
        findings = "\n".join(f"- {finding}" for finding in system.about.findings)
        where = os.path.relpath(room / "results.md", page.parent)
        parts.append(f"## {system.about.publication}\n\n{table}\n{findings}\n- More: [all tables]({where}).\n")
    return "\n".join(parts)


def tutorials_text(page: Path) -> str:
    """Returns a row for every tutorial, by its title."""
    titles = {system.name: (page.parent / f"{system.name}.md") for system in systems()}
    return markdown(["what you have", "tutorial"], [
        [system.about.problem, f"[{titles[system.name].read_text(encoding='utf-8').splitlines()[0].strip('# ')}]"
                               f"({system.name}.md)"]
        for system in systems() if titles[system.name].exists()]) + "\n"


# Rooms and their pages


def rooms() -> list[Path]:
    """Returns the folders of `experiments` that have tables."""
    return sorted(path.parent for path in EXPERIMENTS.rglob("tables.py") if path.parent.name != "engine")


def tables_of(room: Path) -> dict[str, Table]:
    """Returns the tables of a room by name, as markers spell it: those of its pages, and those of its paper."""
    package = ".".join(("experiments", *room.relative_to(EXPERIMENTS).parts))
    modules = [importlib.import_module(f"{package}.{name}") for name in ("paper_tables", "tables")
               if (room / f"{name}.py").exists()]
    return {name.lower(): value for module in modules for name, value in vars(module).items()
            if isinstance(value, Table)}


def metrics_of(room: Path) -> set[str]:
    """Returns the metrics that the tables of a room show."""
    shown = {metric for table in tables_of(room).values() for row in table.rows for column in table.columns
             for metric in (metric_of(row, column), row.minus_metric) if metric}
    return shown | {points_of(metric) for metric in shown}


def pages() -> list[Path]:
    """Returns all pages with markers."""
    candidates = [ROOT / "README.md", *EXPERIMENTS.rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in candidates if path.exists() and MARKED.search(path.read_text(encoding="utf-8")))


def rendered() -> Iterator[tuple[Path, str]]:
    """Yields every page and plot with its content. Raises InputError for a marker whose table does not exist."""
    from experiments.advice import advice_text  # it reads tables, which are built of what is defined here

    made_by = {"systems": systems_text, "headlines": headlines_text, "tutorials": tutorials_text,
               "advice": advice_text}
    found = {room.relative_to(EXPERIMENTS).as_posix(): (tables_of(room), Numbers(read_results(room)))
             for room in rooms()}
    for path in pages():
        def replace(match: re.Match, path: Path = path) -> str:
            if made := made_by.get(match[2]):
                return f"{match[1]}\n{made(path)}\n{match[3]}"
            room, _, name = match[2].removeprefix("table: ").rpartition("/")
            if room not in found or name not in found[room][0]:
                raise InputError(f"{path}: there is no table {room}/{name}; add it to experiments/{room}/tables.py")
            return f"{match[1]}\n{table_text(found[room][0][name], found[room][1], room)}\n{match[3]}"

        yield path, MARKED.sub(replace, path.read_text(encoding="utf-8"))
    for room, (tables, numbers) in found.items():
        if "chart" in tables:
            yield EXPERIMENTS / room / "chart.svg", chart_of(tables["chart"], numbers)
        for name, table in tables.items():
            if name.startswith("curve"):
                yield EXPERIMENTS / room / f"{name}.svg", curve_of(table, numbers, room)
        if "forest" in tables:
            yield EXPERIMENTS / room / "forest.svg", forest_of(tables["forest"], numbers, room, room)
