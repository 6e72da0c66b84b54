"""Frozen-core adaptation (Sanchez and Tzimiropoulos, NeurIPS 2019): landmarks of a new category, without labels.

Command   python -m experiments.adaptation demo               (2 CPU cores, about 10 minutes, draws its own pictures)
          python -m experiments.adaptation demo --variants all                                    (every row)
          python -m experiments.adaptation demo --core-background patches --workdir elsewhere     (another core)
          python -m experiments.adaptation own --core RUN --images FOLDER    (one's own run and pictures)
          python -m experiments.adaptation.studies core_epochs --preset demo      (also images, labels, cores, order)
          python -m experiments.adaptation mpii_mafl --perceptual vgg19.safetensors --seeds 3                (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in every report

A core learns landmarks of one category with labels, once for all rows of a seed. Every row then learns landmarks of
another category from pictures alone: points that it reads from one view of a picture have to tell a generator how to
paint that view from another. Rows differ in what of the core they start from and what they train. All have equal steps
and pictures, and the last step is the result.

Errors are of regressors between discovered points and annotation (forward: annotation from points; backward: points
from annotation) and of points under turns (consistency). Each is fooled by some collapse, so a row with few live points
or with all points in a heap is void, and says why. `random_core` tells how much the learnt kernels matter,
`untrained_head` how much any learning does.
"""
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.adaptation.config import OF_EVALUATION, PRESETS, Config, OwnConfig
from experiments.adaptation.core import NAME, Core, base_preset, trained_core, untrained_core
from experiments.adaptation.measures import check_annotation, predict, row_of, write_points
from experiments.adaptation.own import own_core, settled
from experiments.adaptation.parts import as_judged, build, comparison, judge, perceptual_start
from experiments.adaptation.pictures import DRAWN, Pictures, open_pictures, place_of
from experiments.adaptation.published import paper_numbers
from experiments.adaptation.sheets import draw_sheets
from experiments.adaptation.variants import RECIPES, VARIANTS
from experiments.command_line import Experiment, Job, run_folder
from experiments.own_project import is_own
from experiments.run_records import begin, finished_before, identity_of, stored_run
from kpjax.files import strict, write_json, write_text
from kpjax.images.transforms import Place, place_local_contrast
from kpjax.input.stream import stream
from kpjax.methods.core_adaptation.adaptation import plain_variables
from kpjax.reports.table import Column
from kpjax.structures import Method, Trained, named_key
from kpjax.training.fit import Fitted, fit
from kpjax.training.run_folder import write_results
from kpjax.training.trees import load_trained, save_adapter, save_trained, tree_digest


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config, recipe = run_folder(job, NAME), job.config, RECIPES[job.variant]
    if finished_before(folder, job):
        return
    pictures = open_pictures(config, job.seed, job.data_dir)
    check_annotation(config, pictures)
    core = core_of(job)
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}; {len(pictures.target)} pictures without "
          f"labels, {len(pictures.test)} test pictures")
    start = {"core": core.variables} if core else {}
    start |= perceptual_start(config)
    method = build(config, job.variant)
    begin(folder, identity_of(job), method.skeleton)
    if jax.process_index() == 0:
        write_json(folder / "annotation.json", asdict(pictures.test.skeleton))
    if recipe.trains:
        fitted = train(job, method, pictures, start, core)
        trained, speed, seconds = fitted.trained, fitted.images_per_second, fitted.wall_seconds
    else:
        trained, speed, seconds = first_of(job, method, pictures, start), 0.0, 0.0
    # What pictures are compared by is no part of the result.
    trained = Trained(trained.variables, {name: tree for name, tree in trained.frozen.items() if name == "core"})
    found = predict(judge(config), as_judged(trained, job.variant), pictures, config)
    values, reason = row_of(found, config, pictures.test.skeleton, method.skeleton)
    if core and core.accuracy is not None:
        values["core/pck"] = core.accuracy
    draw_sheets(found, pictures, config, method.skeleton, folder / "pictures")
    write_points(folder, found)
    if jax.process_index() == 0:
        write_networks(folder, trained, job.variant)
        write_text(folder / "void.txt", reason and f"{reason}\n")
        write_results(folder, experiment=NAME, preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=steps_of(job), metrics=values, images_per_second=speed, wall_seconds=seconds,
                      config=asdict(config) | {"compared_by": comparison(config)})
    shown = [column.metric for column in columns(config) if column.metric in values]
    print(f"{job.variant}, seed {job.seed}: " + ", ".join(f"{name} {values[name]:.2f}" for name in shown))
    if reason:
        print(f"{job.variant}, seed {job.seed}: VOID, its errors mean nothing: {reason}")


def core_of(job: Job) -> Core | None:
    """What a row starts from, trained if it has not been; None for one that starts afresh."""
    kind = RECIPES[job.variant].core
    if kind == "trained" and is_own(job.config):
        found = own_core(job.config.core)
        return Core(found.variables, found.digest, None)
    if kind == "trained":
        return trained_core(job)
    if kind == "random":
        return untrained_core(job.config, job.seed)
    if kind == "none":
        return None
    before = job._replace(variant="adapted")
    run(before)
    trained = load_trained(run_folder(before, NAME) / "model")
    variables = plain_variables(trained, RECIPES["adapted"].parametrisation)
    return Core(variables, tree_digest(variables), None)


