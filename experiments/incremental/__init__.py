"""Incremental keypoint learning (KAMP, arXiv 2503.20248): new keypoints for a trained model whose data are gone.

Command   python -m experiments.incremental demo              (2 CPU cores, about 10 minutes, draws its own data)
          python -m experiments.incremental demo --variants all --seeds 3
          python -m experiments.incremental own --old RUN --project P         (new keypoints for one's own run)
          python -m experiments.incremental.tuning --variants all                 (chooses the weights of the demo)
          python -m experiments.incremental mpii --imagenet hrnet_w32.pth --seeds 3                      (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in every report

A protocol (protocols/*.json) says which keypoints come in which step, and on which pictures they are labelled. Step 0
is the base, which all variants of a seed share. In each later step the labels of its keypoints on its pictures are all
that there is: no picture and no label of another step. Rows with KA-Net spend a fifth of a step's optimizer steps on
it; the others train so much longer. After every step all known keypoints are tested on all test pictures, which makes a
row of the matrix that AAA, AT, MT and A-MRE are read from.

`mse_distillation` and `self_training` are the controls: squared errors in place of the spatial distillation, and the
old model's own arg-max in place of KA-Net's. Every row has a weight of its own, chosen once on another protocol, by
`experiments.incremental.tuning`; AT above 0 is no mark of KA-Net, for a well weighted distillation has it, too.
"""
from dataclasses import asdict, replace
from pathlib import Path

import jax
import numpy as np

from experiments.command_line import Experiment, Job, run_folder
from experiments.incremental.associations import associate
from experiments.incremental.config import PRESETS, Config, OwnConfig
from experiments.incremental.material import open_material, pictures_of
from experiments.incremental.measures import (
    Matrices,
    accuracies,
    both_units,
    judged,
    matrix_csv,
    stacked_rows,
    summary,
)
from experiments.incremental.methods import build, build_base
from experiments.incremental.old_model import MAPS
from experiments.incremental.own import old_and_new, open_own, settled
from experiments.incremental.parts import Setting
from experiments.incremental.published import paper_numbers
from experiments.incremental.steps import NAME, Known, Run, learn_base, learn_jointly, learn_step, open_run
from experiments.incremental.variants import RECIPES, VARIANTS, alpha_of, steps_of, weights_of
from experiments.own_project import is_own
from experiments.picture_splits import place_of
from experiments.prediction_pictures import draw_predictions
from experiments.run_records import begin, finished_before, identity_of, stored_run
from experiments.scores import write_scores
from kpjax.drawing.accuracy_matrix import accuracy_matrix
from kpjax.drawing.overlays import write_png
from kpjax.files import make_folder, write_text
from kpjax.images.transforms import Place
from kpjax.reports.table import Column
from kpjax.structures import Method
from kpjax.training.evaluation import predict_source
from kpjax.training.run_folder import write_results
from kpjax.training.trees import save_trained


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config = run_folder(job, NAME), job.config
    if finished_before(folder, job):
        return
    material = open_own(config) if is_own(config) else open_material(config, job.seed, job.data_dir)
    this = open_run(job, material)
    begin(folder, identity_of(job, protocol_digest=material.protocol.digest), material.skeleton)
    weights = weights_in_words(config, job.variant)
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}; {len(material.protocol.steps)} steps"
          + "".join(f", {name} {value:g}" for name, value in weights.items()))
    known, rows, values = learn_all(this)
    matrices = stacked_rows(rows, len(material.skeleton.names))
    values |= summary(matrices, material.introduced, material.skeleton.names)
    if is_own(config):
        values |= old_and_new(matrices, material.introduced)
        write_scores(folder, this.judge, known.trained, material.labelled, batch_size=2 * config.batch_size,
                     kind=MAPS)
    values |= {f"weight/{name}": value for name, value in weights.items()}
    draw_predictions(this.judge, known.trained, material.judge, folder / "pictures" / "last_step.png")
    if jax.process_index() == 0:
        write_matrix(folder, this, matrices)
        save_trained(folder / "model", known.trained)
        # A table compares rows of equal training: KA-Net's steps count, and every row has seen the base.
        later = steps_of(config, job.variant).later * (len(material.protocol.steps) - 1)
        write_results(folder, experiment=NAME, preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=config.base_steps + later, metrics=values, images_per_second=known.images_per_second,
                      wall_seconds=known.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: " + ", ".join(
        f"{name} {values[name]:.3f}" for name in ("aaa", "at", "mt", "a_mre", "new/pck", "old/pck") if name in values))


def learn_all(this: Run) -> tuple[Known, list, dict[str, float]]:
    """All steps of a protocol: what is known in the end, a row of the matrices for each step, and more measurements."""
    material, config = this.material, this.config
    steps, values = len(material.protocol.steps), {}

    def row(known: Known, step: int):
        return judged(this.judge, known.trained, material.judge, config, material.introduced <= step)

    if this.job.variant == "joint":
        known = learn_jointly(this)
        return known, [None] * (steps - 1) + [row(known, steps - 1)], values
    known = learn_base(this)
    rows, seconds = [row(known, 0)], known.wall_seconds
    for step in range(1, steps):
        first = associate(this, known, step, rows[-1])
        method = build(this.setting, this.job.variant, first.network, first.inputs)
        before, known = known, learn_step(this, known, step, first.planned, method, first.start, first.parents)
        rows.append(row(known, step))
        values |= first.metrics
        if config.held_out:
            values |= without_old_labels(this, before, known, step)
        seconds += first.wall_seconds + known.wall_seconds
    if config.held_out and steps > 1:
        values["label_free"] = float(np.mean([
            values[f"label_free/step_{step}/{name}"] for step in range(1, steps) for name in ("new", "agreement")]))
    return known._replace(wall_seconds=seconds), rows, values


