"""Frozen-core adaptation (Sanchez and Tzimiropoulos, NeurIPS 2019): landmarks of a new category,
without labels.

A core learns landmarks of one category with labels, once for all variants of a seed. Every variant
then learns landmarks of another category from images alone: from the points that it finds in one
view of an image, a generator reconstructs that view out of another. Variants differ in their start
and in the weights that they train. All have equal steps and images, and the last step is the
result.

Errors are of regressors between discovered points and annotation (forward: annotation from points;
backward: points from annotation) and of points under turns (consistency). Each is fooled by some
collapse. A variant with few varying points, or with all points in a heap, has collapsed; its errors
mean nothing. `random_core` shows how much the learnt kernels matter.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpjax import (
    InputError,
    Method,
    Skeleton,
    Trained,
    Variables,
    augment,
    codec,
    losses,
    methods,
    named_key,
)
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.landmarks import (
    ALL,
    Landmarks,
    draw_turns,
    second_turns,
    turn_in_place,
)
from kpjax.files import read_json, write_json, write_text
from kpjax.images.transforms import Letterbox
from kpjax.input import source as sources
from kpjax.input.source import Source, stacked
from kpjax.methods.adaptation_family.trunk_clusters import clustered
from kpjax.models.hourglass_network import STRIDE
from kpjax.papers import engine
from kpjax.papers.adaptation import config as presets
from kpjax.papers.adaptation.config import RENDERED, Config, Evaluation
from kpjax.papers.adaptation.variants import (
    ADAPTED,
    VARIANTS,
    as_evaluated,
    build,
    network,
    perceptual_start,
    plain_of,
)
from kpjax.papers.configs import decoded_once, optimizer_of
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.reports.report import Column
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted
from kpjax.training.keypoint_errors import keypoint_errors
from kpjax.training.trees import load_trained, save_trained, tree_digest

CLUSTERED = 100  # images whose features are clustered
CORE_BATCH, CORE_SIGMA = 32, 1.0  # images; of a keypoint's Gaussian, heatmap px
SHOWN, COLUMNS = 16, 8  # images of a sheet
SHOWN_SIDE = 128  # px, to which small images are enlarged

# Images


class Data(NamedTuple):
    """Images that the variants of a seed learn from and are evaluated on."""

    target: Source  # without labels
    fit: Source  # with labels, for the regressors
    test: Source
    turned_once: Source  # the test images, each turned in place
    turned_twice: Source  # and turned again
    core: Callable[[Job], "Core"]  # a job -> what its variants start from
    chosen: tuple[str, ...] = ()  # the names, or numbers, of `target_images`; () for all
    identity: Mapping[str, Any] = {}

    @property
    def summary(self) -> str:
        return f"{len(self.target)} images without labels, {len(self.test)} test images"


def with_turns(
    target: Source,
    fit: Source,
    test: Source,
    side: int,
    core: Callable[[Job], "Core"],
    once: Source | None = None,
) -> Data:
    """Returns the images of a run with the test images, of `side` px, also turned once and twice.

    once: test images turned before they were cropped; None turns them in place.
    """
    if once is None:
        angles = draw_turns(len(test)).first
        once = sources.turned(test, np.array([turn_in_place(angle, side) for angle in angles]))
    once = decoded_once(once)
    twice = decoded_once(sources.turned(once, second_turns(len(test), side)))
    return Data(target, fit, test, once, twice, core)


# The core: a supervised network of another category


# (config, seed, data_dir) -> the labelled images that train a core, and those that test it, if any
OpenCoreImages = Callable[[Config, int, Path], tuple[Source, Source | None]]


class Core(NamedTuple):
    """The start of a variant."""

    variables: Variables
    digest: str  # of the variables: a run is not resumed on another core
    #: PCK on the core's own test images, a fraction; None where it was not measured
    accuracy: float | None = None


@functools.lru_cache(maxsize=4)
def build_core(config: Config, skeleton: Skeleton) -> Method:
    """Builds the supervised method of the core."""
    side = config.data.image_size
    mirrored, larger = (
        (augment.random_flip(skeleton),) if skeleton.flip else (),
        config.core.larger(side),
    )
    setup = methods.Setup(
        network(config, len(skeleton.names)),
        skeleton,
        codec(image_size=side, heatmap_size=side // STRIDE, sigma=CORE_SIGMA),
        optimizer_of(config, optax.scale_by_adam()),
        config.core.rates,
        augment.compose_augmentations(
            augment.random_scale_rotation(loaded=larger and larger[1]), *mirrored
        ),
        config.backbone.normalise,
    )
    return methods.supervised(setup, loss=losses.heatmap_mse)


def core_name(config: Config) -> str:
    """Returns the name of a core's stage: by its data, so that one folder can hold several."""
    core = config.core.core
    data = (
        f"{core.removeprefix(RENDERED)}_{config.core.core_background}"
        if core.startswith(RENDERED)
        else (core.partition("/")[0])
    )
    return f"core_{data}"


