"""Measures of incremental learning: the matrix of steps and keypoints, the paper's numbers from it,
and the columns of its table.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from kpjax import geometry
from kpjax.evaluation.incremental import incremental_summary
from kpjax.evaluation.metrics import nme, pck
from kpjax.files import write_text
from kpjax.papers.engine import IMAGES, Job, Outcome, draw_predictions
from kpjax.papers.incremental.config import Config
from kpjax.papers.incremental.runs import Data
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered

# Variants whose auxiliary tasks are not those that the protocol states.
OTHER_TRIPLES = ("random_triples",)
# The old keypoint of step 1's first triple, by protocol, where the paper prints how well KA-Net and
# its teacher find it (Table 5).
OLD_IN_STEP_1 = {"mpii": "neck"}


def accuracies(found: Gathered, threshold: float) -> np.ndarray:
    """Computes (K,) PCK; a distance of exactly the threshold is a hit."""
    return pck(
        found.keypoints,
        found.true_keypoints,
        found.visible,
        found.scale,
        threshold=threshold,
        strict=False,
    ).per_keypoint


class Matrices(NamedTuple):
    """A row for each of the T + 1 steps; NaN for keypoints that are not known yet, or never
    labelled.
    """

    accuracy: np.ndarray  # (T + 1, K) PCK
    #: (T + 1, K) mean distance, in pixels of the original images or in the reference length
    error: np.ndarray


def matrices_of(job: Job, data: Data, predictions: Mapping[str, Gathered]) -> Matrices:
    """Computes the matrices of a run from its predictions `step_0` and on."""
    config, introduced, steps = job.config, data.introduced, len(data.protocol.steps)
    accuracy, error = np.full((2, steps, len(introduced)), np.nan)
    for step in range(steps):
        if (found := predictions.get(f"step_{step}")) is None:
            continue
        found = found._replace(visible=found.visible * (introduced <= step))
        accuracy[step] = accuracies(found, config.pck_threshold)
        points, truth, scale = found.keypoints, found.true_keypoints, found.scale
        if config.error_in == "pixels":
            points, truth = (
                np.asarray(geometry.move_points(found.crop, one)) for one in (points, truth)
            )
            scale = np.ones(len(truth), np.float32)
        error[step] = nme(points, truth, found.visible, scale).per_keypoint
    return Matrices(accuracy, error)


def summary(matrices: Matrices, introduced: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Computes the numbers of results.json; undefined ones, as the transfer of a single step, are
    left out.

    aaa, at, mt and a_mre weigh every keypoint alike, gains since its introduction; aaa/<keypoint>
    and a_mre/<keypoint> are those of single keypoints. introduced: (K,), beyond the last row for
    keypoints that never come.
    """
    found = incremental_summary(matrices.accuracy, introduced)
    values = {
        "aaa": found.average,
        "at": found.average_transfer,
        "mt": found.maximal_transfer,
        "a_mre": incremental_summary(matrices.error, introduced, errors=True).average,
    }
    values |= {
        f"aaa/{name}": value for name, value in zip(names, matrices.accuracy[-1], strict=True)
    }
    values |= {
        f"a_mre/{name}": value for name, value in zip(names, matrices.error[-1], strict=True)
    }
    return {name: float(value) for name, value in values.items() if not math.isnan(value)}


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Computes the paper's measures.

    triples/pck is over the old keypoints of the triples that the protocol states, after the last
    step: what KA-Net can change. It is measured of all variants but those with other triples.
    """
    found = summary(matrices_of(job, data, predictions), data.introduced, data.skeleton.names)
    count = job.config.association.triples  # in use in each step
    targets = {triple.old for step in data.protocol.steps for triple in step.triples[:count]}
    values = [found[f"aaa/{name}"] for name in sorted(targets) if f"aaa/{name}" in found]
    if values and job.variant not in OTHER_TRIPLES:
        found["triples/pck"] = float(np.mean(values))
    return found


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions after the last step, and writes accuracy_matrix.csv and the losses of the
    last step, whose training has a folder of its own.
    """
    last = len(data.protocol.steps) - 1
    draw_predictions(
        outcome,
        data.evaluation,
        job.folder / IMAGES / "last_step.png",
        predictions.get(f"step_{last}"),
    )
    if jax.process_index():
        return
    stage = f"{job.variant}_step_{last}"
    log = job.preset_folder / "stages" / stage / f"seed-{job.seed}" / "metrics.jsonl"
    if log.exists():
        write_text(job.folder / log.name, log.read_text())
    config, names, matrices = job.config, data.skeleton.names, matrices_of(job, data, predictions)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [
            (
                "step",
                "keypoint",
                "introduced_in",
                f"pck_at_{config.pck_threshold:g}",
                f"error_in_{config.error_in}",
            ),
            *(
                (
                    step,
                    names[k],
                    data.introduced[k],
                    f"{matrices.accuracy[step, k]:.6f}",
                    f"{errors[k]:.4f}",
                )
                for step, errors in enumerate(matrices.error)
                for k in np.argsort(data.introduced, kind="stable")
                if not np.isnan(errors[k])
            ),
        ]
    )
    write_text(job.folder / "accuracy_matrix.csv", text.getvalue())


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the paper's measures, and those of KA-Net."""
    threshold = (
        f"{100 * config.pck_threshold:g} %"
        if config.pck_threshold < 1
        else f"{config.pck_threshold:g}"
    )
    unit = "px" if config.error_in == "pixels" else f"in {config.data.scale_is}"
    return (
        Column("aaa", f"AAA at {threshold} of {config.data.scale_is}", "%", 100.0, 1),
        Column("at", "AT", "%", 100.0, 2),
        Column("mt", "MT", "%", 100.0, 2),
        Column("a_mre", "A-MRE", unit, 1.0, 2, "lower"),
        Column("triples/pck", f"old points of triples at {threshold}", "%", 100.0, 1),
        Column("association/ka_net", f"KA-Net at {threshold}", "%", 100.0, 1),
        Column("association/teacher", "its teacher", "%", 100.0, 1),
        *(
            Column(f"association/step_1/{old}/{name}", f"{title}, {old} in step 1", "%", 100.0, 2)
            for old in [OLD_IN_STEP_1.get(config.data.protocol)]
            if old
            for name, title in (("ka_net", "KA-Net"), ("teacher", "its teacher"))
        ),
        *(
            [Column("association/left_out", "triples left out", "%", 100.0, 0, "lower")]
            if config.association.old_label_gate
            else []
        ),
        Column("association/copy_rate", "errors copied", "%", 100.0, 1, "lower"),
        Column("association/copy_rate_by_chance", "by chance", "%", 100.0, 1, "lower"),
    )
