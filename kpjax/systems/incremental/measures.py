"""Accuracies and errors after every step of a protocol, and the summary of all steps."""
import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kpjax import geometry
from kpjax.evaluation import metrics
from kpjax.evaluation.incremental import incremental_summary
from kpjax.input.protocols import Protocol
from kpjax.systems.incremental.config import Config
from kpjax.training.evaluation import Gathered


class Matrices(NamedTuple):
    """A row for each of the T + 1 steps; NaN for keypoints that are not known yet, or never labelled."""

    accuracy: np.ndarray  # (T + 1, K) PCK
    error: np.ndarray  # (T + 1, K) mean distance, in pixels of the original images or in the reference length


def accuracies(found: Gathered, threshold: float) -> np.ndarray:
    """Computes (K,) PCK; a distance of exactly the threshold is a hit."""
    return metrics.pck(found.keypoints, found.true_keypoints, found.visible, found.scale, threshold=threshold,
                       strict=False).per_keypoint


def matrices_of(config: Config, introduced: np.ndarray, predictions: Mapping[str, Gathered], steps: int) -> Matrices:
    """Computes the matrices of predictions `step_0` and on. introduced: (K,), the step that brings each keypoint."""
    accuracy, error = np.full((2, steps, len(introduced)), np.nan)
    for step in range(steps):
        if (found := predictions.get(f"step_{step}")) is None:
            continue
        found = found._replace(visible=found.visible * (introduced <= step))
        accuracy[step] = accuracies(found, config.pck_threshold)
        points, truth, scale = found.keypoints, found.true_keypoints, found.scale
        if config.error_in == "pixels":
            points, truth = (np.asarray(geometry.move_points(found.crop, one)) for one in (points, truth))
            scale = np.ones(len(truth), np.float32)
        error[step] = metrics.nme(points, truth, found.visible, scale).per_keypoint
    return Matrices(accuracy, error)


def summary(matrices: Matrices, introduced: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Computes the numbers of results.json; undefined ones, as the transfer of a single step, are left out.

    aaa, at, mt and a_mre weigh every keypoint alike, gains since its introduction; aaa/<keypoint> and a_mre/<keypoint>
    are those of single keypoints. introduced: (K,), beyond the last row for keypoints that never come.
    """
    found = incremental_summary(matrices.accuracy, introduced)
    values = {"aaa": found.average, "at": found.average_transfer, "mt": found.maximal_transfer,
              "a_mre": incremental_summary(matrices.error, introduced, errors=True).average}
    values |= {f"aaa/{name}": value for name, value in zip(names, matrices.accuracy[-1], strict=True)}
    values |= {f"a_mre/{name}": value for name, value in zip(names, matrices.error[-1], strict=True)}
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def of_targets(summary: Mapping[str, float], protocol: Protocol, count: int) -> dict[str, float]:
    """Returns triples/pck, the mean accuracy after the last step of the old keypoints of all stated triples.

    count: of triples in use in each step. {} for protocols that state none.
    """
    targets = {triple.old for step in protocol.steps for triple in step.triples[:count]}
    values = [summary[f"aaa/{name}"] for name in sorted(targets) if f"aaa/{name}" in summary]
    return {"triples/pck": float(np.mean(values))} if values else {}


def matrix_csv(matrices: Matrices, introduced: np.ndarray, names: Sequence[str], config: Config) -> str:
    """Returns every number of the matrices in a line of its own, for tables of other programs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "keypoint", "introduced_in",
                     f"pck_at_{config.pck_threshold:g}", f"error_in_{config.error_in}"])
    for step in range(len(matrices.error)):
        for k in np.argsort(introduced, kind="stable"):
            if not np.isnan(matrices.error[step, k]):
                writer.writerow([step, names[k], int(introduced[k]), f"{matrices.accuracy[step, k]:.6f}",
                                 f"{matrices.error[step, k]:.4f}"])
    return text.getvalue()
