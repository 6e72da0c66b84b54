"""Means, differences and intervals over finished runs, and what they cost."""
import statistics
from collections.abc import Sequence

import numpy as np

from experiments.engine.system import Job
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.reports.table import FinishedRun, read_run

Runs = Sequence[FinishedRun | None]  # of jobs in their order; None where one is not finished


def runs_of(jobs: Sequence[Job]) -> list[FinishedRun | None]:
    """Reads the results of jobs."""
    return [read_run(job.folder) if (job.folder / "results.json").exists() else None for job in jobs]


def measured(runs: Runs, metric: str) -> list[float]:
    """Returns a metric of those runs that are finished and have it, in their order."""
    return [run.metrics[metric] for run in runs if run and metric in run.metrics]


def mean_text(values: Sequence[float], wanted: int, *, factor: float = 1.0, decimals: int = 1) -> str:
    """Returns "95.1 ± 0.3" (n - 1), "95.1" of a single run, "(2 of 3)" behind it if some are missing, or "not run"."""
    if not values:
        return "not run"
    values = [factor * value for value in values]
    text = f"{statistics.fmean(values):.{decimals}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{decimals}f}"
    return text if len(values) == wanted else f"{text} ({len(values)} of {wanted})"


def paired_differences(runs: Runs, others: Runs, metric: str) -> list[float]:
    """Returns a metric of runs less that of others, pair by pair, as of equal seeds, where both have it."""
    pairs = [(measured([one], metric), measured([other], metric)) for one, other in zip(runs, others, strict=True)]
    return [one[0] - other[0] for one, other in pairs if one and other]


def difference_text(values: Sequence[float], wanted: int, *, factor: float = 1.0, decimals: int = 1) -> str:
    """Returns "+7.9 [+5.1, +10.7]", a mean with its interval `over_seeds`; counts as `mean_text`."""
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
    """Returns the mean of one value per seed with its 95 % interval by Student's t; None for fewer than two."""
    if len(values) < 2:
        return None
    from scipy import stats  # half a second, which most commands need not wait

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)
