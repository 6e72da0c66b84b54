"""What the scores of a run mean: from which score on each keypoint is shown.

A score is the raw peak of a heatmap. Scores of different losses do not compare, and none is a
probability. Labels outside the training data give them a meaning, see `kpjax.evaluation.cutoffs`.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from kpjax.errors import printable
from kpjax.files import foreign, read_json

FILE = "score_table.json"
#: meaning of a cell that a labeller left empty: the keypoint is not there, or nobody looked for it. "often":
#: the first for keypoints that are often empty; of others it is unknown, taken for the first where cutoffs
#: are chosen, and taught as neither
Empty = Literal["often", "absent", "unlabelled"]
LARGEST = 1e30  # largest of a cutoff


class ScoreTable(NamedTuple):
    """What a run's scores mean."""

    kind: str  # kind of the scores, for example mse_peak or softmax_peak
    #: (K,) float64, the score from which a keypoint is shown; -inf where none is known
    cutoffs: np.ndarray
    #: (11,) float64 rising, from the least to the largest score of labelled points; (0,) where it is
    #: not known
    deciles: np.ndarray
    empty: Empty = "often"  # what an empty cell meant


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
    path = folder / FILE
    return score_table_from(read_json(path), str(path)) if path.is_file() else None


def score_table_from(found: Any, path: str) -> ScoreTable:
    """Returns the table of a score_table.json.

    Raises InputError, which names `path`, for a broken one.
    """
    with foreign(path, "delete it, and all points are shown"):
        cutoffs, deciles = (np.array(found[name], np.float64) for name in ("cutoffs", "deciles"))
        table = ScoreTable(str(found["kind"]), cutoffs, deciles, found["empty"])
        if not (
            table.cutoffs.ndim == 1
            and (table.cutoffs < LARGEST).all()
            and deciles.shape in ((0,), (11,))
            and table.empty in ("often", "absent", "unlabelled")
            and printable(table.kind) == table.kind
        ):
            raise ValueError("not what a run writes")
        return table


def cutoffs_text(cutoffs: Any) -> str:
    """Returns the cutoffs (K,) in a few words: "0.42", "0.12 to 0.42 by keypoint", "" of none."""
    cutoffs = np.asarray(cutoffs, np.float64)
    known = cutoffs[np.isfinite(cutoffs)]
    if not known.size:
        return ""
    ends = dict.fromkeys(f"{end:.3g}" for end in (known.min(), known.max()))
    text = " to ".join(ends)
    return f"{text} by keypoint" if len(ends) > 1 else text
