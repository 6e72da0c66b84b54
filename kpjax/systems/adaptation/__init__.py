"""Frozen-core adaptation (Sanchez and Tzimiropoulos, NeurIPS 2019): landmarks of a new category, without labels.

A core learns landmarks of one category with labels, once for all variants of a seed. Every variant then learns
landmarks of another category from images alone: from the points that it finds in one view of an image, a generator
reconstructs that view out of another. Variants differ in their start and in the weights that they train. All have equal
steps and images, and the last step is the result.

Errors are of regressors between discovered points and annotation (forward: annotation from points; backward: points
from annotation) and of points under turns (consistency). Each is fooled by some collapse. A variant with few varying
points, or with all points in a heap, has collapsed; its errors mean nothing. `random_core` shows how much the learnt
kernels matter.
"""
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kpjax import InputError, Method, Skeleton, Trained, Variables, augment, codec, losses, methods, named_key
from kpjax.files import read_json, write_json, write_text
from kpjax.images.transforms import Letterbox
from kpjax.input.source import Source, stacked
from kpjax.models.hourglass_network import STRIDE
from kpjax.platforms import run_once
from kpjax.systems import system
from kpjax.systems.adaptation import config as presets
from kpjax.systems.adaptation.config import RENDERED, Config
from kpjax.systems.adaptation.measures import Data, draw_sheets, found_in, measures_of
from kpjax.systems.adaptation.variants import VARIANTS, as_evaluated, build, network, perceptual_start
from kpjax.systems.configs import optimizer_of
from kpjax.systems.reports.table import Column
from kpjax.systems.system import Job, Outcome
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted
from kpjax.training.keypoint_errors import keypoint_errors
from kpjax.training.trees import load_trained, save_trained, tree_digest

PREDICTED_TOGETHER = 64  # images in a batch
STAGE = "adaptation"
CORE_BATCH, CORE_SIGMA = 32, 1.0  # images; of a keypoint's Gaussian, heatmap px

# The core: a supervised network of another category


# (config, seed, data_dir) -> the labelled images that train a core, and those that test it, if any
OpenCoreImages = Callable[[Config, int, Path], tuple[Source, Source | None]]


class Core(NamedTuple):
    """The start of a variant."""

    variables: Variables
    digest: str  # of the variables: a run is not resumed on another core
    accuracy: float | None = None  # PCK on the core's own test images, a fraction; None where it was not measured


