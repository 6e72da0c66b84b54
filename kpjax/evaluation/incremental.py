"""Measures of incremental learning: accuracy on all keypoints, and the effect of later steps on earlier keypoints.

They read one matrix: row t holds the accuracy (or the error) of every keypoint on the whole test set after step t.
Plain functions on the host, in float64, in the unit of the matrix.

Source: Incremental Object Keypoint Learning (KAMP, arXiv 2503.20248), which names the measures.
"""
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class IncrementalSummary(NamedTuple):
    """The measures after one step. NaN where nothing counts, such as transfer before any keypoint is old."""

    average: float  # AAA of accuracies, A-MRE of errors: the mean over all keypoints known by then
    average_transfer: float  # AT: the mean gain of old keypoints since the reference; above 0 they improved
    maximal_transfer: float  # MT: the largest gain
    transfer: np.ndarray  # (K,) float64, the gain of each old keypoint, NaN for the others


def incremental_summary(
    matrix: ArrayLike, introduced: ArrayLike, *, step: int | None = None,
    level: Literal["keypoint", "group"] = "keypoint", reference: Literal["introduced", "best"] = "introduced",
    errors: bool = False,
) -> IncrementalSummary:
    """Computes AAA, AT and MT after a step, or A-MRE and the like if the matrix holds errors.

    Args:
        matrix: (T + 1, K), row t after step t, NaN where a keypoint was not known yet or never counts, and left out
            there.
        introduced: (K,), the step that introduced each keypoint; beyond the last row for one that never came.
        level: "keypoint", every keypoint weighs the same; "group", the keypoints of a step are averaged first.
        reference: the value that gains start from: the one after the step that "introduced" the keypoint, or the "best"
            of all earlier rows from there on, as in measures of forgetting.
        errors: smaller is better; gains change their sign, so that above 0 is still better.
    """
    matrix, introduced = np.asarray(matrix, np.float64), np.asarray(introduced)
    step = len(matrix) - 1 if step is None else step
    now = np.where(introduced <= step, matrix[step], np.nan)
    better = -1.0 if errors else 1.0
    gain = np.where(introduced < step, better * now - _reference(better * matrix[:step], introduced, reference), np.nan)
    averages, gains = (_values(values, introduced, level) for values in (now, gain))
    return IncrementalSummary(_mean(averages), _mean(gains), float(gains.max()) if gains.size else float("nan"), gain)


def _reference(earlier: np.ndarray, introduced: np.ndarray, reference: str) -> np.ndarray:
    """Returns (K,) values of old keypoints in the `earlier` rows, higher is better; NaN for those without any."""
    rows = np.arange(len(earlier))[:, None]
    counts = (rows == introduced if reference == "introduced" else rows >= introduced) & ~np.isnan(earlier)
    best = np.where(counts, earlier, -np.inf).max(0, initial=-np.inf)
    return np.where(np.isneginf(best), np.nan, best)


def _values(values: np.ndarray, introduced: np.ndarray, level: str) -> np.ndarray:
    """Returns the (K,) values that are present: as they are, or the mean of each step's keypoints."""
    present = ~np.isnan(values)
    if level == "keypoint":
        return values[present]
    return np.array([values[present & (introduced == step)].mean() for step in np.unique(introduced[present])])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
