"""Measures of incremental learning: accuracy on all keypoints, and the effect of later steps on
earlier keypoints.

They read one matrix: row t holds the accuracy (or the error) of every keypoint on the whole test
set after step t. Plain functions on the host, in float64, in the unit of the matrix.

Source: Incremental Object Keypoint Learning (KAMP, arXiv 2503.20248), which names the measures.
"""

from typing import NamedTuple

import chex
import numpy as np
from numpy.typing import ArrayLike


class IncrementalSummary(NamedTuple):
    """The measures after one step.

    NaN where nothing counts, such as transfer before any keypoint is old.
    """

    average: float  # AAA of accuracies, A-MRE of errors: the mean over all keypoints known by then
    #: AT: the mean gain of old keypoints since their introduction; above 0 they improved
    average_transfer: float
    maximal_transfer: float  # MT: the largest gain
    transfer: np.ndarray  # (K,) float64, the gain of each old keypoint, NaN for the others


def incremental_summary(
    matrix: ArrayLike, introduced: ArrayLike, *, errors: bool = False
) -> IncrementalSummary:
    """Computes AAA, AT and MT after the last step, or A-MRE and the like if the matrix holds
    errors.

    Args:
        matrix: (T + 1, K), row t after step t, NaN where a keypoint was not known yet or never
            counts, and left out there.
        introduced: (K,), the step that introduced each keypoint, after which its gains start;
            beyond the last row, or negative, for one that never came.
        errors: smaller is better; gains change their sign, so that above 0 is still better.
    """
    matrix = np.asarray(matrix, np.float64)
    introduced = np.asarray(introduced)
    chex.assert_rank(matrix, 2)
    chex.assert_shape(introduced, (matrix.shape[1],))
    introduced = np.where(introduced < 0, len(matrix), introduced)
    step = len(matrix) - 1
    gain = np.full(len(introduced), np.nan)
    old = np.flatnonzero(introduced < step)
    sign = -1.0 if errors else 1.0
    at_first = matrix[introduced[old], old]
    gain[old] = sign * (matrix[step, old] - at_first)
    values = matrix[step, introduced <= step]
    values = values[~np.isnan(values)]
    gains = gain[~np.isnan(gain)]
    largest = float(gains.max()) if gains.size else float("nan")
    return IncrementalSummary(_mean(values), _mean(gains), largest, gain)


def _mean(values: np.ndarray) -> float:
    if not values.size:
        return float("nan")
    return float(values.mean())
