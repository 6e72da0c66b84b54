"""Choice of the images to label next: the criteria of `python -m experiments suggest` against chance and diversity.

Command   python -m experiments labelling_protocol mouse --variants all --seeds 3    (1 CPU core, 20 s for each variant)
          python -m experiments labelling_protocol faces --variants all --seeds 3
Expected  differences.md beside the report: each variant less `random` and less `diversity`, with an interval

A network learns from `first_labels` images that the seed draws from the training split. It predicts all others, whose
labels it does not see; a variant takes `more_labels` of them by its criterion. A new network learns from both, from the
same random weights in every variant and for equally many steps, and is evaluated on the fixed test split. So variants
of one seed differ in nothing but their choice, and are compared seed by seed.
"""
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from scipy import stats

from experiments import supervised
from experiments.engine.command_line import read_command
from experiments.engine.command_line import run as run_command
from experiments.engine.configs import changed, config_as_json
from experiments.engine.image_sets import ImageSet
from experiments.engine.keypoint_errors import keypoint_errors
from experiments.engine.parsing import exit_code_of
from experiments.engine.predictors import as_function
from experiments.engine.system import IMAGES, Job, Outcome, System, Variant, fit_sources, outcome_of
from experiments.engine.tables import over_seeds
from kpjax import Example, Method, Skeleton, Trained
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.files import write_text
from kpjax.input.source import Source, labelled_subset, stacked, subset
from kpjax.reports.table import Column, markdown, read_run
from kpjax.suggest import criteria
from kpjax.suggest.equivariance import Predict, predicted_under, turns
from kpjax.suggest.labelled_statistics import diagonals
from kpjax.suggest.selection import choose, thumbnail
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted

BAD = 0.1  # of the usual diagonal: an image whose mean error is larger is a bad one
CONTROLS = ("random", "diversity")


@dataclass(frozen=True)
class Config(supervised.Config):
    """All that a run depends on besides its seed: how networks learn, and how many labels there are."""

    first_labels: int = 16
    more_labels: int = 16
    loss: Literal["mse", "kl"] = "mse"  # between heatmaps; the score says more with mse
    selection: Literal["last"] = "last"  # nobody with 16 labels has others to choose a checkpoint by


SMALL = changed(Config("", ImageSet(transform="letterbox", pck_over="scale")), image_size=64, heatmap_size=32,
                sigma=1.0, widths=(16, 32, 32, 64), steps=500)
PRESETS: dict[str, Config] = {
    "demo": changed(
        SMALL, summary="synthetic people; 2 cores, a minute", train="figures:target", scale_is="the image's side",
        pck_threshold=0.05, heatmap_size=16, steps=200, rotation=30.0, zoom=(0.9, 1.2), shift=0.05,
        training_examples=200, test_examples=100),
    "mouse": changed(
        SMALL, summary="a mouse from above, or any prepared DeepLabCut project of one animal; one core, minutes",
        train="deeplabcut/train", test="deeplabcut/test", scale_is="the labelled body's diagonal"),
    "faces": changed(
        SMALL, summary="68 keypoints of faces in videos; one core, minutes", train="youtube_faces/train",
        test="youtube_faces/test", scale_is="the distance between the eyes", widths=(16, 32, 64, 64, 128),
        rotation=30.0, flip=True, steps=400),
}
MEANING = {
    "score": "the lowest mean score", "equivariance": "the largest error under turning and scaling",
    "poses": "the pose that is least like the labelled ones",
    "disagreement": "the largest difference between two networks", "oracle": "the largest true error"}
VARIANTS = {"random": Variant("control", "drawn by chance"),
            "diversity": Variant("control", "images that look least like those with labels")}
for _name, _line in MEANING.items():
    _oracle = "oracle" if _name == "oracle" else ""
    VARIANTS[f"{_name}_diverse"] = Variant(_oracle or "method", f"{_line}, of the best those that look least alike")
    VARIANTS[_name] = Variant(_oracle or "ablation", f"{_line}, as it comes")


# Criteria


class Seen(NamedTuple):
    """All that a criterion may read."""

    labelled: Example  # the first images, stacked
    images: np.ndarray  # (N, S, S, 3) uint8, those without labels
    found: Gathered  # predictions of the first network on them
    predict: Predict
    others: np.ndarray | None  # (N, K, 2), predictions of a second network
    diagonal: float  # px, the median of the labelled images


def image_errors(found: Gathered) -> np.ndarray:
    """Computes (N,) px: the mean distance of an image's visible keypoints; nan without one."""
    seen = found.visible > 0
    distance = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    return np.where(seen.any(-1), (distance * seen).sum(-1) / np.maximum(seen.sum(-1), 1), np.nan)