def without_old_labels(this: Run, before: Known, after: Known, step: int) -> dict[str, float]:
    """What a person without old labels can measure on pictures held out from a step, at the first threshold: the
    accuracy of new keypoints, and on how many old ones the new model agrees with the old one."""
    config, introduced = this.config, this.material.introduced
    held_out = pictures_of(this.material, step, config.held_out).held_out
    found, earlier = (predict_source(this.judge, known.trained, held_out, batch_size=2 * config.batch_size)
                      for known in (after, before))
    new = accuracies(found, config.pck_thresholds)[0, introduced == step]
    as_before = found._replace(true_keypoints=earlier.keypoints)
    shown = np.ones_like(found.visible) * (introduced < step)
    old = accuracies(as_before, config.pck_thresholds, visible=shown)[0, introduced < step]
    return {f"label_free/step_{step}/new": float(np.nanmean(new)),
            f"label_free/step_{step}/agreement": float(np.nanmean(old))}


def weights_in_words(config: Config, variant: str) -> dict[str, float]:
    """The weights of a row's terms; those of spatial distillation in both of its units."""
    weights = weights_of(config, variant, 1)
    if RECIPES[variant].triples or variant == "ksd_only":
        weights.pop("association", None)
        weights.pop("distillation")
        units = both_units(alpha_of(config, variant), config.reduction, config.heatmap_size)
        weights |= {f"alpha_{unit}": value for unit, value in units.items()}
    return weights


def write_matrix(folder: Path, this: Run, matrices: Matrices) -> None:
    """accuracy_matrix.csv with every number, and a picture of the matrix at each of the two thresholds."""
    names, introduced = this.material.skeleton.names, this.material.introduced
    make_folder(folder / "pictures")
    write_text(folder / "accuracy_matrix.csv", matrix_csv(matrices, introduced, names, this.config))
    titles = ["base"] + [f"step {step}" for step in range(1, len(matrices.error))]
    for threshold, accuracy in zip(this.config.pck_thresholds, matrices.accuracy, strict=True):
        write_png(folder / "pictures" / f"accuracy_matrix_at_{threshold:g}.png",
                  accuracy_matrix(accuracy, introduced, names, titles, low=0.0, high=1.0))


def predictor(folder: Path) -> tuple[Method, int, Place]:
    """(method, side, place) of a finished run, for predictions on other pictures: letterboxed, or cut out by
    their boxes if that is what the run learnt from."""
    config, _, points = stored_run(folder, Config, OwnConfig)
    method = build_base(Setting(config, points, False), "base", config.base_steps)
    placement = config.placement if config.placement == "around_box" else "letterbox"
    return method, config.image_size, place_of(replace(config, placement=placement, pck_over="scale"))


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    return MAPS


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if is_own(config):
        return ("mse_distillation", "kamp") if config.control else ("kamp",)
    return ("finetune", "ksd_only", "mse_distillation", "self_training", "kamp", "kamp_rerendered", "joint")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows that make sense for a preset: without the old pictures there are no importances, and no bound."""
    if is_own(config):
        return tuple(name for name in VARIANTS if not RECIPES[name].memory and name != "joint")
    return tuple(VARIANTS)


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps in each later step, and the base scaled alike."""
    return replace(config, steps=steps, base_steps=max(1, round(config.base_steps * steps / config.steps)))


def columns(config: Config) -> tuple[Column, ...]:
    """The paper's measures, at both thresholds, and whether KA-Net knows more than its teacher."""
    first, second = (f"{100 * threshold:g} %" if config.error_in == "pixels" or threshold < 1 else f"{threshold:g}"
                     for threshold in config.pck_thresholds)
    if is_own(config):
        return (Column("new/pck", f"PCK of new points, {first} of {config.scale_is}", "%", 100.0, 1),
                Column("old/pck", "of old points (labels, or the old model's answers)", "%", 100.0, 1),
                Column("old/pck_before", "before", "%", 100.0, 1), Column("at", "AT", "%", 100.0, 2),
                Column("a_mre", "A-MRE", "px", 1.0, 2, "lower"))
    unit = "px" if config.error_in == "pixels" else f"in {config.scale_is}"
    return (Column("aaa", f"AAA at {first} of {config.scale_is}", "%", 100.0, 1), Column("at", "AT", "%", 100.0, 2),
            Column("mt", "MT", "%", 100.0, 2), Column("second/aaa", f"AAA at {second}", "%", 100.0, 1),
            Column("second/at", f"AT at {second}", "%", 100.0, 2), Column("a_mre", "A-MRE", unit, 1.0, 2, "lower"))


EXPERIMENT = Experiment(
    NAME, "new keypoints for a trained model whose data are gone", PRESETS, VARIANTS, short_list, applicable, shortened,
    run, columns, settled=settled, paper=lambda preset, config, variant: paper_numbers(preset, variant))
