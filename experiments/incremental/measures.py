"""What is measured after every step of a protocol, and the summary of all steps."""
import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.incremental.config import Config
from kpjax import geometry
from kpjax.evaluation import metrics
from kpjax.evaluation.incremental import incremental_summary
from kpjax.input.source import Source
from kpjax.structures import Method
from kpjax.training.evaluation import Gathered, predict_source


class Rows(NamedTuple):
    """One row of each matrix: what is known after a step. NaN for keypoints that are not known, or never labelled."""

    accuracy: np.ndarray  # (2, K) PCK at the two thresholds of the config
    error: np.ndarray  # (K,) mean distance, in pixels of the original pictures or in the reference length


class Matrices(NamedTuple):
    """All rows, of T + 1 steps."""

    accuracy: np.ndarray  # (2, T + 1, K)
    error: np.ndarray  # (T + 1, K)


def stacked_rows(rows: Sequence[Rows | None], keypoints: int) -> Matrices:
    """The matrices of rows; NaN where a row is None."""
    absent = Rows(np.full((2, keypoints), np.nan), np.full(keypoints, np.nan))
    filled = [absent if row is None else row for row in rows]
    return Matrices(np.stack([row.accuracy for row in filled], 1), np.stack([row.error for row in filled]))


def accuracies(found: Gathered, thresholds: Sequence[float], *, visible: np.ndarray | None = None) -> np.ndarray:
    """(len(thresholds), K) PCK per keypoint; a distance of exactly the threshold is a hit."""
    shown = found.visible if visible is None else visible
    return np.stack([metrics.pck(found.keypoints, found.true_keypoints, shown, found.scale, threshold=threshold,
                                 strict=False).per_keypoint for threshold in thresholds])


def judged(method: Method, trained, source: Source, config: Config, known: np.ndarray) -> Rows:
    """How well a network knows every keypoint of the judging pictures. known: (K,) bool, those that it has learnt."""
    found = predict_source(method, trained, source, batch_size=2 * config.batch_size)
    visible = found.visible * known
    if config.error_in == "scale":
        error = metrics.nme(found.keypoints, found.true_keypoints, visible, found.scale)
    else:
        there, truth = (np.asarray(geometry.move_points(found.crop, keypoints))
                        for keypoints in (found.keypoints, found.true_keypoints))
        error = metrics.nme(there, truth, visible, np.ones(len(truth), np.float32))
    return Rows(accuracies(found, config.pck_thresholds, visible=visible), np.asarray(error.per_keypoint))


def summary(matrices: Matrices, introduced: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """The numbers of results.json; those that are undefined, as the transfer of a row of one step, are left out.

    aaa, at, mt, a_mre at the first threshold, every keypoint weighing the same and gains since a keypoint's
    introduction; `second/` at the second threshold, `group/` with the keypoints of a step averaged first, `best/` with
    gains since the best step. aaa/<keypoint>, at/<keypoint> and a_mre/<keypoint> are those of single keypoints.
    introduced: (K,), beyond the last row for keypoints that never come.
    """
    first, second = matrices.accuracy
    values = {}
    for prefix, matrix, how in (("", first, {}), ("second/", second, {}), ("group/", first, {"level": "group"}),
                                ("best/", first, {"reference": "best"}), ("second/group/", second, {"level": "group"}),
                                ("group/best/", first, {"level": "group", "reference": "best"})):
        found = incremental_summary(matrix, introduced, **how)
        values |= {f"{prefix}aaa": found.average, f"{prefix}at": found.average_transfer,
                   f"{prefix}mt": found.maximal_transfer}
        if not prefix:
            values |= {f"at/{name}": value for name, value in zip(names, found.transfer, strict=True)}
    for prefix, how in (("", {}), ("group/", {"level": "group"}), ("best/", {"reference": "best"})):
        found = incremental_summary(matrices.error, introduced, errors=True, **how)
        values |= {f"{prefix}a_mre": found.average, f"{prefix}a_mre_transfer": found.average_transfer,
                   f"{prefix}a_mre_maximal_transfer": found.maximal_transfer}
    values |= {f"aaa/{name}": value for name, value in zip(names, first[-1], strict=True)}
    values |= {f"a_mre/{name}": value for name, value in zip(names, matrices.error[-1], strict=True)}
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def matrix_csv(matrices: Matrices, introduced: np.ndarray, names: Sequence[str], config: Config) -> str:
    """Every number of the matrices in a line of its own, for tables of other programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "keypoint", "introduced_in",
                     *(f"pck_at_{threshold:g}" for threshold in config.pck_thresholds), f"error_in_{config.error_in}"])
    for step in range(len(matrices.error)):
        for k in np.argsort(introduced, kind="stable"):
            if not np.isnan(matrices.error[step, k]):
                writer.writerow([step, names[k], int(introduced[k]),
                                 *(f"{value:.6f}" for value in matrices.accuracy[:, step, k]),
                                 f"{matrices.error[step, k]:.4f}"])
    return text.getvalue()


def both_units(weight: float, reduction: str, side: int) -> Mapping[str, float]:
    """A weight of spatial distillation for both of its reductions: a line_sum is `side` times an element_mean."""
    line_sum = weight if reduction == "line_sum" else weight / side
    return {"line_sum": line_sum, "element_mean": line_sum * side}
