"""RegDA (Jiang et al., CVPR 2021): keypoints for unlabelled images from labelled ones that look different.

Command   python -m experiments.regda demo            (2 CPU cores, about 4 minutes, draws its own data)
          python -m experiments.regda own --source P --target V ...    (labels on one's own pictures; 2 CPU cores)
          python -m experiments.regda rhd_h3d --imagenet resnet101.safetensors --seeds 3     (one GPU, about a day)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in every report

Two stages. A network learns the source from labels (shared by all variants of a seed). Then each method goes on from
its features with labelled source and unlabelled target batches. `source_only` and `oracle` get the steps of both.
The result of a run is its best checkpoint on *source* validation data; target labels are read by evaluation alone.
"""
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.command_line import Experiment, Job, preset_folder, run_folder
from experiments.decoding import score_kind as kind_of_scores
from experiments.domains import Splits, open_domain
from experiments.networks import imagenet_start
from experiments.own.project import is_own
from experiments.prediction_pictures import draw_predictions
from experiments.regda.config import PRESETS, Config, OwnConfig
from experiments.regda.own import open_own, settled
from experiments.regda.published import PCK, SPRITES_MAE
from experiments.regda.variants import (
    RECIPES,
    VARIANTS,
    Parts,
    build,
    build_supervised,
    parts_of,
    steps_of_both_stages,
)
from experiments.run_records import begin, finished_before, identity_of, stored_run
from experiments.scores import write_scores
from kpjax.errors import InputError
from kpjax.evaluation import metrics
from kpjax.files import strict
from kpjax.heatmaps import keypoint_cells
from kpjax.images.transforms import Letterbox, Transform
from kpjax.input.source import Source
from kpjax.input.stream import stream
from kpjax.reports.table import Column
from kpjax.structures import Method, Trained
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, Select, fit
from kpjax.training.run_folder import write_results
from kpjax.training.stages import stage
from kpjax.training.trees import load_trained, save_trained

ADABN_PASSES = (0, 1, 5)  # over the target; 0 stands for 60 batches
ADABN_BATCHES = 60
# What needs labels of the target, a known area of points, or another kind of heatmap.
NOT_ON_OWN = ("oracle", "constant_centre", "adabn_in_area", "area_ground_false", "source_only_mse")


def evaluate(
    method: Method, state, source: Source, config: Config, name: str, *, details: bool = False
) -> dict[str, float]:
    """PCK and MAE on a source under `name/`; with details also per keypoint and group, and as the authors count."""
    found = predict_source(method, state, source, batch_size=2 * config.batch_size)
    normaliser = found.scale if is_own(config) else np.full(len(found.index), config.image_size, np.float32)
    pck = metrics.pck(found.keypoints, found.true_keypoints, found.visible, normaliser, threshold=config.pck_threshold)
    mae = metrics.mae(found.keypoints, found.true_keypoints, found.visible, config.mae_unit)
    sprites = config.source.startswith("sprites")
    values = {f"{name}/pck": pck.overall, f"{name}/mae": mae.sum.overall if sprites else mae.mean.overall}
    if details:
        values |= metrics.by_keypoint(f"{name}/pck", pck.per_keypoint, method.skeleton)
        values |= metrics.by_group(f"{name}/pck_group", pck.per_keypoint, method.skeleton)
        grid = {"image_size": (config.image_size,) * 2, "heatmap_size": (config.heatmap_size,) * 2, "grid": "index"}
        cells, true_cells = (np.asarray(keypoint_cells(jnp.asarray(points), **grid))
                             for points in (found.keypoints, found.true_keypoints * found.visible[..., None]))
        groups = dict(method.skeleton.groups) or {"all": tuple(range(len(method.skeleton.names)))}
        batchwise = metrics.pck_batchwise(cells, true_cells, map_size=config.heatmap_size, groups=groups)
        values |= {f"{name}/pck_batchwise/{group}": value for group, value in batchwise.items()}
    return values


def pretrained(job: Job, parts: Parts, source: Splits) -> Trained:
    """The first stage, on the source alone, which all variants of a seed share."""
    config, folder = job.config, preset_folder(job.workdir, "regda", job.preset)
    method = build_supervised(parts, steps=config.pretraining_steps, stream="source")

    def train(place: Path) -> Fitted:
        return run_fit(job, method, {"source": source.train}, config.pretraining_steps, place, "pretraining", {},
                       source)

    return stage(folder, "pretraining", job.seed, train, config=strict(asdict(config))).trained


