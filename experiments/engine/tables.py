"""Means, differences and intervals over finished runs, and what they cost."""
import statistics
from collections.abc import Sequence

import numpy as np

from experiments.engine.system import Job
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json
from kpjax.reports.table import read_run


def measured(jobs: Sequence[Job], metric: str) -> list[float]:
    """Returns a metric of those jobs that are finished and have it, in their order."""
    metrics = [read_run(job.folder).metrics for job in jobs if (job.folder / "results.json").exists()]
    return [found[metric] for found in metrics if metric in found]


def mean_text(values: Sequence[float], wanted: int, *, factor: float = 1.0, decimals: int = 1) -> str:
    """Returns "95.1 ± 0.3" (n - 1), "95.1" of a single run, "(2 of 3)" behind it if some are missing, or "not run"."""
    if not values:
        return "not run"
    values = [factor * value for value in values]
    text = f"{statistics.fmean(values):.{decimals}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{decimals}f}"
    return text if len(values) == wanted else f"{text} ({len(values)} of {wanted})"


def paired_differences(jobs: Sequence[Job], others: Sequence[Job], metric: str) -> list[float]:
    """Returns a metric of jobs less that of others, pair by pair, as of equal seeds, where both have it."""
    pairs = [(measured([one], metric), measured([other], metric)) for one, other in zip(jobs, others, strict=True)]
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


def cost_text(jobs: Sequence[Job]) -> str:
    """Returns "800 steps, 25,600 images, 61 s" of training, the mean over finished jobs, or "not run"."""
    found = [(read_run(job.folder), read_json(path)) for job in jobs if (path := job.folder / "results.json").exists()]
    if not found:
        return "not run"
    means = {"steps": statistics.fmean(run.steps for run, _ in found),
             "images": statistics.fmean(stored.get("images") or 0 for _, stored in found),
             "wall_seconds": statistics.fmean(run.wall_seconds or 0 for run, _ in found)}
    return "{steps:,.0f} steps, {images:,.0f} images, {wall_seconds:,.0f} s".format(**means)


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Returns the mean of one value per seed with its 95 % interval by Student's t; None for fewer than two."""
    if len(values) < 2:
        return None
    from scipy import stats  # half a second, which most commands need not wait

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)
