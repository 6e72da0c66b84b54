"""Stages of Keypoint Pyramids: discovery from pairs of frames, training on joints, and networks as
they begin.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kpjax import InputError, Method, Skeleton, Trained, methods, models, named_key
from kpjax.evaluation.degeneracy import stop_if_collapsed
from kpjax.input.pairs import frame_pairs
from kpjax.input.source import stack_examples
from kpjax.input.video_source import VideoSource, frames_of
from kpjax.methods.perceptual import perceptual_start
from kpjax.methods.pyramids_family.discovery import STILL, StillCamera, still_videos
from kpjax.models import KeypointPyramid
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.papers import engine
from kpjax.papers.configs import config_as_json
from kpjax.papers.engine import Job, Lengths, Outcome, Variant
from kpjax.papers.pyramids.config import Config
from kpjax.papers.pyramids.measures import Data, features_of, predict, regression, truth_of
from kpjax.platforms import run_once
from kpjax.training.fit import Fitted

PERCEPTUAL = VGG(16, IMM_TAPS)  # features of KeyNet's loss
BACKGROUND_FRAMES = 200  # about so many frames of a video are enough for its background
COLLAPSE_CHECK = 50  # steps between two looks for signs of collapse

# (config, joints, number of keypoints of a method of one level) -> method
Build = Callable[[Config, Skeleton, int], Method]
Steps = Callable[[Config], int]
Train = Callable[[Job, Data], Outcome]

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


@functools.lru_cache(maxsize=64)
def build_once(build: Build, config: Config, joints: Skeleton, size: int) -> Method:
    """Builds a method once, so that all seeds share what is compiled."""
    return build(config, joints, size)


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


def discover(
    job: Job,
    method: Method,
    data: Data,
    folder: Any,
    stage: str,
    *,
    steps: int,
    compares: str = "",
    still: bool = True,
) -> Fitted:
    """Learns from pairs of frames, with the linear probe on the way and the check for collapse.

    compares: weights of the network that compares images, if the method reads one. still: whether
    it makes use of a still camera, where the config has one.
    """
    config = job.config
    options = _options(job, method, data, folder, stage, steps)
    if config.collapse_steps:
        check = stop_if_collapsed(config.collapse_steps, baselines=config.collapse_baselines)
        options["between"] = (COLLAPSE_CHECK, check)
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
    return engine.fit_streams(job, method, pairs, start=start, **options)


def _options(
    job: Job, method: Method, data: Data, folder: Any, stage: str, steps: int
) -> dict[str, Any]:
    """Returns the arguments of `fit` that all stages share, with the linear probe on the way."""
    config = job.config

    def evaluate(state) -> dict[str, float]:
        found = predict(job, method, state, data.test)
        features = features_of(job.variant, found.keypoints, method.skeleton)
        try:
            return regression(features, truth_of(found), data.test, config, job.seed, details=False)
        except InputError as error:  # training goes on
            print(f"{job.title}: no errors on labels: {error}")
            return {}

    options = {"steps": steps, "stage": stage, "folder": folder, "config": job.identity()}
    if config.evaluations and data.test.skeleton.names:
        options["evaluate"] = max(1, steps // config.evaluations), evaluate
    return options


def learnt(method: Method, fitted: Fitted, **more: Any) -> Outcome:
    """Returns the outcome of a stage: its last step."""
    return Outcome(
        method,
        fitted.trained,
        fitted.steps,
        fitted.images_per_second,
        fitted.wall_seconds,
        images=fitted.images,
        **more,
    )


def discovery_stage(
    build: Build, steps: Steps, *, compares: bool = False, still: bool = True
) -> Train:
    """Returns the stage of a variant that learns from pairs alone.

    compares: whether the method compares images by a network. still: whether it makes use of a
    still camera.
    """

    def train(job: Job, data: Data) -> Outcome:
        config = job.config
        method = build_once(build, config, data.test.skeleton, 0)
        weights = config.baselines.perceptual if compares else ""
        fitted = discover(
            job,
            method,
            data,
            job.folder,
            job.variant,
            steps=steps(config),
            compares=weights,
            still=still,
        )
        return learnt(method, fitted)

    return train


def discovered_by_level(
    build: Build, steps: Steps, *, compares: bool = False, still: bool = True
) -> Train:
    """Returns the stages of a baseline: with all keypoints in one level and, if the config says so,
    with the keypoints of each level alone. Predictions of these are kept, and so are their networks.

    compares, still: as for `discovery_stage`.
    """
    with_all = discovery_stage(build, steps, compares=compares, still=still)

    def train(job: Job, data: Data) -> Outcome:
        config, levels, networks = job.config, {}, {}
        outcome = with_all(job, data)
        weights = config.baselines.perceptual if compares else ""
        for number, size in enumerate(sizes_alone(config), start=1):
            alone = build_once(build, config, data.test.skeleton, size)
            name = f"{job.variant}_{size}"

            def fit(folder, alone=alone, name=name) -> Fitted:
                return discover(
                    job,
                    alone,
                    data,
                    folder,
                    name,
                    steps=steps(config),
                    compares=weights,
                    still=still,
                )

            identity = config_as_json(config) | {"train_digest": data.train.digest}
            stage = job.stage(name, fit, config=identity)
            networks[f"level{number}"] = alone, stage.trained
            levels[f"level{number}"] = predict(job, alone, stage.trained, data.test)
        return outcome._replace(predictions=levels, others=networks)

    return train


def sizes_alone(config: Config) -> tuple[int, ...]:
    """Returns the numbers of keypoints of the levels that a baseline also learns alone."""
    return config.pyramid.level_sizes if config.baselines.baselines_per_level else ()


def learnt_from_joints(build: Build, steps: Steps) -> Train:
    """Returns the stage of the oracle, which sees as many images in a step as those that read pairs."""

    def train(job: Job, data: Data) -> Outcome:
        config = job.config
        method = build_once(build, config, data.test.skeleton, 0)
        fitted = engine.fit_sources(
            job,
            method,
            {"labelled": data.train},
            batch_size=2 * config.batch_size,
            **_options(job, method, data, job.folder, job.variant, steps(config)),
        )
        return learnt(method, fitted)

    return train


def as_it_begins(build: Build) -> Train:
    """Returns the stage of a variant that learns nothing: what `pyramids` starts from."""

    def train(job: Job, data: Data) -> Outcome:
        method = build_once(build, job.config, data.test.skeleton, 0)
        init = functools.partial(jax.eval_shape, method.init) if job.plan else run_once(method.init)
        state = init(
            named_key(named_key(jax.random.key(job.seed), "pyramids"), "init"),
            dict.fromkeys(method.streams, stack_examples([data.train[0]])),
            still_start(job.config, data.train),
        )
        return Outcome(method, Trained(state.variables, state.frozen), 0)

    return train


def without_network(job: Job, data: Data) -> Outcome:
    """Learns nothing: something else than keypoints is probed."""
    return Outcome(None, None, 0)


# Variants as lines of a table


def nothing_trained(config: Config, name: str) -> dict[str, float]:
    """Returns that a variant has no stage."""
    return {}


def one_stage(steps: Steps) -> Lengths:
    """Returns the length of a variant of one stage."""
    return lambda config, name: {name: steps(config)}


def one_stage_a_level(steps: Steps) -> Lengths:
    """Returns the lengths of a baseline, which may also learn each level alone."""

    def lengths(config: Config, name: str) -> dict[str, float]:
        names = [name, *(f"{name}_{size}" for size in sizes_alone(config))]
        return dict.fromkeys(names, steps(config))

    return lengths


def variant(
    kind: str, line: str, build: Build | None, train: Train, lengths: Lengths, *, label: str = ""
) -> Variant:
    """Returns a line of the table. build: of what predicts with the result, None without network."""

    def method(config: Config, joints: Skeleton) -> Method:
        return build_once(build, config, joints, 0)

    return Variant(kind, line, label, train=train, method=build and method, lengths=lengths)