def values_of(criterion: str, seen: Seen) -> np.ndarray:
    """Computes (N,): how much each image would teach by a criterion. `oracle` alone reads its labels."""
    points = seen.found.keypoints
    if criterion == "score":
        return criteria.low_score(seen.found.scores)
    if criterion == "oracle":
        return image_errors(seen.found)
    if criterion == "disagreement":
        return criteria.disagreement(np.stack([points, seen.others]), seen.diagonal)
    if criterion == "poses":
        poses = criteria.usual_poses(seen.labelled.keypoints, seen.labelled.visible)
        return np.zeros(len(points)) if poses is None else criteria.unusual_pose(points, poses, seen.diagonal)
    back, counted = predicted_under(seen.predict, seen.images, points, turns(seen.images.shape[1]))
    return criteria.equivariance_error(points, back, counted, seen.diagonal)


def chosen_by(variant: str, seen: Seen, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns (numbers of the hidden images that a variant takes, the values by which it does)."""
    if variant == "random":
        return np.random.default_rng([seed, 1]).permutation(len(seen.images))[:count], None
    features, taken = (np.stack([thumbnail(image) for image in images])
                       for images in (seen.images, seen.labelled.image))
    values = None if variant == "diversity" else values_of(variant.removesuffix("_diverse"), seen)
    return choose(values, features, count, diverse=variant.endswith("_diverse"), taken=taken), values


def measures(seen: Seen, chosen: np.ndarray, values: np.ndarray | None) -> dict[str, float]:
    """Measures how bad the first network was on the chosen images, and how well the criterion knew."""
    errors = image_errors(seen.found) / seen.diagonal
    measured = np.isfinite(errors)
    picked = errors[chosen][measured[chosen]]
    found = {"hidden/error": float(errors[measured].mean()), "hidden/bad_share": float((errors[measured] > BAD).mean())}
    if len(picked):
        found |= {"chosen/error_ratio": float(picked.mean()) / found["hidden/error"],
                  "chosen/bad_share": float((picked > BAD).mean())}
    if values is not None and np.ptp(errors[known := measured & np.isfinite(values)]) and np.ptp(values[known]):
        found["hidden/spearman"] = float(stats.spearmanr(values[known], errors[known]).statistic)
    return found


# A run


class Data(NamedTuple):
    """Images of one seed and the choice of one variant among them."""

    labelled: Source  # the first and the chosen images
    test: Source
    seen: Seen
    chosen: np.ndarray  # numbers of hidden images
    values: np.ndarray | None  # by which they were chosen
    identity: Mapping[str, Any]

    @property
    def summary(self) -> str:
        return f"{len(self.labelled) - len(self.chosen)} labels, {len(self.chosen)} more of {len(self.seen.images)}"


LEARNT_AS = {"mse": "supervised_mse", "kl": "supervised"}  # the variant of `supervised`, by loss


def build(config: Config, skeleton: Skeleton) -> Method:
    """Builds the method by which every network of the protocol learns."""
    return supervised.build(config, skeleton, LEARNT_AS[config.loss])


def _trained_on(job: Job, source: Source, folder, config: Mapping[str, Any]) -> Fitted:
    """Trains a network on all of a source, from random weights that depend on nothing but the seed."""
    return fit_sources(job, build(job.config, source.skeleton), {"labelled": source}, steps=job.config.steps,
                       batch_size=job.config.batch_size, stage="labelling", folder=folder, config=config)


def look(job: Job, pool: Source, labelled: np.ndarray, hidden: Source) -> Seen:
    """Predicts the hidden images with a network that learnt from the images `labelled`."""
    method, size = build(job.config, pool.skeleton), 2 * job.config.batch_size

    def network(name: str, seed: int) -> Trained:  # one for all variants of a seed
        config = config_as_json(job.config) | {"labelled": pool.digest, "numbers": labelled.tolist(), "seed": seed}
        return job.stage(name, lambda folder: _trained_on(
            job._replace(seed=seed), subset(pool, labelled), folder, config), config=config).trained

    trained, others = network("first", job.seed), None
    if job.variant.startswith("disagreement"):
        others = predict_source(method, network("second", job.seed + 1_000_000), hidden, batch_size=size).keypoints
    run = as_function(method, trained)

    def predict(images: np.ndarray) -> tuple[np.ndarray, ...]:
        parts = [run(images[first:first + size]) for first in range(0, len(images), size)]
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    examples, unseen = (stacked([source[number] for number in range(len(source))])
                        for source in (subset(pool, labelled), hidden))
    return Seen(examples, unseen.image, predict_source(method, trained, hidden, batch_size=size), predict, others,
                float(np.nanmedian(diagonals(examples.keypoints, examples.visible))))


def open_data(job: Job) -> Data:
    """Opens the images and chooses those to label, by a network that learnt from the first labels."""
    # No image validates here, so all of the training split is there to choose from.
    images = replace(job.config.data, validation=job.config.data.test).open(job.seed, job.data_dir)
    pool = images.train
    split = labelled_subset(pool, count=job.config.first_labels, seed=job.seed, need_unlabelled=True)
    seen = look(job, pool, split.labelled, subset(pool, split.rest))
    chosen, values = chosen_by(job.variant, seen, job.config.more_labels, job.seed)
    numbers = np.concatenate([split.labelled, split.rest[chosen]])
    return Data(subset(pool, numbers), images.test, seen, chosen, values,
                {"labelled_digest": split.digest, "numbers": numbers.tolist()})


def train(job: Job, data: Data) -> Outcome:
    """Trains the new network."""
    return outcome_of(build(job.config, data.labelled.skeleton),
                      _trained_on(job, data.labelled, job.folder, job.identity(**data.identity)))


def measure(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Measures the choice, and the new network on test images."""
    error = float(np.nanmean(image_errors(predictions["test"]))) / data.seen.diagonal
    return {"test/error": error, **measures(data.seen, data.chosen, data.values), **keypoint_errors(
        predictions["test"], outcome.method.skeleton, "test", threshold=job.config.pck_threshold)}


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws the first network's predictions on chosen images."""
    shown, found = data.chosen[:24], data.seen.found
    if jax.process_index() == 0:
        write_png(job.folder / IMAGES / "chosen.png", prediction_sheet(
            data.seen.images[shown], found.keypoints[shown], found.scores[shown], outcome.method.skeleton,
            true=found.true_keypoints[shown], visible=found.visible[shown]))


# Tables


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the error after labelling, then the choice."""
    return (Column("test/error", "mean error in usual diagonals", "%", 100.0, 2, "lower"),
            Column("test/pck", f"PCK at {100 * config.pck_threshold:g} % of {config.data.scale_is}", "%", 100.0, 1),
            Column("hidden/spearman", "rank correlation with the true error", "", 1.0, 2),
            Column("chosen/error_ratio", "error of the chosen over that of all", "", 1.0, 2),
            Column("chosen/bad_share", "chosen with an error above 10 %", "%", 100.0, 0))


def interval(differences: Sequence[float]) -> str:
    """Returns "-0.41 [-0.90, +0.08]": the mean and where it lies with a probability of 95 % by Student's t."""
    found = over_seeds(differences)
    return f"{np.mean(differences):+.2f}" + (f" [{found.low:+.2f}, {found.high:+.2f}]" if found else "")


def differences(values: Mapping[tuple[str, int], float], title: str) -> str:
    """Lays out a Markdown table of each variant less each control of the same seed; below 0 is better.

    values: the error by variant and seed, of those runs that are finished.
    """
    lines = []
    for name in dict.fromkeys(name for name, _ in values):
        cells = []
        for control in CONTROLS:
            pairs = [value - values[control, seed] for (other, seed), value in values.items()
                     if other == name and (control, seed) in values]
            cells.append("" if name == control else interval(pairs) if pairs else "not run")
        lines.append([name, *cells])
    return markdown([title, *(f"less {control}" for control in CONTROLS)], lines)


SYSTEM = supervised.SYSTEM._replace(
    name="labelling_protocol", summary="which images to label next: criteria against chance and diversity",
    presets=PRESETS, variants=VARIANTS, open=open_data, train=train, measure=measure, columns=columns, draw=draw,
    predicting=lambda stored: supervised.predicting(stored._replace(variant=LEARNT_AS[stored.config.loss])),
    short_list=lambda preset, config: ("random", "diversity", "score_diverse", "equivariance_diverse"),
    applicable=lambda preset, config: tuple(VARIANTS))


def main(arguments: Sequence[str], system: System = SYSTEM) -> Path:
    """Runs the variants and writes the table of differences beside their report. Returns its path."""
    report = run_command(system, arguments)
    errors = {(job.variant, job.seed): 100 * read_run(job.folder).metrics["test/error"]
              for job in read_command(system, arguments).jobs() if (job.folder / "results.json").exists()}
    table, path = differences(errors, "mean error, percent of the usual diagonal"), report.with_name("differences.md")
    write_text(path, table + "\n")
    print(f"\n{table}\n\n{path}")
    return path


if __name__ == "__main__":
    from experiments.commands import labelling_protocol

    raise SystemExit(exit_code_of(lambda: labelling_protocol.main(sys.argv[1:])))