def trained_core(job: Job, open_images: OpenCoreImages) -> Core:
    """Returns the core of a seed at the epoch that the config names, trained if it has not been.

    Without an epoch it is the network with the backbone's published weights. Raises InputError if
    there are none.
    """
    config, name = job.config, core_name(job.config)
    if job.plan and not config.core.core_epochs:
        return untrained_core(config, job.seed, of_shapes=True)
    if not config.core.core_epochs:
        if not config.backbone.weights:
            raise InputError(
                "weights",
                "name the published weights that are the core, or train one: --core-epochs 10",
            )
        variables = engine.first_variables(job, network(config, config.landmarks))["variables"]
        return Core(variables, tree_digest(variables))
    preset = config.core_kept_by or job.base_preset
    found = job.stage(
        name,
        lambda folder: _train_core(job, folder, open_images),
        preset=preset,
        config=presets.of_core(config),
    )
    trained, accuracy = found.trained, found.metrics.get("core/pck")
    if job.plan:
        return Core(trained.variables, "")
    if config.core.core_epoch not in (0, config.core.core_epochs):
        seed = (
            engine.preset_folder(job.workdir, job.paper.name, preset)
            / "stages"
            / name
            / f"seed-{job.seed}"
        )
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
            errors = keypoint_errors(
                found,
                method.skeleton,
                "core",
                threshold=core.core_pck_threshold,
                uncounted=core.core_uncounted_keypoints,
            )
            metrics = {name: errors[name] for name in ("core/pck", "core/nme")}
        epoch = int(state.step) // core.core_epoch_steps
        if epoch in core.core_kept and jax.process_index() == 0:
            save_trained(folder / f"epoch-{epoch}", Trained(state.variables, state.frozen))
            write_json(folder / f"epoch-{epoch}" / "metrics.json", metrics)
        return metrics

    return engine.fit_sources(
        job,
        method,
        {"labelled": images},
        batch_size=CORE_BATCH,
        steps=core.steps,
        stage="core",
        folder=folder,
        evaluate=(core.core_epoch_steps, evaluate),
        config=presets.of_core(config) | {"seed": job.seed},
        start=engine.first_variables(job, network(config, len(images.skeleton.names))),
    )


def untrained_core(config: Config, seed: int, *, of_shapes: bool = False) -> Core:
    """Returns a fresh network in place of a trained core.

    of_shapes: for a plan, which computes nothing.
    """
    images = jnp.zeros((1, config.data.image_size, config.data.image_size, 3))
    init = functools.partial(network(config, config.landmarks).init, train=False)
    init = functools.partial(jax.eval_shape, init) if of_shapes else run_once(init)
    variables = init(named_key(jax.random.key(seed), "random core"), images)
    return Core(variables, "" if of_shapes else tree_digest(variables))


