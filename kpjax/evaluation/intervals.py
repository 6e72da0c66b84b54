"""How far a mean over seeds may lie from that of all seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A number and its bounds."""

    value: float
    low: float
    high: float


def interval_over_seeds(values: Sequence[float]) -> Interval | None:
    """Returns the mean of one value per seed with its 95 % interval by Student's t.

    None for fewer than two, and where all are equal but for rounding: counts that agree by chance
    are no certainty.
    """
    # rows have six digits, here of percents or pixels
    if len(values) < 2 or np.ptp(values) <= 2e-4:
        return None
    from scipy import stats  # half a second, which most commands need not wait

    mean = float(np.mean(values))
    half = (
        float(stats.t.ppf(0.975, len(values) - 1))
        * float(np.std(values, ddof=1))
        / len(values) ** 0.5
    )
    return Interval(mean, mean - half, mean + half)
