"""Means, differences and intervals over finished runs, and what they cost."""
import statistics
import textwrap
from collections.abc import Sequence

import numpy as np
from etils import epath

from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.systems.reports.table import Column, FinishedRun, Line, groups, header, read_run

Runs = Sequence[FinishedRun | None]  # in the order of what is compared; None where one is not finished


def runs_in(folders: Sequence[epath.Path]) -> list[FinishedRun | None]:
    """Reads the results of runs."""
    return [read_run(folder) if (folder / "results.json").exists() else None for folder in folders]


def paired_differences(runs: Runs, others: Runs, metric: str) -> list[float]:
    """Returns a metric of runs less that of others, pair by pair, as of equal seeds, where both have it."""
    return [one.metrics[metric] - other.metrics[metric] for one, other in zip(runs, others, strict=True)
            if one and other and {metric} <= one.metrics.keys() & other.metrics.keys()]


def difference_text(values: Sequence[float], wanted: int, *, factor: float = 1.0, decimals: int = 1) -> str:
    """Returns "+7.9 [+5.1, +10.7]", a mean with its interval `over_seeds`, "(2 of 3)" behind it if some
    are missing, or "not run"."""
    if not values:
        return "not run"
    values = [factor * value for value in values]
    text = f"{statistics.fmean(values):+.{decimals}f}"
    if found := over_seeds(values):
        text += f" [{found.low:+.{decimals}f}, {found.high:+.{decimals}f}]"
    return text if len(values) == wanted else f"{text} ({len(values)} of {wanted})"


def cost_text(runs: Runs) -> str:
    """Returns "800 steps, 25,600 images, 61 s" of training, the mean over finished runs, or "not run"."""
    found = [run for run in runs if run]
    if not found:
        return "not run"
    means = {name: statistics.fmean(getattr(run, name) or 0 for run in found)
             for name in ("steps", "images", "wall_seconds")}
    return "{steps:,.0f} steps, {images:,.0f} images, {wall_seconds:,.0f} s".format(**means)


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Returns the mean of one value per seed with its 95 % interval by Student's t.

    None for fewer than two, and where all are equal: a count of found points that agrees by chance is no certainty.
    """
    if len(set(values)) < 2:
        return None
    from scipy import stats  # half a second, which most commands need not wait

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def console_table(lines: Sequence[Line], columns: Sequence[Column], width: int) -> str:
    """Returns a table for a terminal of so many letters, and what its marks mean below it.

    Each column is a line of it, and as many variants stand beside each other as fit.
    """
    heads = [cell.text for cell in header(lines, columns)[1:]]
    variants = [[line.name, *(cell.text + {"best": " *", "": "  "}.get(cell.role, "") for cell in cells)]
                for group in groups(lines, columns) for line, cells in group.lines]
    sizes = [max(map(len, one)) for one in variants]
    first = min(max(map(len, heads)), max(width // 2, width - sum(sizes) - 2 * len(sizes)))
    beside = max((width - first) // (max(sizes) + 2), 1)
    blocks = []
    for start in range(0, len(variants), beside):
        rows = []
        for head, *texts in zip(["", *heads], *variants[start:start + beside], strict=True):
            *above, last = textwrap.wrap(head, first) or [""]
            values = (text.rjust(size) for text, size in zip(texts, sizes[start:], strict=False))
            rows += [*above, "  ".join([last.ljust(first), *values]).rstrip()]
        blocks.append("\n".join(rows))
    marks = "\n*: the best of its kind, upper bounds aside" * any(any(line.best) for line in lines)
    return "\n\n".join(blocks) + marks