def folded_core(before: Outcome, *, of_shapes: bool = False) -> Core:
    """Returns the result of `adapted` as a core: the plain network with its projections folded
    in, and its head.

    of_shapes: for a plan, which computes nothing.
    """

    def fold(trained: Trained) -> Variables:
        return plain_of(trained, ADAPTED)

    if of_shapes:
        return Core(jax.eval_shape(fold, before.trained), "")
    variables = run_once(fold)(before.trained)
    return Core(variables, tree_digest(variables))


# A run


def train(job: Job, data: Data) -> Outcome:
    """Trains a variant, most from the core that the data bring, and predicts all images that it
    is evaluated on.

    A run does not go on with another core than it began with. One that starts from the result of
    another variant counts that one's steps, images and seconds as its own.
    """
    config, recipe = job.config, VARIANTS[job.variant].recipe
    method, core, before = build(config, job.variant), None, Outcome(None, None, 0)
    if recipe.before:
        before = engine.result_of(job._replace(variant=recipe.before))
        core = folded_core(before, of_shapes=bool(job.plan))
    elif recipe.core == "trained":
        core = data.core(job)
    elif recipe.core == "random":
        core = untrained_core(config, job.seed, of_shapes=bool(job.plan))
    if recipe.clusters:
        return _cluster(job, data, method, core)
    start = ({"core": core.variables} if core else {}) | perceptual_start(
        config, of_shapes=bool(job.plan)
    )
    if data.chosen and jax.process_index() == 0:
        write_text(job.folder / "target_images.txt", "\n".join([*data.chosen, ""]))
    # Presets that differ in what they evaluate share their training.
    study = job.preset.removeprefix(job.base_preset)
    keeps = job._replace(preset=(config.training_kept_by or job.base_preset) + study)
    streams = dict.fromkeys(method.streams, stacked([data.target[0]]))
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    print(f"{job.title}: {weights_in_words(state)}")
    # One name for all variants, so that those of a seed draw the same views and start from the same
    # generator.
    fitted = engine.fit_sources(
        job,
        method,
        {"target": data.target},
        batch_size=config.batch_size,
        steps=config.steps,
        stage="adaptation",
        folder=keeps.folder,
        unlabelled=("target",),
        start=start,
        config=presets.of_training(config)
        | {"variant": job.variant, "seed": job.seed, "core digest": core and core.digest},
    )
    if job.plan:
        return Outcome(method, fitted.trained, 0)
    # The network that compares images is no part of the result.
    trained = Trained(
        fitted.trained.variables,
        {name: tree for name, tree in fitted.trained.frozen.items() if name == "core"},
    )
    # Every variant is evaluated as a plain network, so that this is compiled once.
    plain, evaluated = build(config, "finetuned"), as_evaluated(trained, job.variant)
    predictions = _predicted(config, data, plain, evaluated)
    accuracy = {} if core is None or core.accuracy is None else {"core/pck": core.accuracy}
    return Outcome(
        method,
        trained,
        before.steps + fitted.steps,
        fitted.images_per_second,
        before.wall_seconds + fitted.wall_seconds,
        accuracy,
        predictions,
        before.images + fitted.images,
    )


def _predicted(config: Config, data: Data, method: Method, trained: Trained) -> dict[str, Gathered]:
    """Predicts all images that a variant is evaluated on."""
    sources = {"fit": data.fit} if config.evaluation.annotated else {}
    sources |= {
        "test": data.test,
        "turned_once": data.turned_once,
        "turned_twice": data.turned_twice,
    }
    return {
        name: predict_source(method, trained, source, batch_size=config.prediction_batch)
        for name, source in sources.items()
    }


