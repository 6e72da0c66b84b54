"""What a table says in a sentence: the method against its rivals, its controls and the bound."""
import math
from collections.abc import Sequence
from html import escape

from kpjax.reports.table import KINDS, Column, Line, cell_text


def leaders(lines: Sequence[Line], column: Column, place: int = 0) -> dict[str, Line]:
    """The best line of each kind by the column at `place`, ablations aside. The method is the first one measured.

    Kinds without a finite mean are absent.
    """
    found: dict[str, Line] = {}
    for line in lines:
        mean, kind = line.cells[place].mean, line.row.kind
        if kind == "ablation" or not math.isfinite(mean):
            continue
        if kind not in found or (kind != "method" and _better(mean, found[kind].cells[place].mean, column)):
            found[kind] = line
    return found


def _better(one: float, other: float, column: Column) -> bool:
    return one > other if column.better == "higher" else one < other


def gap_closed(lines: Sequence[Line], column: Column, place: int = 0) -> float:
    """The method's share of the way from the best control (the best rival without one) to the bound.

    1 is the bound, below 0 is worse than the control; NaN if one of the three is missing or the bound is no better.
    """
    best = leaders(lines, column, place)
    below = best.get("control", best.get("rival"))
    if "method" not in best or "bound" not in best or below is None:
        return math.nan
    method, start, end = (line.cells[place].mean for line in (best["method"], below, best["bound"]))
    return (method - start) / (end - start) if _better(end, start, column) else math.nan


def seeds_ahead(one: Line, other: Line, column: Column, place: int = 0) -> tuple[int, int]:
    """On how many of the seeds that both have the first is better, and how many that is."""
    first, second = (
        {run.seed: run.metrics[column.metric] for run in line.runs.finished if column.metric in run.metrics}
        for line in (one, other))
    common = sorted(set(first) & set(second))
    return sum(_better(first[seed], second[seed], column) for seed in common), len(common)


def finding(lines: Sequence[Line], column: Column) -> str:
    """The comparison in words, from finished runs only."""
    best = leaders(lines, column)
    if "method" not in best:
        return "The method itself has no finished run here yet."
    method = best["method"]

    def name(line):
        return line.row.label or line.row.variant

    unit = f" {column.unit}" if column.unit else ""
    sentences = [f"{name(method)}: {cell_text(method.cells[0], column)}{unit} {column.title or column.metric}"]
    compared = []
    for kind in ("control", "rival"):
        if kind in best:
            ahead, common = seeds_ahead(method, best[kind], column)
            seeds = f" on {ahead} of {common} seed{'s' if common > 1 else ''}" if common else ", with no seed in common"
            compared.append(f"the best {kind} ({name(best[kind])}){seeds}")
    if compared:
        sentences.append(f"Better than {' and '.join(compared)}")
    share = gap_closed(lines, column)
    if math.isfinite(share):
        below = "control" if "control" in best else "rival"
        sentences.append(f"It closes {100 * share:.0f} % of the gap from the best {below} to the bound"
                         if share > 0 else f"It is no closer to the bound than the best {below}")
    return ". ".join(sentences) + "."


def tiles(lines: Sequence[Line], column: Column) -> str:
    """The best of each kind as large numbers, HTML."""
    parts = []
    for kind, line in sorted(leaders(lines, column).items(), key=lambda item: list(KINDS).index(item[0])):
        heading = {"method": "Method", "rival": "Best rival", "control": "Best control", "bound": "Bound"}[kind]
        cell = line.cells[0]
        deviation = "" if math.isnan(cell.deviation) else f" ± {cell.deviation:.{column.decimals}f}"
        parts.append(f'<div><dt>{heading}</dt><dd>{cell.mean:.{column.decimals}f}<small>{deviation} '
                     f'{escape(column.unit)}</small></dd><dd class="name">{escape(line.row.label or line.row.variant)}'
                     "</dd></div>")
    return f'<dl class="tiles">{"".join(parts)}</dl>' if parts else ""
