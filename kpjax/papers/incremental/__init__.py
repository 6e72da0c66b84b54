"""Incremental keypoint learning (KAMP, arXiv 2503.20248): new keypoints for a trained model whose
data are gone.

A protocol (`protocols/*.json`) lists the keypoints of each step and the images on which they are
labelled. Step 0 is the base, which all variants of a seed share. Each later step learns from the
labels of its own keypoints on its own images: no image and no label of another step. Labels of old
keypoints are read by the final evaluation, by the report of KA-Net beside its teacher, and by the
flag `old_label_gate`, which no preset sets. Variants with KA-Net spend a fifth of a step's
optimizer steps on it, or `ka_steps`; the others train so much longer. After every step all known
keypoints are evaluated on all test images. This is a row of the matrix from which AAA, AT, MT and
A-MRE are computed.

`self_training` is the control: the old model's own points in place of KA-Net's. `ksd_only_short` is
distillation for the steps that KA-Net leaves its student. `kamp_true_points` is the ceiling: the
true old points in place of KA-Net's, which it reads from labels that the setting does not have.
`--triples 2` gives a step two tasks, each with a KA-Net of its own; l_KA is their mean. Every variant has a
weight of its own, chosen once on the protocol of the preset `demo_tuning`. AT above 0 is no mark of
KA-Net: a well weighted distillation has it.
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
from kpjax.evaluation.metrics import nme
from kpjax.files import read_json, write_text
from kpjax.papers.engine import (
    IMAGES,
    Job,
    Outcome,
    Paper,
    Predicting,
    draw_predictions,
    with_training,
)
from kpjax.papers.incremental import steps as stages
from kpjax.papers.incremental.association import associate, over_triples
from kpjax.papers.incremental.config import SYNTHETIC, Config
from kpjax.papers.incremental.steps import Data, Run
from kpjax.papers.incremental.variants import VARIANTS, build_base, setting_of
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered

SCORE_KIND = "mse_peak"


def run_of(job: Job, data: Data) -> Run:
    """Returns a variant of one seed with what its stages share."""
    return Run(
        job,
        data,
        setting_of(job.config, data.skeleton, mirrored=data.protocol.mirrored),
        VARIANTS[job.variant].recipe,
    )


def train(job: Job, data: Data) -> Outcome:
    """Trains all steps of the protocol; the evaluation images are predicted after each."""
    run, steps = run_of(job, data), len(data.protocol.steps)
    joint = run.recipe.base == "joint"
    known, memory = stages.learn_first(run)
    seconds, images, metrics, predictions = known.wall_seconds, known.images, {}, {}
    for step in range(1, 1 if joint else steps):
        predictions[f"step_{step - 1}"] = run.predicted(known, data.evaluation)
        first = associate(run, known, step, predictions[f"step_{step - 1}"])
        known, memory = stages.learn_step(run, (known, memory), step, first)
        metrics |= first.metrics
        seconds += first.wall_seconds + known.wall_seconds
        images += first.images + known.images
    metrics |= over_triples(metrics)
    # A table compares variants of equal training: KA-Net's steps count, and every variant has seen
    # the base.
    return Outcome(
        run.evaluation_method,
        known.trained,
        job.config.base_steps + run.recipe.later_steps(job.config) * (steps - 1),
        known.images_per_second,
        seconds,
        metrics,
        predictions,
        images,
    )


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
        accuracy[step] = stages.accuracies(found, config.pck_threshold)
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
    if values and VARIANTS[job.variant].recipe.triples != "random":
        found["triples/pck"] = float(np.mean(values))
    return found


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions after the last step, and writes accuracy_matrix.csv."""
    draw_predictions(
        outcome,
        data.evaluation,
        job.folder / IMAGES / "last_step.png",
        predictions.get(f"step_{len(data.protocol.steps) - 1}"),
    )
    if jax.process_index():
        return
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


def lengths(config: Config, variant: str) -> dict[str, float]:
    """Returns the steps of step 0, which variants share, and of all later ones together."""
    recipe = VARIANTS[variant].recipe
    later = recipe.later_steps(config) * (len(read_json(config.data.protocol_path())["steps"]) - 1)
    if recipe.base == "joint":
        return {variant: config.base_steps + later}
    return {recipe.base: config.base_steps, variant: later}


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
            [Column("association/left_out", "triples left out", "%", 100.0, 0, "lower")]
            if config.association.old_label_gate
            else []
        ),
        Column("association/copy_rate", "errors copied", "%", 100.0, 1, "lower"),
        Column("association/copy_rate_by_chance", "by chance", "%", 100.0, 1, "lower"),
    )


PAPER = Paper(
    "incremental",
    "new keypoints for a trained model whose data are gone",
    SYNTHETIC,
    with_training(VARIANTS, train, lengths),
    # earlier steps: see `train`
    lambda job, data: {f"step_{len(data.protocol.steps) - 1}": data.evaluation},
    measure,
    columns,
    predicting=lambda stored: Predicting(
        build_base(setting_of(stored.config, stored.skeleton), "base", stored.config.base_steps),
        stored.config.data.square_of_new(),
        SCORE_KIND,
    ),
    short_list=lambda preset, config: ("finetune", "ksd_only", "kamp", "joint"),
    applicable=lambda preset, config: tuple(VARIANTS),
    draw=draw,
)
