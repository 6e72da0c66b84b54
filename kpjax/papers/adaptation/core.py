"""The core: a supervised network of another category, which variants start from."""

import functools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from etils import epath

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
    models,
    named_key,
)
from kpjax.files import read_json, write_json
from kpjax.input.source import Source
from kpjax.models.hourglass_network import STRIDE
from kpjax.models.layers import uniform_fan_in
from kpjax.papers.adaptation.config import CORE_STAGE, RENDERED, Config, CoreTraining, of_core
from kpjax.papers.configs import optimizer_of
from kpjax.papers.engine import (
    Job,
    Shared,
    Stage,
    Training,
    Work,
    batches,
    computed,
    first_variables,
)
from kpjax.papers.keypoint_errors import keypoint_errors
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.trees import load_trained, save_trained, tree_digest

CORE_BATCH, CORE_SIGMA = 32, 1.0  # images; of a keypoint's Gaussian, heatmap px

# (config, seed, data_dir) -> the labelled images that train a core, and those that test it, if any
OpenCoreImages = Callable[[Config, int, Path], tuple[Source, Source | None]]


class Core(NamedTuple):
    """The start of a variant."""

    variables: Variables
    #: PCK on the core's own test images, a fraction; None where it was not measured
    accuracy: float | None = None

    @property
    def digest(self) -> str:
        """The digest of the variables: a run is not resumed on another core."""
        return tree_digest(self.variables)

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured of it."""
        return {} if self.accuracy is None else {"core/pck": self.accuracy}


def network(config: Config, keypoints: int) -> models.KeypointNetwork:
    """Builds the network of the core and of all variants, with the head of an hourglass."""
    dtype = jnp.dtype(config.network.dtype)
    built = config.backbone.applied_to(config.network.build(keypoints, stride=STRIDE))
    return built.clone(head=models.HeatmapHead(keypoints, output_init=uniform_fan_in, dtype=dtype))


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
    return f"{CORE_STAGE}{data}"


def core_of(job: Job, data: Any) -> Generator[Any, Any, Core]:
    """Returns the core of a seed at the epoch that the config names, trained if it has not been.

    Without an epoch it is that of the data, or the network with the backbone's published weights.
    Raises InputError if there are none.
    """
    config, core = job.config, job.config.core
    if not core.core_epochs:
        return (
            yield Work(
                lambda: data.core(job) if data.core else published_core(job),
                lambda: Core(random_variables(job).planned()),
            )
        )
    name = core_name(config)
    shared = Shared(
        name,
        lambda: of_core(config),
        preset=config.core_kept_by or job.base_preset,
    )
    stage = Stage("core", core.steps, lambda: _training(job, data, place), shared=shared)
    place = job.place(stage)
    found = yield stage
    # a rehearsal never comes to that epoch
    if core.core_epoch in (0, core.core_epochs) or job.rehearses:
        return Core(found.trained.variables, found.evaluation.get("core/pck"))
    return (
        yield Work(
            lambda: core_at(place / f"epoch-{core.core_epoch}"),
            lambda: Core(found.trained.variables),
        )
    )


def core_at(folder: epath.Path) -> Core:
    """Reads what was kept of an epoch."""
    accuracy = read_json(folder / "metrics.json").get("core/pck")
    return Core(load_trained(folder).variables, accuracy)


def published_core(job: Job) -> Core:
    """Returns the network with the backbone's published weights.

    Raises InputError if there are none.
    """
    config = job.config
    if not config.backbone.weights:
        raise InputError(
            "weights",
            "name the published weights that are the core, or train one: --core-epochs 10",
        )
    return Core(first_variables(job, network(config, config.landmarks))["variables"])


def random_variables(job: Job) -> Work:
    """Returns the work of making a fresh network, in place of a trained core."""
    config, side = job.config, job.config.data.image_size
    init = functools.partial(network(config, config.landmarks).init, train=False)
    return computed(
        init, named_key(jax.random.key(job.seed), "random core"), jnp.zeros((1, side, side, 3))
    )


def core_errors(found: Gathered, skeleton: Skeleton, core: CoreTraining) -> dict[str, float]:
    """Computes PCK and NME of a core, in which each labelled point weighs the same.

    With the head as reference length and a threshold of 0.5 the first is the official mean of MPII
    (`kpjax.evaluation.metrics.pckh`), beside which the paper's 79 % stands.
    """
    errors = keypoint_errors(
        found,
        skeleton,
        "core",
        threshold=core.core_pck_threshold,
        pooled=True,
        uncounted=core.core_uncounted_keypoints,
    )
    return {name: errors[name] for name in ("core/pck", "core/nme")}


def _training(job: Job, data: Any, folder: epath.Path) -> Training:
    config, core = job.config, job.config.core
    images, test = data.core_images(config, job.seed, job.data_dir)
    method = build_core(config, images.skeleton)

    def evaluate(state) -> dict[str, float]:
        metrics = {}
        if test is not None:
            found = predict_source(method, state, test, batch_size=2 * CORE_BATCH)
            metrics = core_errors(found, method.skeleton, core)
        epoch = int(state.step) // core.core_epoch_steps
        if epoch in core.core_kept and jax.process_index() == 0:
            save_trained(folder / f"epoch-{epoch}", Trained(state.variables, state.frozen))
            write_json(folder / f"epoch-{epoch}" / "metrics.json", metrics)
        return metrics

    size = -(-CORE_BATCH // jax.device_count()) * jax.device_count()
    return Training(
        method,
        batches(job, method, {"labelled": images}, batch_size=size),
        lambda: of_core(config) | {"seed": job.seed},
        fresh=(network(config, len(images.skeleton.names)), ()),
        more={"evaluate": (core.core_epoch_steps, evaluate)},
    )