def run_fit(job: Job, method: Method, trains: dict[str, Source], steps: int, folder: Path, name: str, start: dict,
            source: Splits, target_test: Source | None = None) -> Fitted:
    """`fit` with this experiment's evaluation and choice of the result."""
    config = job.config
    read_labels = {"source": True, "labelled": True, "target": config.target_weight == "labels"}
    streams = {
        stream_name: stream(train, batch_size=config.batch_size, seed=job.seed, labelled=read_labels[stream_name],
                            repeats=is_own(config), process_index=jax.process_index(),
                            process_count=jax.process_count())
        for stream_name, train in trains.items()}
    start = start or imagenet_start(
        parts_of(config, method.skeleton).one_head, config.imagenet, image_size=config.image_size, seed=job.seed)

    def measure(state):
        values = evaluate(method, state, source.validation, config, "source_validation")
        return values | (evaluate(method, state, target_test, config, "target") if target_test is not None else {})

    select = {"source_validation": Select("source_validation/pck"), "last": None,
              "target_test": Select("target/pck") if target_test is not None else Select("source_validation/pck"),
              }[config.selection]
    return fit(method, streams, steps=steps, key=jax.random.key(job.seed), stage=name, folder=folder, start=start,
               evaluate=measure, evaluate_every=max(1, steps // config.evaluations), select=select,
               config=identity_of(job))


def fit_statistics(job: Job, method: Method, start: dict, source: Splits, goal: Splits, folder: Path) -> Fitted:
    """The best of 60 batches, the whole target set and five passes over it, chosen on source validation data."""
    per_pass = max(1, len(goal.train) // job.config.batch_size)
    tried = []
    for passes in ADABN_PASSES:
        steps = min(passes * per_pass or ADABN_BATCHES, 10 * job.config.steps)
        tried.append(run_fit(job, method, {"target": goal.train}, steps, folder / f"statistics-{passes}-passes",
                             "statistics", start, source))
    return max(tried, key=lambda fitted: fitted.metrics["source_validation/pck"])


def result_of(job: Job) -> Trained:
    """The result of another variant of the same seed, trained now if it is not there yet."""
    run(job)
    return load_trained(run_folder(job, "regda") / "model")


def open_domains(job: Job) -> tuple[Splits, Splits]:
    """Source and target of one seed. Raises InputError if their keypoints differ."""
    config = job.config
    if is_own(config):
        return open_own(config)
    source, goal = (open_domain(name, side=config.image_size, seed=job.seed, data_dir=job.data_dir,
                                train=config.training_examples, test=config.test_examples,
                                difficulty=config.difficulty) for name in (config.source, config.target))
    if source.train.skeleton.names != goal.train.skeleton.names:
        raise InputError(f"{config.source} has other keypoints than {config.target}; choose two sets of one skeleton")
    return source, goal


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config, recipe = run_folder(job, "regda"), job.config, RECIPES[job.variant]
    if finished_before(folder, job):
        return
    source, goal = open_domains(job)
    parts = parts_of(config, source.train.skeleton)
    method = build(config, parts.skeleton, job.variant)
    start = {}
    if recipe.start == "pretraining":
        start = {"variables": pretrained(job, parts, source).variables}
    elif recipe.start:
        start = {"variables": result_of(job._replace(variant=recipe.start)).variables}
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}")
    begin(folder, identity_of(job), parts.skeleton)
    trains = {"source": source.train, "target": goal.train, "labelled": goal.train}
    if recipe.train == "nothing":
        trained = Trained(start.get("variables", {}), {})
        fitted = Fitted(trained, trained, 0, {}, 0.0, 0.0, 0)
    elif recipe.train == "statistics":
        fitted = fit_statistics(job, method, start, source, goal, folder)
    else:
        steps = config.steps if recipe.train == "adaptation" else steps_of_both_stages(config)
        fitted = run_fit(job, method, {name: trains[name] for name in method.streams}, steps, folder, job.variant,
                         start, source, goal.test)
    values = {f"chosen_by/{name}": value for name, value in fitted.metrics.items() if "validation" in name}
    values |= evaluate(method, fitted.trained, source.test, config, "source", details=True)
    if goal.test is not None:
        values |= evaluate(method, fitted.trained, goal.test, config, "target", details=True)
    shown = goal.train if goal.test is None else goal.test
    draw_predictions(method, fitted.trained, shown, folder / "pictures" / "target.png")
    if is_own(config):
        write_scores(folder, method, fitted.trained, source.validation, batch_size=2 * config.batch_size,
                     kind=score_kind(folder))
    if jax.process_index() == 0:
        save_trained(folder / "model", fitted.trained)
        # A table compares rows of equal training: a method has seen the steps of both its stages.
        steps = steps_of_both_stages(config) if fitted.steps else 0
        write_results(folder, experiment="regda", preset=job.preset, variant=job.variant, seed=job.seed, steps=steps,
                      metrics=values, images_per_second=fitted.images_per_second, wall_seconds=fitted.wall_seconds,
                      config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: " + ", ".join(
        f"{name} {values[name]:.3f}" for name in ("target/pck", "target/mae", "source/pck") if name in values))