def training_folder(job: Job) -> Path:
    """Where a row is trained: presets that differ in what they evaluate share it."""
    preset, dash, study = job.preset.partition("-")
    return run_folder(job._replace(preset=(job.config.training_kept_by or preset) + dash + study), NAME)


def train(job: Job, method: Method, pictures: Pictures, start: dict[str, Any], core: Core | None) -> Fitted:
    """`fit` on pictures without labels. It refuses to go on with another core than it began with."""
    config = job.config
    if pictures.chosen and jax.process_index() == 0:
        write_text(run_folder(job, NAME) / "target_images.txt", "\n".join([*pictures.chosen, ""]))
    batches = stream(pictures.target, batch_size=config.batch_size, seed=job.seed, labelled=False, repeats=True,
                     process_index=jax.process_index(), process_count=jax.process_count())
    seen = {name: value for name, value in asdict(config).items() if name not in OF_EVALUATION}
    return fit(method, {"target": batches}, steps=config.steps, key=jax.random.key(job.seed), stage=job.variant,
               folder=training_folder(job), start=start,
               config=strict(seen | {"variant": job.variant, "seed": job.seed, "core digest": core and core.digest}))


def first_of(job: Job, method: Method, pictures: Pictures, start: dict[str, Any]) -> Trained:
    """The network that `adapted` of this seed starts from."""
    key = named_key(named_key(jax.random.key(job.seed), "adapted"), "init")
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], pictures.target[0])
    state = jax.jit(method.init)(key, dict.fromkeys(method.streams, batch), start)
    return Trained(state.variables, state.frozen)


def steps_of(job: Job) -> int:
    """The steps of adaptation that a row has seen."""
    recipe = RECIPES[job.variant]
    return job.config.steps * (2 if recipe.core == "adapted" else 1) if recipe.trains else 0


def write_networks(folder: Path, trained: Trained, variant: str) -> None:
    """`model`, what `predict` reads; `network`, the plain network with the projections folded in; and where kernels are
    frozen adapter.safetensors, what hangs on the core alone."""
    save_trained(folder / "model", trained)
    save_trained(folder / "network", Trained(plain_variables(trained, RECIPES[variant].parametrisation), {}))
    if "core" in trained.frozen:
        save_adapter(folder / "adapter.safetensors", trained)


def predictor(folder: Path) -> tuple[Method, int, Place]:
    """(method, side, place) of a finished run, for predictions on other pictures, which are letterboxed."""
    config, variant, _ = stored_run(folder, Config, OwnConfig)
    place = place_of("letterbox", config.image_size)
    return (build(config, variant), config.image_size,
            place_local_contrast(place) if config.pictures == "local_contrast" else place)


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    return "softmax_peak"


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if is_own(config):
        return ("random_core", "adapted") if config.control else ("adapted",)
    if config.target.startswith(DRAWN):  # minutes on two cores
        return ("adapted", "scratch", "untrained_head")
    return ("adapted", "finetuned", "scratch", "lora", "random_core", "untrained_head")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows."""
    return tuple(VARIANTS)


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps of adaptation, and epochs of the core that are shorter alike."""
    return replace(config, steps=steps,
                   core_epoch_steps=max(1, round(config.core_epoch_steps * steps / config.steps)))


def columns(config: Config) -> tuple[Column, ...]:
    """Errors with all labelled pictures and with about ten, in percent of `--lengths`, beside the forward error of the
    mean of the same labels, which needs no point; consistency; what tells a collapse; and the accuracy of the core on
    its own test pictures."""
    counts = ["all", *(str(count) for count in sorted(config.images, key=lambda count: abs(count - 10))[:1])]
    errors = tuple(Column(f"{metric}/{count}", f"{title}, {count}", "%", 1.0, 2, "lower")
                   for count in counts for metric, title in (
                       ("backward", "backward"), ("forward", "forward"), ("mean_landmarks", "of the mean"))
                   ) if config.annotated else ()
    core = (Column("core/pck", "core", "%", 100.0, 1),) if config.core_test else ()
    return (*errors, Column("consistency", "consistency", f"px of {config.image_size}", 1.0, 2, "lower"),
            Column("live_points", "live points", f"of {config.landmarks}", 1.0, 1),
            Column("point_spread", "spread", "px", 1.0, 1), Column("median_spread", "median", "px", 1.0, 1),
            Column("void", "void", "%", 100.0, 0, "lower"), *core)


EXPERIMENT = Experiment(
    NAME, "landmarks of another category of object, without labels", PRESETS, VARIANTS, short_list, applicable,
    shortened, run, columns, settled=settled,
    paper=lambda preset, config, variant: paper_numbers(base_preset(preset), variant))
