"""Stages of Keypoint Pyramids: discovery from pairs of frames, training on joints, and networks as
they begin.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kpjax import InputError, Method, Trained, methods, models, named_key
from kpjax.evaluation.degeneracy import stop_if_collapsed
from kpjax.input.pairs import frame_pairs
from kpjax.input.source import stack_examples
from kpjax.input.video_source import VideoSource, frames_of
from kpjax.methods.perceptual import perceptual_start
from kpjax.methods.pyramids_family.discovery import STILL, StillCamera, still_videos
from kpjax.models import KeypointPyramid
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.papers.configs import config_as_json
from kpjax.papers.engine import (
    NOTHING_TRAINED,
    Job,
    Shared,
    Stage,
    Stages,
    StagesOf,
    Training,
    Work,
    batches,
    built,
    method_of,
    variant_of,
)
from kpjax.papers.pyramids.config import Config
from kpjax.papers.pyramids.measures import Data, features_of, predict, regression, truth_of
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered

PERCEPTUAL = VGG(16, IMM_TAPS)  # features of KeyNet's loss
BACKGROUND_FRAMES = 200  # about so many frames of a video are enough for its background
COLLAPSE_CHECK = 50  # steps between two looks for signs of collapse

Steps = Callable[[Config], int]

# Networks and what trains them


def network_of(
    config: Config,
    sizes: tuple[int, ...] = (),
    *,
    conditioned: bool = True,
    skipped: int = 0,
) -> KeypointPyramid:
    """Builds the network with levels of these sizes, else the config's.

    conditioned: whether level 2 reads level 1. skipped: how many of the finest maps no level reads.
    """
    chosen, sizes = config.pyramid, sizes or config.pyramid.level_sizes
    shared = {
        "conditioned": conditioned,
        "conditioning_width": chosen.conditioning_width,
        "sharpness": chosen.sharpness,
        "skipped": skipped,
        "dtype": jnp.dtype(chosen.dtype),
    }
    if chosen.network == "small":
        return models.small_keypoint_pyramid(sizes, side=config.data.image_size, **shared)
    return models.keypoint_pyramid(sizes, **shared)


def shared_options(config: Config, steps: Steps) -> dict[str, Any]:
    """Returns the options that all methods share: Adam, its rate over these steps, normalisation."""
    return {
        "optimizer": config.optimizer.adam(),
        "learning_rate": config.optimizer.rate(steps(config)),
        "normalise": methods.imagenet_normalise,
    }


def usual_steps(config: Config) -> int:
    """Returns the number of steps of Keypoint Pyramids."""
    return max(config.steps, 1)


def still_of(config: Config) -> dict[str, StillCamera]:
    """Returns the method's argument for a still camera, or none."""
    residual, share = config.still.residual, config.still.motion_weight
    return {"still": StillCamera(residual, share > 0)} if residual or share else {}