def predictor(folder: Path) -> tuple[Method, int, Transform]:
    """(method, side, place) of a finished run, for predictions on other pictures."""
    config, variant, points = stored_run(folder, Config, OwnConfig)
    return build(config, points, variant), config.image_size, Letterbox(config.image_size)


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    return kind_of_scores(getattr(stored_run(folder, Config, OwnConfig).config, "decoder", "argmax"), logits=True)


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if is_own(config):
        return ("source_only", "adabn", "regda") if config.control else ("regda",)
    if config.source.startswith("sprites"):
        return ("source_only", "constant_centre", "adabn", "adabn_in_area", "dd", "regda", "regda_adabn", "oracle")
    return ("source_only", "adabn", "regda", "oracle")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows that make sense for a preset: some need one keypoint in a known area, some several keypoints."""
    if is_own(config):
        return tuple(name for name in VARIANTS if name not in NOT_ON_OWN)
    only_sprites = ("constant_centre", "adabn_in_area")
    sprites = config.source.startswith("sprites")
    return tuple(name for name in VARIANTS
                 if not (name in only_sprites and not sprites) and not (name == "area_ground_false" and sprites))


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps of adaptation and everything else that counts steps scaled alike."""
    factor = steps / config.steps
    return replace(config, steps=steps, pretraining_steps=max(1, round(config.pretraining_steps * factor)),
                   coefficient_steps=max(1, round(config.coefficient_steps * factor)))


def columns(config: Config) -> tuple[Column, ...]:
    """PCK first, except on sprites, where the paper counts the error."""
    if is_own(config):
        over = f"PCK at {100 * config.pck_threshold:g} % of the labelled body's diagonal"
        source = Column("source/pck", f"source, held out: {over}", "%", 100.0, 1, "higher")
        target = (Column("target/pck", f"target: {over}", "%", 100.0, 1, "higher"),
                  Column("target/mae", "target MAE", f"px of {config.image_size}", 1.0, 2, "lower"))
        return (*target, source) if config.target_project else (source,)
    pck = Column("target/pck", f"target PCK at {100 * config.pck_threshold:g} % of the side", "%", 100.0, 1, "higher")
    source = Column("source/pck", "source PCK", "%", 100.0, 1, "higher")
    if config.source.startswith("sprites"):
        return (Column("target/mae", "target MAE, x + y", "", 1.0, 3, "lower"), pck, source)
    error = Column("target/mae", "target MAE", "px", 1.0, 2, "lower")
    return (pck, error, source)


def paper(preset: str, config: Config, variant: str) -> dict[str, float]:
    """The paper's numbers for a row, where it printed one for this setting."""
    if variant in PCK.get(preset, {}):
        return {"target/pck": PCK[preset][variant]}
    direction = preset.removeprefix("dsprites_").removeprefix("small_")
    if variant in SPRITES_MAE.get(direction, {}):
        return {"target/mae": SPRITES_MAE[direction][variant]}
    return {}


EXPERIMENT = Experiment(
    "regda", "RegDA: unsupervised domain adaptation of keypoints", PRESETS, VARIANTS, short_list, applicable, shortened,
    run, columns, paper, settled)
