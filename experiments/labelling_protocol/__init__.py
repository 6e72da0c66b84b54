"""Which pictures to label next: the criteria of `python -m experiments suggest` against chance and diversity.

Command   python -m experiments.labelling_protocol mouse --variants all --seeds 3    (1 CPU core, 20 s for each row)
          python -m experiments.labelling_protocol faces --variants all --seeds 3
Expected  differences.md beside the report: each row less `random` and less `diversity`, with an interval

A network learns from `first_labels` pictures that the seed draws from the training split. It looks at all others, whose
labels it does not see; a row takes `more_labels` of them by its criterion. A new network learns from both, from the
same random weights in every row and for equally many steps, and is measured on the fixed test split. So rows of one
seed differ in nothing but in what they chose, and are compared seed by seed.
"""
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data.prepared import open_source
from experiments import supervised
from experiments.command_line import Experiment, Job, jobs_of, preset_folder, read_command, run_folder
from experiments.command_line import run as run_command
from experiments.domains import decoded_once, open_domain
from experiments.keypoint_errors import keypoint_errors
from experiments.labelling_protocol.choosing import Seen, chosen_by, measures, picture_errors, usual_diagonal
from experiments.labelling_protocol.config import PRESETS, VARIANTS, Config
from experiments.labelling_protocol.differences import differences
from experiments.run_records import begin, finished_before, identity_of, stored_run
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.files import strict, write_text
from kpjax.images.transforms import Letterbox, Transform
from kpjax.input.source import Source, labelled_subset, stacked, subset
from kpjax.input.stream import stream
from kpjax.reports.finished_runs import read_run
from kpjax.reports.table import Column
from kpjax.structures import Method, Skeleton, Trained
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, fit
from kpjax.training.run_folder import write_results
from kpjax.training.stages import stage
from kpjax.training.trees import save_trained

NAME = "labelling_protocol"


# Pictures and networks


@functools.lru_cache(maxsize=2)
def open_sets(config: Config, seed: int, data_dir: Path) -> tuple[Source, Source]:
    """(training pictures, test pictures), all with labels. Drawn figures depend on the seed, prepared sets do not."""
    if config.dataset.startswith(("figures:", "bodies:")):
        drawn = open_domain(config.dataset, side=config.image_size, seed=seed, data_dir=data_dir,
                            train=config.training_examples, test=config.test_examples)
        return drawn.train, drawn.test
    transform = Letterbox(config.image_size)
    train, test = (decoded_once(open_source(config.dataset, split, data_dir=data_dir, transform=transform))
                   for split in ("train", "test"))
    return train, test


def build(config: Config, skeleton: Skeleton) -> Method:
    """The method by which every network of the protocol learns."""
    return supervised.build(config, skeleton, "supervised_mse" if config.loss == "mse" else "supervised")


def trained_on(job: Job, source: Source, folder: Path, *, seed: int, identity: Mapping[str, Any]) -> Fitted:
    """A network that learnt from all of a source, from random weights that depend on nothing but `seed`."""
    config = job.config
    labelled = stream(source, batch_size=config.batch_size, seed=seed, repeats=True,
                      process_index=jax.process_index(), process_count=jax.process_count())
    return fit(build(config, source.skeleton), {"labelled": labelled}, steps=config.steps, key=jax.random.key(seed),
               stage="labelling", folder=folder, config=identity)


def first_network(job: Job, pool: Source, numbers: np.ndarray, name: str, seed: int) -> Trained:
    """A network that learnt from the first labels; all rows of a seed share it."""
    identity = strict(asdict(job.config)) | {"labelled": pool.digest, "numbers": numbers.tolist(), "seed": seed}
    source = subset(pool, numbers)
    return stage(preset_folder(job.workdir, NAME, job.preset), name, job.seed, config=identity,
                 run=lambda place: trained_on(job, source, place, seed=seed, identity=identity)).trained


def look(job: Job, pool: Source, labelled: np.ndarray, hidden: Source, *, second: bool) -> Seen:
    """The predictions of a network that learnt from the pictures `labelled` on those that are hidden."""
    config, method = job.config, build(job.config, pool.skeleton)
    size = 2 * config.batch_size
    trained = first_network(job, pool, labelled, "first", job.seed)
    others = None
    if second:
        other = first_network(job, pool, labelled, "second", job.seed + 1_000_000)
        others = predict_source(method, other, hidden, batch_size=size).keypoints
    examples = stacked([pool[number] for number in labelled])
    template = stacked([hidden[number] for number in range(len(hidden))])
    run = jax.jit(method.predict)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blank = template._replace(image=images, keypoints=np.zeros_like(template.keypoints),
                                  visible=np.zeros_like(template.visible))
        parts = [run(trained, jax.tree.map(lambda field, first=first: field[first:first + size], blank))
                 for first in range(0, len(images), size)]
        return (np.concatenate([np.asarray(part.keypoints) for part in parts]),
                np.concatenate([np.asarray(part.scores) for part in parts]))

    found = predict_source(method, trained, hidden, batch_size=size)
    return Seen(examples, template.image, found, predict, others, usual_diagonal(examples.keypoints, examples.visible))