def _cluster(job: Job, data: Data, method: Method, core: Core) -> Outcome:
    """Clusters features of the core's trunk on at most CLUSTERED target images at equal steps, and
    predicts; nothing is trained.
    """
    if job.plan:
        return Outcome(method, Trained({}, {}), 0)
    config, side = job.config, job.config.data.image_size
    count = min(CLUSTERED, len(data.target))
    numbers = np.linspace(0, len(data.target) - 1, count).round().astype(int)
    images = stacked([data.target[int(number)] for number in numbers]).image
    variables = run_once(
        lambda variables, images: clustered(
            network(config, config.landmarks),
            config.backbone.normalise,
            variables,
            unturned_view(images, config.shown, side),
            landmarks=config.landmarks,
            size=side // STRIDE,
        )
    )(core.variables, images)
    trained = Trained(variables, {})
    accuracy = {} if core.accuracy is None else {"core/pck": core.accuracy}
    predictions = _predicted(config, data, method, trained)
    return Outcome(method, trained, 0, metrics=accuracy, predictions=predictions, images=count)


def unturned_view(images: jax.Array, shown: float, side: int) -> jax.Array:
    """Returns the middle of images (N, H, W, 3) uint8, of `shown` of their sides, as (N, side,
    side, 3) float32 in [0, 1].
    """
    height, width = images.shape[1:3]
    rows, columns = round(shown * height), round(shown * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, top : top + rows, left : left + columns].astype(jnp.float32) / 255
    return jax.image.resize(middle, (len(images), side, side, images.shape[-1]), "linear")