@functools.lru_cache(maxsize=4)
def build_core(config: Config, skeleton: Skeleton) -> Method:
    """Builds the supervised method of the core."""
    side = config.data.image_size
    mirrored, larger = (augment.random_flip(skeleton),) if skeleton.flip else (), config.core.larger(side)
    setup = methods.Setup(
        network(config, len(skeleton.names)), skeleton,
        codec(image_size=side, heatmap_size=side // STRIDE, sigma=CORE_SIGMA),
        optimizer_of(config, optax.scale_by_adam()), config.core.rates,
        augment.compose_augmentations(augment.random_scale_rotation(loaded=larger and larger[1]), *mirrored),
        config.backbone.normalise)
    return methods.supervised(setup, loss=losses.heatmap_mse)


def core_name(config: Config) -> str:
    """Returns the name of a core's stage: by its data, so that one folder can hold several."""
    core = config.core.core
    data = f"{core.removeprefix(RENDERED)}_{config.core.core_background}" if core.startswith(RENDERED) else (
        core.partition("/")[0])
    return f"core_{data}"


def trained_core(job: Job, open_images: OpenCoreImages) -> Core:
    """Returns the core of a seed at the epoch that the config names, trained if it has not been.

    Without an epoch it is the network with the backbone's published weights. Raises InputError if there are none.
    """
    config, name = job.config, core_name(job.config)
    if job.plan and not config.core.core_epochs:
        return untrained_core(config, job.seed, of_shapes=True)
    if not config.core.core_epochs:
        if not config.backbone.weights:
            raise InputError("weights", "name the published weights that are the core, or train one: --core-epochs 10")
        variables = system.first_variables(job, network(config, config.landmarks))["variables"]
        return Core(variables, tree_digest(variables))
    preset = config.core_kept_by or job.base_preset
    found = job.stage(name, lambda folder: _train_core(job, folder, open_images), preset=preset,
                      config=presets.of_core(config))
    trained, accuracy = found.trained, found.metrics.get("core/pck")
    if job.plan:
        return Core(trained.variables, "")
    if config.core.core_epoch not in (0, config.core.core_epochs):
        seed = system.preset_folder(job.workdir, job.system.name, preset) / "stages" / name / f"seed-{job.seed}"
        kept = seed / f"epoch-{config.core.core_epoch}"
        trained, accuracy = load_trained(kept), read_json(kept / "metrics.json").get("core/pck")
    return Core(trained.variables, tree_digest(trained.variables), accuracy)


def _train_core(job: Job, folder, open_images: OpenCoreImages) -> Fitted:
    config, core = job.config, job.config.core
    images, test = open_images(config, job.seed, job.data_dir)
    method = build_core(config, images.skeleton)

    def evaluate(state) -> dict[str, float]:
        metrics = {}
        if test is not None:
            found = predict_source(method, state, test, batch_size=2 * CORE_BATCH)
            errors = keypoint_errors(found, method.skeleton, "core", threshold=core.core_pck_threshold,
                                     uncounted=core.core_uncounted_keypoints)
            metrics = {name: errors[name] for name in ("core/pck", "core/nme")}
        epoch = int(state.step) // core.core_epoch_steps
        if epoch in core.core_kept and jax.process_index() == 0:
            save_trained(folder / f"epoch-{epoch}", Trained(state.variables, state.frozen))
            write_json(folder / f"epoch-{epoch}" / "metrics.json", metrics)
        return metrics

    return system.fit_sources(
        job, method, {"labelled": images}, batch_size=CORE_BATCH, steps=core.steps, stage="core",
        folder=folder, evaluate=(core.core_epoch_steps, evaluate),
        start=system.first_variables(job, network(config, len(images.skeleton.names))),
        config=presets.of_core(config) | {"seed": job.seed})


def untrained_core(config: Config, seed: int, *, of_shapes: bool = False) -> Core:
    """Returns a fresh network in place of a trained core. of_shapes: for a plan, which computes nothing."""
    images = jnp.zeros((1, config.data.image_size, config.data.image_size, 3))
    init = functools.partial(network(config, config.landmarks).init, train=False)
    init = functools.partial(jax.eval_shape, init) if of_shapes else run_once(init)
    variables = init(named_key(jax.random.key(seed), "random core"), images)
    return Core(variables, "" if of_shapes else tree_digest(variables))


# A run


def train(job: Job, data: Data, *, core_of: Callable[[Job], Core]) -> Outcome:
    """Trains a variant, most from the core that `core_of` returns, and predicts all images that it is evaluated on.

    A run does not go on with another core than it began with.
    """
    config, recipe = job.config, VARIANTS[job.variant].recipe
    method, core = build(config, job.variant), None
    if recipe.core != "none":
        core = core_of(job) if recipe.core == "trained" else untrained_core(config, job.seed, of_shapes=bool(job.plan))
    start = ({"core": core.variables} if core else {}) | perceptual_start(config)
    if data.chosen and jax.process_index() == 0:
        write_text(job.folder / "target_images.txt", "\n".join([*data.chosen, ""]))
    # Presets that differ in what they evaluate share their training.
    study = job.preset.removeprefix(job.base_preset)
    keeps = job._replace(preset=(config.training_kept_by or job.base_preset) + study)
    streams = dict.fromkeys(method.streams, stacked([data.target[0]]))
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    print(f"{job.title}: {weights_in_words(state)}")
    # One name for all variants, so that those of a seed draw the same views and start from the same generator.
    fitted = system.fit_sources(
        job, method, {"target": data.target}, batch_size=config.batch_size, steps=config.steps,
        stage=STAGE, folder=keeps.folder, unlabelled=("target",), start=start,
        config=presets.of_training(config) | {
            "variant": job.variant, "seed": job.seed, "core digest": core and core.digest})
    if job.plan:
        return Outcome(method, fitted.trained, 0)
    # The network that compares images is no part of the result.
    trained = Trained(fitted.trained.variables,
                      {name: tree for name, tree in fitted.trained.frozen.items() if name == "core"})
    sources = {"fit": data.fit} if config.evaluation.annotated else {}
    sources |= {"test": data.test, "turned_once": data.turned_once, "turned_twice": data.turned_twice}
    # Every variant is evaluated as a plain network, so that this is compiled once.
    plain, evaluated = build(config, "finetuned"), as_evaluated(trained, job.variant)
    predictions = {name: predict_source(plain, evaluated, source, batch_size=PREDICTED_TOGETHER)
                   for name, source in sources.items()}
    accuracy = {} if core is None or core.accuracy is None else {"core/pck": core.accuracy}
    return Outcome(method, trained, fitted.steps, fitted.images_per_second, fitted.wall_seconds, accuracy, predictions)


def weights_in_words(state: Any) -> str:
    """Returns how many weights are frozen and trained, by their part in the network, in one line."""
    def size(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    counts = {name: size(tree) for name, tree in state.variables["params"].items()}
    parts = {"projections": "in matrices of frozen kernels", "free": "of the network's own", "head": "of the head"}
    trained = ", ".join(f"{counts[name]:,} {words}" for name, words in parts.items() if name in counts)
    return f"{size(state.frozen.get('core', {})):,} weights of the core frozen; trained: {trained}"


def measure(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Measures errors of regressors and consistency; writes collapsed.txt, empty unless they mean nothing."""
    values, reason = measures_of(found_in(predictions, job.config.data.image_size), job.config, data.test.skeleton,
                                 outcome.method.skeleton)
    if reason:
        print(f"{job.title}: COLLAPSED, its errors mean nothing: {reason}")
    if jax.process_index() == 0:
        write_text(job.folder / "collapsed.txt", reason and f"{reason}\n")
    return values


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws sheets of test images."""
    if jax.process_index() == 0:
        draw_sheets(found_in(predictions, job.config.data.image_size), data, job.config, outcome.method.skeleton,
                    job.folder / system.IMAGES)


def lengths(config: Config, variant: str) -> dict[str, float]:
    """Returns the steps of the core and of the adaptation, of those that a variant has."""
    recipe = VARIANTS[variant].recipe
    core = {core_name(config): config.core.steps} if recipe.core == "trained" and config.core.core_epochs else {}
    return core | {variant: config.steps}


def columns(config: Config) -> tuple[Column, ...]:
    """Returns errors with all labelled images and with about ten, in percent of `lengths`, beside them the forward
    error of the mean of the same labels, which needs no point; then consistency, signs of a collapse and the core's."""
    counts = ["all", *(str(count) for count in sorted(config.evaluation.labelled_images,
                                                      key=lambda count: abs(count - 10))[:1])]
    errors = tuple(Column(f"{metric}/{count}", f"{title}, {count}", "%", 1.0, 2, "lower")
                   for count in counts for metric, title in (
                       ("backward", "backward"), ("forward", "forward"), ("mean_landmarks", "of the mean"))
                   ) if config.evaluation.annotated else ()
    core = (Column("core/pck", "core", "%", 100.0, 1),) if config.core.core_test else ()
    return (*errors, Column("consistency", "consistency", f"px of {config.data.image_size}", 1.0, 2, "lower"),
            Column("varying_points", "varying points", f"of {config.landmarks}", 1.0, 1),
            Column("point_spread", "spread", "px", 1.0, 1), Column("median_spread", "median", "px", 1.0, 1),
            Column("void", "collapsed", "%", 100.0, 0, "lower"), *core)


SYSTEM = system.System(
    "adaptation", "landmarks of another category of object, without labels", presets.SYNTHETIC, VARIANTS,
    train=train, evaluated=lambda job, data: {}, measure=measure, columns=columns,
    predicting=lambda stored: system.Predicting(
        build(stored.config, stored.variant), Letterbox(stored.config.data.image_size), "softmax_peak"),
    short_list=lambda preset, config: (  # of a demo, what takes minutes on two cores
        ("adapted", "scratch") if config.data.rendered else ("adapted", "finetuned", "scratch", "random_core")),
    applicable=lambda preset, config: tuple(VARIANTS), shortened=system.scaled("core_epoch_steps"), lengths=lengths,
    draw=draw, batch_size=lambda config: PREDICTED_TOGETHER)