def still_start(config: Config, source: VideoSource) -> dict[str, Any]:
    """Returns the part of the start that a still camera needs, of the training videos; {} without
    one.
    """
    if not still_of(config):
        return {}
    if source.cropped_anew:
        raise InputError(
            "residual",
            "each frame of these videos is cropped anew, so that no background stays in its place; "
            "--no-residual --motion-weight 0",
        )
    return {
        STILL: still_videos(
            (images[:: -(-len(images) // BACKGROUND_FRAMES)] for images in frames_of(source)),
            source.video,
            share=config.still.motion_weight,
        )
    }


# Stages


def on_pairs(
    job: Job,
    data: Data,
    method: Method,
    steps: int,
    *,
    compares: str = "",
    still: bool = True,
) -> Training:
    """Returns what fits a method on pairs of frames, with the linear probe on the way and the check
    for collapse.

    compares: weights of the network that compares images, if the method reads one. still: whether
    it makes use of a still camera, where the config has one.
    """
    config = job.config
    more = probing(job, data, method, steps)
    if config.collapse_steps:
        check = stop_if_collapsed(config.collapse_steps, baselines=config.collapse_baselines)
        more["between"] = (COLLAPSE_CHECK, check)
    start = {
        **perceptual_start(compares, PERCEPTUAL, image_size=config.data.image_size),
        **(still_start(config, data.train) if still else {}),
    }
    pairs = frame_pairs(
        data.train,
        window=config.data.window,
        batch_size=config.batch_size,
        seed=job.seed,
        crop=data.pair_crop or config.data.pair_crop,
        repeats=True,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    return Training(method, pairs, job.identity, start, more=more)


def probing(job: Job, data: Data, method: Method, steps: int) -> dict[str, Any]:
    """Returns the arguments of `fit` by which it probes keypoints on the way, where any are labelled."""
    config = job.config

    def evaluate(state) -> dict[str, float]:
        found = predict(job, method, state, data.test)
        features = features_of(job.variant, found.keypoints, method.skeleton)
        try:
            return regression(features, truth_of(found), data.test, config, job.seed, details=False)
        except InputError as error:  # training goes on
            print(f"{job.title}: no errors on labels: {error}")
            return {}

    if not config.evaluations or not data.test.skeleton.names:
        return {}
    return {"evaluate": (max(1, steps // config.evaluations), evaluate)}


def discovered(
    steps: Steps, *, compares: bool = False, still: bool = True, by_level: bool = False
) -> StagesOf:
    """Returns the stages of a variant that learns from pairs alone.

    compares: whether the method compares images by a network. still: whether it makes use of a
    still camera. by_level: whether, if the config says so, it also learns the keypoints of each
    level alone; predictions of these are kept, and so are their networks.
    """

    def stages(job: Job, data: Data) -> Stages:
        config, levels, networks = job.config, {}, {}
        weights = config.baselines.perceptual if compares else ""

        def of_size(size: int) -> Method:
            if not size:
                return method_of(job, data)
            return built(variant_of(job).build, config, data.skeleton, size)

        def stage_of(size: int, name: str, shared: Shared | None = None) -> Stage:
            def training() -> Training:
                method = of_size(size)
                return on_pairs(job, data, method, steps(config), compares=weights, still=still)

            return Stage(name, steps(config), training, shared=shared)

        def identity() -> dict[str, Any]:
            return config_as_json(config) | {"train_digest": data.train.digest}

        def with_predictions(size: int, trained: Trained) -> tuple[Any, Gathered]:
            network = of_size(size), trained
            return network, predict(job, *network, data.test)

        outcome = yield stage_of(0, job.variant)
        for number, size in enumerate(sizes_alone(config) if by_level else (), start=1):
            name, level = f"{job.variant}_{size}", f"level{number}"
            alone = yield stage_of(size, name, Shared(name, identity))
            networks[level], levels[level] = yield Work(
                functools.partial(with_predictions, size, alone.trained), (None, None)
            )
        return outcome._replace(predictions=levels, others=networks)

    return stages


def sizes_alone(config: Config) -> tuple[int, ...]:
    """Returns the numbers of keypoints of the levels that a baseline also learns alone."""
    return config.pyramid.level_sizes if config.baselines.baselines_per_level else ()


def learnt_from_joints(steps: Steps) -> StagesOf:
    """Returns the stage of the oracle, which sees as many images in a step as those that read pairs."""

    def stages(job: Job, data: Data) -> Stages:
        config = job.config

        def training() -> Training:
            method = method_of(job, data)
            images = {"labelled": data.train}
            streams = batches(job, method, images, batch_size=2 * config.batch_size)
            more = probing(job, data, method, steps(config))
            return Training(method, streams, job.identity, more=more)

        return (yield Stage(job.variant, steps(config), training))

    return stages


def as_it_begins(job: Job, data: Data) -> Stages:
    """Learns nothing, and keeps what `pyramids` starts from."""

    def begin() -> Trained:
        method = method_of(job, data)
        state = run_once(method.init)(
            named_key(named_key(jax.random.key(job.seed), "pyramids"), "init"),
            dict.fromkeys(method.streams, stack_examples([data.train[0]])),
            still_start(job.config, data.train),
        )
        return Trained(state.variables, state.frozen)

    trained = yield Work(begin)
    return NOTHING_TRAINED._replace(trained=trained)


def without_network(job: Job, data: Data) -> Stages:
    """Learns nothing: something else than keypoints is probed."""
    yield from ()
    return NOTHING_TRAINED._replace(trained=None)