def weights_in_words(state: Any) -> str:
    """Returns how many weights are frozen and trained, by their part in the network, in one
    line."""

    def size(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    counts = {name: size(tree) for name, tree in state.variables["params"].items()}
    parts = {
        "projections": "in matrices of frozen kernels",
        "free": "of the network's own",
        "head": "of the head",
    }
    trained = ", ".join(
        f"{counts[name]:,} {words}" for name, words in parts.items() if name in counts
    )
    return f"{size(state.frozen.get('core', {})):,} weights of the core frozen; trained: {trained}"


# Measures of discovered points


class Found(NamedTuple):
    """Discovered points beside the annotation, in pixels of the square images."""

    fit: Landmarks  # the images that regressors are fitted on
    test: Landmarks
    once: np.ndarray  # (N, K, 2) on the test images turned once
    twice: np.ndarray  # (N, K, 2) on those turned twice
    turns: np.ndarray  # (N, 3, 3) pixels of the former to those of the latter


def found_in(predictions: Mapping[str, Gathered], side: int) -> Found:
    """Returns the points of a run from its stored predictions on images of `side` px."""
    landmarks = {
        name: Landmarks(found.keypoints, found.true_keypoints, found.visible)
        for name, found in predictions.items()
    }
    test = landmarks["test"]
    return Found(
        landmarks.get("fit", Landmarks(*(field[:0] for field in test))),
        test,
        landmarks["turned_once"].discovered,
        landmarks["turned_twice"].discovered,
        second_turns(len(test.discovered), side),
    )


def normaliser_of(evaluation: Evaluation, annotation: Skeleton) -> probes.Normaliser:
    """Builds the lengths that errors are percent of.

    Raises InputError for eyes where the annotation has none.
    """
    if evaluation.lengths == "eyes":
        return probes.between_eyes(annotation, median=evaluation.median_length)
    return probes.object_size(median=evaluation.median_length)


def regressor_errors(
    found: Found, config: Config, annotation: Skeleton, images: Sequence[int | None]
) -> dict[str, probes.LandmarkErrors]:
    """Computes `forward/<images>` and `backward/<images>` for each number of labelled images."""
    evaluation = config.evaluation
    return probes.both_errors(
        found.fit,
        found.test,
        normaliser=normaliser_of(evaluation, annotation),
        images=images,
        regressor=probes.scaled_ridge(config.data.image_size, evaluation.penalty),
        repeats=evaluation.repeats,
        extra=evaluation.extra,
    )


def checked(config: Config, data: Data) -> Data:
    """Returns the data.

    Raises InputError for a length that the annotation lacks, and for too many labelled images.
    """
    evaluation = config.evaluation
    if evaluation.annotated:
        normaliser_of(evaluation, data.test.skeleton)
        probes.labelled_subsets(
            len(data.fit), max(evaluation.labelled_images, default=1), extra=evaluation.extra
        )
    return data


def measures_of(
    found: Found, config: Config, annotation: Skeleton, skeleton: Skeleton
) -> tuple[dict[str, float], str]:
    """Computes the metrics of a run, and returns why they mean nothing ("" if they do).

    `forward/<images>` and `backward/<images>` are in percent, with all labelled images also per
    landmark and per point; their deviations over subsets lie under `deviation/`.
    `mean_landmarks/<images>` is the forward error of answering every image with the mean of the
    labels, which informative points have to beat. `consistency` is in pixels, sorted over points
    under `consistency/rank_<n>`. `varying_points` counts points. `point_spread`, `median_spread`,
    `annotated_spread` and `annotated_median_spread` are mean and median distances between points
    and between landmarks, px. `void` is 1 where the points have collapsed.
    """
    evaluation, follows = (
        config.evaluation,
        probes.consistency(found.once, found.twice, found.turns),
    )
    values: dict[str, float] = {}
    if evaluation.annotated:
        errors = regressor_errors(found, config, annotation, (*evaluation.labelled_images, ALL))
        # the forward errors of points that are the same on every image
        still = found._replace(
            **{
                name: part._replace(discovered=np.zeros_like(part.discovered))
                for name, part in (("fit", found.fit), ("test", found.test))
            }
        )
        values |= {
            name.replace("forward", "mean_landmarks"): float(one.per_image.mean())
            for name, one in regressor_errors(
                still, config, annotation, (*evaluation.labelled_images, ALL)
            ).items()
            if name.startswith("forward")
        }
        labelled = compress(annotation.names, found.fit.visible.any(0) & found.test.visible.any(0))
        for name, landmarks in (("forward/all", labelled), ("backward/all", skeleton.names)):
            each = zip(landmarks, errors[name].per_landmark, strict=True)
            values |= {f"{name}/{landmark}": float(value) for landmark, value in each}
        test = found.test
    else:
        errors = {}
        # Nothing is annotated: one place that all images share makes the spread that is compared
        # with zero.
        test = Landmarks(
            found.test.discovered, np.zeros((len(found.once), 1, 2)), np.ones((len(found.once), 1))
        )
    measured = probes.measures(errors, follows, test, side=config.data.image_size)
    if not evaluation.annotated:
        del measured["annotated_spread"], measured["annotated_median_spread"]
    # Deviations stand beside the errors, whose names are followed by landmarks.
    values |= {
        f"deviation/{name.removesuffix('/deviation')}"
        if name.endswith("/deviation")
        else name: value
        for name, value in measured.items()
    }
    values |= {
        f"consistency/rank_{rank}": float(value) for rank, value in enumerate(follows.ascending, 1)
    }
    reason = probes.collapse_reason({"annotated_spread": 0.0} | values, len(skeleton.names))
    return values | {"void": float(bool(reason))}, reason


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Measures errors of regressors and consistency; writes collapsed.txt, empty unless they mean
    nothing.
    """
    values, reason = measures_of(
        found_in(predictions, job.config.data.image_size),
        job.config,
        data.test.skeleton,
        outcome.method.skeleton,
    )
    if reason:
        print(f"{job.title}: COLLAPSED, its errors mean nothing: {reason}")
    if jax.process_index() == 0:
        write_text(job.folder / "collapsed.txt", reason and f"{reason}\n")
    return values


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws points.png, the discovered points, and landmarks_from_points.png, the annotation that
    all labelled images regress from them, true places as rings. They show sixteen images at equal
    steps of their rank by forward error, with rank and both errors; without annotation by
    consistency, and no second sheet."""
    if jax.process_index():
        return
    config, folder, skeleton = job.config, job.folder / engine.IMAGES, outcome.method.skeleton
    found = found_in(predictions, config.data.image_size)
    annotation, annotated = data.test.skeleton, config.evaluation.annotated
    if annotated:
        forward, backward = regressor_errors(found, config, annotation, (ALL,)).values()
        numbers, errors = probes.complete(found.test, "test"), forward.per_image
        captions = [
            f"{one:.0f} %, back {other:.0f} %"
            for one, other in zip(errors, backward.per_image, strict=True)
        ]
    else:
        errors = probes.consistency(found.once, found.twice, found.turns).per_image
        numbers, captions = np.arange(len(errors)), [f"{error:.1f} px" for error in errors]
    ranked = np.argsort(errors, kind="stable")
    ranks = np.unique(np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int))
    shown = numbers[chosen := ranked[ranks]]
    images = [data.test[int(number)].image for number in shown]
    options = {
        "captions": [
            f"{rank + 1}: {captions[place]}" for rank, place in zip(ranks, chosen, strict=True)
        ],
        "columns": COLUMNS,
        "minimum_side": SHOWN_SIDE,
    }
    write_png(
        folder / "points.png",
        prediction_sheet(
            images, np.asarray(found.test.discovered)[shown], None, skeleton, **options
        ),
    )
    if annotated and forward.regressed.shape[1] == len(annotation.names):
        write_png(
            folder / "landmarks_from_points.png",
            prediction_sheet(
                images,
                forward.regressed[chosen],
                None,
                annotation,
                true=np.asarray(found.test.annotated)[shown],
                visible=np.asarray(found.test.visible)[shown],
                **options,
            ),
        )