# A run


def run(job: Job) -> None:
    """One row of one seed: chooses, learns anew, measures; a finished run is left as it is."""
    folder, config = run_folder(job, NAME), job.config
    if finished_before(folder, job):
        return
    pool, test = open_sets(config, job.seed, job.data_dir)
    split = labelled_subset(pool, count=config.first_labels, seed=job.seed, need_unlabelled=True)
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}; {config.first_labels} labels, "
          f"{config.more_labels} more of {len(split.rest)}")
    seen = look(job, pool, split.labelled, subset(pool, split.rest),
                second=job.variant.startswith("disagreement"))
    chosen, values = chosen_by(job.variant, seen, config.more_labels, job.seed)
    numbers = np.concatenate([split.labelled, split.rest[chosen]])
    identity = identity_of(job, labelled_digest=split.digest, numbers=numbers.tolist())
    begin(folder, identity, pool.skeleton)
    fitted = trained_on(job, subset(pool, numbers), folder, seed=job.seed, identity=identity)
    method = build(config, pool.skeleton)
    found = predict_source(method, fitted.trained, test, batch_size=2 * config.batch_size)
    told = measures(seen, chosen, values)
    told |= {"test/error": float(np.nanmean(picture_errors(found))) / seen.diagonal}
    told |= keypoint_errors(found, pool.skeleton, "test", threshold=config.pck_threshold)
    if jax.process_index() == 0:
        shown = chosen[:24]
        write_png(folder / "images" / "chosen.png", prediction_sheet(
            seen.images[shown], seen.found.keypoints[shown], seen.found.scores[shown], pool.skeleton,
            true=seen.found.true_keypoints[shown], visible=seen.found.visible[shown]))
        save_trained(folder / "model", fitted.trained)
        write_results(folder, experiment=NAME, preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=fitted.steps, metrics=told, images_per_second=fitted.images_per_second,
                      wall_seconds=fitted.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: test/error {told['test/error']:.4f} of the diagonal, chosen/error_ratio "
          f"{told.get('chosen/error_ratio', math.nan):.2f}, hidden/spearman "
          f"{told.get('hidden/spearman', math.nan):.2f}")


def predictor(folder: Path) -> tuple[Method, int, Transform]:
    """(method, side, place) of a finished run, for predictions on other pictures."""
    config, _, points = stored_run(folder, Config)
    return build(config, points), config.image_size, Letterbox(config.image_size)


# Tables


def columns(config: Config) -> tuple[Column, ...]:
    """The error after labelling, then what was chosen."""
    return (Column("test/error", "mean error in usual diagonals", "%", 100.0, 2, "lower"),
            Column("test/pck", f"PCK at {100 * config.pck_threshold:g} % of {config.scale_is}", "%", 100.0, 1),
            Column("hidden/spearman", "rank correlation with the true error", "", 1.0, 2),
            Column("chosen/error_ratio", "error of the chosen over that of all", "", 1.0, 2),
            Column("chosen/bad_share", "chosen with an error above 10 %", "%", 100.0, 0))


EXPERIMENT = Experiment(
    NAME, "which pictures to label next: criteria against chance and diversity", PRESETS, VARIANTS,
    short_list=lambda preset, config: ("random", "diversity", "score_diverse", "equivariance_diverse"),
    applicable=lambda preset, config: tuple(VARIANTS), shortened=lambda config, steps: replace(config, steps=steps),
    run=run, columns=columns, paper=lambda preset, config, variant: {})


def main(arguments: Sequence[str]) -> Path:
    """The rows, their report, and the table of differences beside it, whose path it returns."""
    report = run_command(EXPERIMENT, arguments)
    folders = {(job.variant, job.seed): run_folder(job, NAME) for job in jobs_of(read_command(EXPERIMENT, arguments))}
    errors = {key: 100 * read_run(folder).metrics["test/error"] for key, folder in folders.items()
              if (folder / "results.json").exists()}
    made, path = differences(errors, "mean error, percent of the usual diagonal"), report.with_name("differences.md")
    write_text(path, made + "\n")
    print(f"\n{made}\n\n{path}")
    return path
