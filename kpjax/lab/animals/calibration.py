"""Calibration of scores: how often a keypoint of a given score is near its label.

A score is the raw peak of a heatmap. Scores of different losses do not compare, and none is a
probability. A table of labels outside the training data gives them a meaning.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.errors import printable
from kpjax.files import foreign, read_json

BINS = 10
NEAR = 0.05  # of the diagonal of the animal's box: within this distance a keypoint counts as found
ENOUGH = 0.5  # keypoints are shown from this share of found ones on
# where no score reaches that, or nothing was measured; the default of DeepLabCut projects
DEFAULT_CUTOFF = 0.6
FILE = "score_table.json"


class ScoreTable(NamedTuple):
    """Fractions of keypoints found, by their score, in ten classes with about as many labels
    each."""

    #: (11,) float64 rising, the scores between which each class lies; nan without a label
    edges: np.ndarray
    #: (10,) float64 in [0, 1], the share within 5 % of the diagonal; nan in an empty class
    hit_fraction: np.ndarray
    kind: str  # of the scores, for example mse_peak or softmax_peak
    cutoff: float  # keypoints below it are better not shown


def score_table(
    scores: np.ndarray,
    distances_over_diagonal: np.ndarray,
    visible: np.ndarray,
    *,
    kind: str = "peak",
) -> ScoreTable:
    """Builds the table of labelled images, which should not be training images.

    The classes lie between the deciles of the scores. The cutoff is the lowest edge of a class in
    which at least half is found, `DEFAULT_CUTOFF` if there is none.

    scores: (N, K). distances_over_diagonal: (N, K), of each keypoint to its label, in diagonals of
    the animal's box.
    visible: (N, K); keypoints with 0 are left out.
    """
    known = np.asarray(visible) > 0
    scores, distances = (
        np.asarray(one, np.float64)[known] for one in (scores, distances_over_diagonal)
    )
    edges, hit_fraction = np.full(BINS + 1, np.nan), np.full(BINS, np.nan)
    if scores.size:
        edges = np.quantile(scores, np.linspace(0, 1, BINS + 1))
        classes = np.searchsorted(edges[1:-1], scores, side="right")
        count = np.bincount(classes, minlength=BINS)
        found = np.bincount(classes, weights=distances <= NEAR, minlength=BINS)
        hit_fraction = np.where(count > 0, found / np.maximum(count, 1), np.nan)
    enough = np.flatnonzero(np.nan_to_num(hit_fraction) >= ENOUGH)
    return ScoreTable(
        edges, hit_fraction, kind, float(edges[enough[0]]) if enough.size else DEFAULT_CUTOFF
    )


def drawn_from(cutoff: float) -> float:
    """Returns the score from which drawings show points: the cutoff, -inf for the default one,
    which hides nothing.
    """
    return cutoff if cutoff != DEFAULT_CUTOFF else -math.inf


def table_as_json(table: Any) -> dict[str, Any]:
    """Returns what score_table.json or radius_table.json in a run's folder hold of such a table:
    arrays as lists.
    """
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in table._asdict().items()
    }


def read_score_table(folder: Path) -> ScoreTable | None:
    """Reads the table in a run's folder, None if there is none.

    Raises InputError for a file that is broken.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    found = read_json(path)
    with foreign(path, "delete it, and the default cutoff is used"):
        edges, fractions = (np.array(found[name], np.float64) for name in ("edges", "hit_fraction"))
        table = ScoreTable(edges, fractions, str(found["kind"]), float(found["cutoff"]))
        if not (
            edges.shape == (BINS + 1,)
            and fractions.shape == (BINS,)
            and math.isfinite(table.cutoff)
            and printable(table.kind) == table.kind
        ):
            raise ValueError("not what a run writes")
        return table
