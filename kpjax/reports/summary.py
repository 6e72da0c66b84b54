"""The comparison of a table in words: the method against baselines, controls and the upper bound."""
import math
from collections.abc import Sequence

from kpjax.reports.table import Column, Line, cell_text


def leaders(lines: Sequence[Line], column: Column, number: int = 0) -> dict[str, Line]:
    """Returns the best line of each kind by one column, ablations aside; as the method, the first one measured.

    number: of the column. Kinds without a finite mean are absent.
    """
    found: dict[str, Line] = {}
    for line in lines:
        mean, kind = line.cells[number].mean, line.entry.kind
        if kind == "ablation" or not math.isfinite(mean):
            continue
        if kind not in found or (kind != "method" and _better(mean, found[kind].cells[number].mean, column)):
            found[kind] = line
    return found


def _better(one: float, other: float, column: Column) -> bool:
    return one > other if column.better == "higher" else one < other


def gap_closed(lines: Sequence[Line], column: Column, number: int = 0) -> float:
    """Returns the method's share of the way from the best control (else the best baseline) to the upper bound.

    1 is the upper bound, below 0 is worse than the control. NaN if one of the three is missing, or if the upper bound
    is no better than the control.
    """
    best = leaders(lines, column, number)
    below = best.get("control", best.get("baseline"))
    if "method" not in best or "oracle" not in best or below is None:
        return math.nan
    method, start, end = (line.cells[number].mean for line in (best["method"], below, best["oracle"]))
    return (method - start) / (end - start) if _better(end, start, column) else math.nan


def seeds_ahead(one: Line, other: Line, column: Column) -> tuple[int, int]:
    """Returns the number of common seeds on which the first line is better, and the number of common seeds."""
    first, second = (
        {run.seed: run.metrics[column.metric] for run in line.runs.finished if column.metric in run.metrics}
        for line in (one, other))
    common = sorted(set(first) & set(second))
    return sum(_better(first[seed], second[seed], column) for seed in common), len(common)


def finding(lines: Sequence[Line], column: Column) -> str:
    """Returns the comparison by the first column in words, from finished runs only."""
    best = leaders(lines, column)
    if "method" not in best:
        return "The method itself has no finished run here yet."
    method = best["method"]
    unit = f" {column.unit}" if column.unit else ""
    sentences = [f"{method.name}: {cell_text(method.cells[0], column)}{unit} {column.title or column.metric}"]
    compared = []
    for kind in ("control", "baseline"):
        if kind in best:
            ahead, common = seeds_ahead(method, best[kind], column)
            seeds = f" on {ahead} of {common} seed{'s' if common > 1 else ''}" if common else ", with no seed in common"
            compared.append(f"the best {kind} ({best[kind].name}){seeds}")
    if compared:
        sentences.append(f"Better than {' and '.join(compared)}")
    share = gap_closed(lines, column)
    if math.isfinite(share):
        below = "control" if "control" in best else "baseline"
        sentences.append(f"It closes {100 * share:.0f} % of the gap from the best {below} to the upper bound"
                         if share > 0 else f"It is no closer to the upper bound than the best {below}")
    return ". ".join(sentences) + "."