def lengths(config: Config, variant: str) -> dict[str, float]:
    """Returns the steps of the core and of the adaptation, of those that a variant has, with those
    of the variant that it starts from.
    """
    recipe = VARIANTS[variant].recipe
    if recipe.before:
        return lengths(config, recipe.before) | {variant: config.steps}
    own = {variant: 0 if recipe.clusters else config.steps}
    core = (
        {core_name(config): config.core.steps}
        if recipe.core == "trained" and config.core.core_epochs
        else {}
    )
    return core | own


def columns(config: Config) -> tuple[Column, ...]:
    """Returns errors with all labelled images and with about ten, in percent of `lengths`, beside
    them the forward error of the mean of the same labels, which needs no point; then consistency,
    signs of a collapse and the core's."""
    counts = [
        "all",
        *(
            str(count)
            for count in sorted(
                config.evaluation.labelled_images, key=lambda count: abs(count - 10)
            )[:1]
        ),
    ]
    errors = (
        tuple(
            Column(f"{metric}/{count}", f"{title}, {count}", "%", 1.0, 2, "lower")
            for count in counts
            for metric, title in (
                ("backward", "backward"),
                ("forward", "forward"),
                ("mean_landmarks", "of the mean"),
            )
        )
        if config.evaluation.annotated
        else ()
    )
    core = (Column("core/pck", "core", "%", 100.0, 1),) if config.core.core_test else ()
    return (
        *errors,
        Column("consistency", "consistency", f"px of {config.data.image_size}", 1.0, 2, "lower"),
        Column("varying_points", "varying points", f"of {config.landmarks}", 1.0, 1),
        Column("point_spread", "spread", "px", 1.0, 1),
        Column("median_spread", "median", "px", 1.0, 1),
        Column("void", "collapsed", "%", 100.0, 0, "lower"),
        *core,
    )


PAPER = engine.Paper(
    "adaptation",
    "landmarks of another category of object, without labels",
    presets.SYNTHETIC,
    engine.with_training(VARIANTS, train, lengths),
    evaluated=lambda job, data: {},
    measure=measure,
    columns=columns,
    predicting=lambda stored: engine.Predicting(
        build(stored.config, stored.variant),
        Letterbox(stored.config.data.image_size),
        "softmax_peak",
    ),
    short_list=lambda preset, config: (  # of a demo, what takes minutes on two cores
        ("adapted", "scratch")
        if config.data.rendered
        else ("adapted", "finetuned", "scratch", "random_core")
    ),
    applicable=lambda preset, config: tuple(VARIANTS),
    draw=draw,
)
