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

    accuracy: np.ndarray  # (2, T + 1, K) PCK at the two thresholds of the config
    error: np.ndarray  # (T + 1, K) mean distance, in pixels of the original images or in the reference length


def accuracies(found: Gathered, thresholds: Sequence[float]) -> np.ndarray:
    """Computes (len(thresholds), K) PCK per keypoint; a distance of exactly the threshold is a hit."""
    return np.stack([metrics.pck(found.keypoints, found.true_keypoints, found.visible, found.scale, threshold=threshold,
                                 strict=False).per_keypoint for threshold in thresholds])


def matrices_of(config: Config, introduced: np.ndarray, predictions: Mapping[str, Gathered], steps: int) -> Matrices:
    """Computes the matrices of predictions `step_0` and on. introduced: (K,), the step that brings each keypoint."""
    accuracy = np.full((2, steps, len(introduced)), np.nan)
    error = np.full((steps, len(introduced)), np.nan)
    for step in range(steps):
        if (found := predictions.get(f"step_{step}")) is None:
            continue
        found = found._replace(visible=found.visible * (introduced <= step))
        accuracy[:, step] = accuracies(found, config.pck_thresholds)
        points, truth, scale = found.keypoints, found.true_keypoints, found.scale
        if config.error_in == "pixels":
            points, truth = (np.asarray(geometry.move_points(found.crop, one)) for one in (points, truth))
            scale = np.ones(len(truth), np.float32)
        error[step] = metrics.nme(points, truth, found.visible, scale).per_keypoint
    return Matrices(accuracy, error)


def summary(matrices: Matrices, introduced: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Computes the numbers of results.json; undefined ones, as the transfer of a single step, are left out.

    aaa, at, mt, a_mre at the first threshold, every keypoint weighing the same and gains since a keypoint's
    introduction; `second/` at the second threshold. aaa/<keypoint>, at/<keypoint> and a_mre/<keypoint> are those of
    single keypoints. introduced: (K,), beyond the last row for keypoints that never come.
    """
    first, second = matrices.accuracy
    values = {}
    for prefix, matrix in (("", first), ("second/", second)):
        found = incremental_summary(matrix, introduced)
        values |= {f"{prefix}aaa": found.average, f"{prefix}at": found.average_transfer,
                   f"{prefix}mt": found.maximal_transfer}
    values |= {f"at/{name}": value for name, value in zip(
        names, incremental_summary(first, introduced).transfer, strict=True)}
    found = incremental_summary(matrices.error, introduced, errors=True)
    values |= {"a_mre": found.average}
    values |= {f"aaa/{name}": value for name, value in zip(names, first[-1], strict=True)}
    values |= {f"a_mre/{name}": value for name, value in zip(names, matrices.error[-1], strict=True)}
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def detection(config: Config, introduced: np.ndarray, found: Gathered, steps: int) -> dict[str, float]:
    """Returns sdr/<limit>, rates of detection within the limits of the config, and the deviation of all distances.

    Both are in the reference length, a millimetre where the set states a spacing. found: after the last step.
    """
    visible = found.visible * (introduced < steps)
    errors = metrics.mre_sdr(found.keypoints, found.true_keypoints, visible, 1 / found.scale, config.detection_limits)
    return {"mre_deviation": errors.deviation} | {
        f"sdr/{limit:g}": rate.overall for limit, rate in errors.sdr.items()}


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
                     *(f"pck_at_{threshold:g}" for threshold in config.pck_thresholds), f"error_in_{config.error_in}"])
    for step in range(len(matrices.error)):
        for k in np.argsort(introduced, kind="stable"):
            if not np.isnan(matrices.error[step, k]):
                writer.writerow([step, names[k], int(introduced[k]),
                                 *(f"{value:.6f}" for value in matrices.accuracy[:, step, k]),
                                 f"{matrices.error[step, k]:.4f}"])
    return text.getvalue()
