"""Where a mean over seeds lies: how much of a difference may be the chance of a training."""
from collections.abc import Sequence

import numpy as np
from scipy import stats

from kpjax.evaluation.probes.regression_errors import Interval


def over_seeds(values: Sequence[float]) -> Interval | None:
    """The mean of one value for each seed and where it lies with a probability of 95 % by Student's t; None for fewer
    than two."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)
