"""Keypoint Pyramids (Qian et al., ECCV 2022): a hierarchy of keypoints from video, without labels.

Command   python -m experiments.pyramids demo              (2 CPU cores, about 8 minutes, renders its own videos)
          python -m experiments.pyramids demo --variants all --seeds 3
          python -m experiments.pyramids_studies order demo             (ratios between variants, with intervals)
          python -m experiments.pyramids_studies repainting demo        (images from keypoints alone)
          python -m experiments.pyramids own --videos clips other.mp4   (annotated videos, a table of coordinates)
          python -m experiments.pyramids h36m --variants all --seeds 3                                    (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in the report of h36m

Variants learn from pairs of frames of training videos and never see a label. On test videos, which no variant has seen,
a linear function from keypoints to annotated joints is fitted on half of the videos and tested on the others. Such a
probe flatters. An untrained network, the mean pose, and nine moments of whatever moves stand beside every variant, and
show how much of an error was discovered. All trained variants have equal steps. Baselines have as many keypoints in one
level as Keypoint Pyramids has in two, and the oracle `supervised_bound` sees the joints of the training videos.

A run in which keypoints or rendered images show a sign of collapse for `--collapse-steps` steps stops with one line.
"""
import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.configs import config_as_json
from experiments.pyramids_drawing import Render, draw_keypoints_moving, draw_keypoints_sheet, draw_masks
from experiments.pyramids_presets import PRESETS, Config, paper_numbers
from experiments.pyramids_probes import (
    FLAT,
    actions,
    actions_of,
    degeneracy,
    first_videos,
    frames_of,
    levels_of,
    regression,
    truth_of,
    write_errors,
)
from experiments.system import IMAGES, Job, Outcome, Predicting, StoredRun, System, Variant, fit_sources
from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
from kpjax.evaluation.degeneracy import stop_if_collapsed
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.heatmaps import Codec, spatial_softmax
from kpjax.images.transforms import Letterbox
from kpjax.input.pairs import frame_pairs
from kpjax.input.source import Source
from kpjax.input.video_source import VideoSource
from kpjax.losses.objective import Objective, views
from kpjax.methods.discovery.discovery import POINTS
from kpjax.methods.discovery.keynet import keynet, keynet_objective
from kpjax.methods.discovery.objectives import (
    all_reconstruction,
    all_transport,
    no_reconstruction,
    no_spring,
    no_transport,
)
from kpjax.methods.discovery.pyramids import painting_pass, pyramids
from kpjax.methods.discovery.transporter import transporter, transporter_objective
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.supervised_learning import supervised
from kpjax.models.image_generation import normalised_points
from kpjax.models.pyramid import KeypointLevels, KeypointPyramid
from kpjax.models.pyramid_baselines import as_keynet, as_transporter, published_keynet, published_transporter
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.models.weights.imagenet import load_vgg
from kpjax.reports.table import Column
from kpjax.structures import Example, Method, Skeleton, Trained, named_key
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted

NAME = "pyramids"
COLLAPSE_CHECK = 50  # steps between two looks for signs of collapse

# Variants


def network_of(config: Config, sizes: tuple[int, ...], *, conditioned: bool = True) -> KeypointPyramid:
    """Builds the network with levels of these sizes. conditioned: whether the second level reads the first."""
    return config.pyramid.build(sizes, side=config.data.image_size, conditioned=conditioned)


def _shared(config: Config) -> dict[str, Any]:
    return {"optimizer": config.optimizer.adam(), "learning_rate": config.optimizer.rate(config.steps),
            "normalise": imagenet_normalise}


def build_pyramids(config: Config, objective: Objective, *, conditioned: bool = True) -> Method:
    """Keypoint Pyramids with an objective."""
    network = network_of(config, config.pyramid.level_sizes, conditioned=conditioned)
    return pyramids(objective=objective, network=network, **asdict(config.rendering), **_shared(config))


def build_keynet(config: Config, joints: Skeleton, size: int) -> Method:
    """KeyNet (Jakab et al. 2018) with `size` keypoints."""
    chosen = config.baselines
    network = (published_keynet(size, blob_width=chosen.keynet_width, dtype=jnp.dtype(config.pyramid.dtype))
               if chosen.baselines == "published" else
               as_keynet(network_of(config, (size,)), blob_width=chosen.keynet_width))
    perceptual = {"perceptual": VGG(16, IMM_TAPS)} if chosen.perceptual else {}
    return keynet(objective=keynet_objective(perceptual=bool(chosen.perceptual), reduction=config.weights.reduction),
                  network=network, **perceptual, **_shared(config))


def build_transporter(config: Config, joints: Skeleton, size: int) -> Method:
    """Transporter (Kulkarni et al. 2019) with `size` keypoints."""
    network = (published_transporter(size, dtype=jnp.dtype(config.pyramid.dtype))
               if config.baselines.baselines == "published" else as_transporter(network_of(config, (size,))))
    return transporter(objective=transporter_objective(reduction=config.weights.reduction), network=network,
                       blob_width=config.baselines.transporter_width, stop_reference=config.rendering.stop_reference,
                       reference_pass=config.rendering.reference_pass, **_shared(config))


class FinestHeatmaps(nn.Module):
    """Normalised images (B, H, W, 3) to the logits (B, h, w, K) float32 of the finest level."""

    keypoints: KeypointLevels

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.keypoints(images, train).heatmaps[-1]


def point_codec(side: int, cells: int) -> Codec:
    """Builds a codec of normalised points (B, K, 2), the centres of the first and the last pixel at -1 and 1.

    They are decoded as the mean positions of heatmaps of `cells` x `cells`; scores are the highest probabilities.
    """
    last = side - 1

    def encode(example: Example) -> tuple[jax.Array, jax.Array]:
        return example.keypoints * (2 / last) - 1, example.visible

    def decode(heatmaps: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (normalised_points(heatmaps) + 1) * (last / 2), spatial_softmax(heatmaps).max((1, 2))

    return Codec(encode, decode, geometry.scaling((cells - 1) / last))


def point_mse(heatmaps: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
    """Computes the mean squared error of the visible normalised coordinates."""
    squares = jnp.square(normalised_points(heatmaps) - points).sum(-1)
    return (squares * visible).sum() / (2 * jnp.maximum(visible.sum(), 1))


def build_oracle(config: Config, joints: Skeleton, size: int) -> Method:
    """The pyramid's finest keypoint encoder, trained on the joints themselves."""
    model = FinestHeatmaps(network_of(config, (len(joints.names),)).keypoints)
    side = config.data.image_size
    heatmaps = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                              jnp.zeros((1, side, side, 3)))[0]
    return supervised(model, joints, codec=point_codec(side, heatmaps.shape[1]), loss=point_mse,
                      augment=no_augmentation(), **_shared(config))


def nothing(source: VideoSource) -> np.ndarray:
    """Returns no feature, (N, 0): a linear function of it is the mean pose."""
    return np.zeros((len(source), 0))


def moments(source: VideoSource) -> np.ndarray:
    """Computes nine moments of what differs from the background, (N, 9)."""
    return image_moments(frames_of(source))


class Recipe(NamedTuple):
    """Construction of a variant: Keypoint Pyramids unless `build` or `features` is given."""

    change: Callable[[Objective, Config], Objective] = lambda objective, config: objective
    conditioned: bool = True  # whether the second level reads the first
    build: Callable[[Config, Skeleton, int], Method] | None = None  # (config, joints, number of keypoints) -> method
    features: Callable[[VideoSource], np.ndarray] | None = None  # probed in place of keypoints: there is no network

    def objective(self, config: Config) -> Objective:
        """Builds the objective."""
        return self.change(config.weights.objective(), config)


VARIANTS: dict[str, Variant] = {
    "pyramids": Variant("method", "two levels by reconstruction, transport and a spring", "Keypoint Pyramids",
                        Recipe()),
    "keynet": Variant("baseline", "keypoints of one level, by reconstruction", "KeyNet", Recipe(build=build_keynet)),
    "transporter": Variant("baseline", "keypoints of one level, by transport", "Transporter",
                           Recipe(build=build_transporter)),
    "untrained": Variant("control", "the network that Keypoint Pyramids starts from", recipe=Recipe()),
    "mean_pose": Variant("control", "the mean position of every joint", recipe=Recipe(features=nothing)),
    "image_moments": Variant("control", "nine moments of what differs from the background",
                             recipe=Recipe(features=moments)),
    "no_reconstruction": Variant("ablation", "without the reconstruction from all keypoints", "No-Reconstruction",
                                 Recipe(lambda objective, config: no_reconstruction(objective))),
    "no_transport": Variant("ablation", "without transport", "No-Transport",
                            Recipe(lambda objective, config: no_transport(objective))),
    "no_spring": Variant("ablation", "without the spring", "No-Spring",
                         Recipe(lambda objective, config: no_spring(objective))),
    "all_transport": Variant(
        "ablation", "transport by all keypoints in place of the reconstruction", "All-Transport",
        Recipe(lambda objective, config: all_transport(objective, reduction=config.weights.reduction))),
    "all_reconstruction": Variant(
        "ablation", "a reconstruction for each level in place of its transport", "All-Reconstruction",
        Recipe(lambda objective, config: all_reconstruction(objective, reduction=config.weights.reduction))),
    "unconditioned": Variant("ablation", "the second level does not read the first", "Unconditioned",
                             Recipe(conditioned=False)),
    "supervised_bound": Variant("oracle", "the keypoint encoder trained on the joints", "supervised",
                                Recipe(build=build_oracle)),
}
ORACLE = "supervised_bound"
BASELINES = tuple(name for name, variant in VARIANTS.items() if variant.kind == "baseline")
WITHOUT_NETWORK = tuple(name for name, variant in VARIANTS.items() if variant.recipe.features)
PYRAMIDS = tuple(name for name, variant in VARIANTS.items() if not (variant.recipe.build or variant.recipe.features))


def build(config: Config, joints: Skeleton, variant: str, size: int = 0) -> Method:
    """Builds the method of a variant once, so that all seeds share what is compiled.

    Args:
        config: of the run.
        joints: labelled keypoints, which the oracle learns.
        variant: one with a network.
        size: number of keypoints of a baseline; 0 for those of all levels.
    """
    return _built(config, joints, VARIANTS[variant].recipe, size or config.pyramid.flat_size)


@functools.lru_cache(maxsize=32)
def _built(config: Config, joints: Skeleton, recipe: Recipe, size: int) -> Method:
    if recipe.build:
        return recipe.build(config, joints, size)
    return build_pyramids(config, recipe.objective(config), conditioned=recipe.conditioned)


@functools.lru_cache(maxsize=8)
def renderer(config: Config, recipe: Recipe) -> Render:
    """Builds the function that renders all images that the terms of Keypoint Pyramids read."""
    names = tuple(sorted(views(recipe.objective(config)) - {POINTS}))
    network = network_of(config, config.pyramid.level_sizes, conditioned=recipe.conditioned)
    forward = painting_pass(names, len(config.pyramid.level_sizes), **asdict(config.rendering))

    @jax.jit
    def render(variables, frame, reference):
        frame, reference = (imagenet_normalise(images.astype(jnp.float32) / 255) for images in (frame, reference))
        outputs = network.apply(variables, frame, reference, train=False, method=forward)
        return {name: outputs[name] for name in names}

    return render


# Data, stages and measures


class Data(NamedTuple):
    """Videos of one seed. Labels of the training videos are the oracle's alone."""

    train: VideoSource
    test: VideoSource
    identity: Mapping[str, Any] = MappingProxyType({})

    @property
    def joints(self) -> Skeleton:
        """Labelled keypoints; none in videos without labels."""
        return self.test.skeleton

    @property
    def summary(self) -> str:
        return ", ".join(f"{len(part.titles)} {name} videos of {len(part)} frames"
                         for name, part in (("training", self.train), ("test", self.test)))


def open_data(job: Job) -> Data:
    """Opens training and test videos."""
    return Data(*job.config.data.open(job.seed, job.data_dir))


def train(job: Job, data: Data) -> Outcome:
    """Trains a variant; a baseline also with the keypoints of each level alone, if the config says so."""
    config, variant = job.config, job.variant
    if VARIANTS[variant].recipe.features:
        return Outcome(None, None, 0)
    method = build(config, data.joints, variant)
    if variant == "untrained":
        return Outcome(method, _initial(job, method), 0)
    fitted = _fit(job, method, data, job.folder, variant)
    levels = _per_level(job, data) if variant in BASELINES and config.baselines.baselines_per_level else {}
    return Outcome(method, fitted.trained, config.steps, fitted.images_per_second, fitted.wall_seconds,
                   predictions=levels)


def _fit(job: Job, method: Method, data: Data, folder, stage: str) -> Fitted:
    """`fit` with the linear probe on the way, and for discovery the check for collapse."""
    config, oracle = job.config, job.variant == ORACLE

    def evaluate(state) -> dict[str, float]:
        found = predict(job, method, state, data.test)
        features = {FLAT: found.keypoints} if oracle else levels_of(found.keypoints, method.skeleton)
        return regression(features, truth_of(found), data.test, config, job.seed, details=False, direct=oracle).values

    options: dict[str, Any] = {"steps": config.steps, "stage": stage, "folder": folder, "config": job.identity()}
    if config.evaluations and data.joints.names:
        options |= {"evaluate": evaluate, "evaluate_every": max(1, config.steps // config.evaluations)}
    if oracle:  # sees as many images in a step as those that read pairs
        return fit_sources(job, method, {"labelled": data.train}, batch_size=2 * config.batch_size, **options)
    if config.collapse_steps:
        check = stop_if_collapsed(config.collapse_steps, baselines=config.collapse_baselines)
        options["between"] = (COLLAPSE_CHECK, check)
    pairs = frame_pairs(
        data.train, window=config.data.window, batch_size=config.batch_size, seed=job.seed, crop=config.data.pair_crop,
        repeats=True, process_index=jax.process_index(), process_count=jax.process_count())
    return job.fit(method, pairs, key=jax.random.key(job.seed), start=perceptual_start(job), **options)


def _per_level(job: Job, data: Data) -> dict[str, Gathered]:
    """Returns a baseline's predictions for each level: stages of their own with as many keypoints."""
    found = {}
    for number, size in enumerate(job.config.pyramid.level_sizes, start=1):
        method, name = build(job.config, data.joints, job.variant, size), f"{job.variant}_{size}"
        stage = job.stage(name, lambda folder, method=method, name=name: _fit(job, method, data, folder, name),
                          config=config_as_json(job.config))
        found[f"level{number}"] = predict(job, method, stage.trained, data.test)
    return found


def _initial(job: Job, method: Method) -> Trained:
    """Returns the network that `pyramids` of this seed starts from."""
    side = job.config.data.image_size
    blank = Example(*(jnp.zeros((1, *shape), dtype) for shape, dtype in (
        ((side, side, 3), jnp.uint8), ((0, 2), jnp.float32), ((0,), jnp.float32), ((), jnp.float32),
        ((3, 3), jnp.float32), ((), jnp.int32))))
    key = named_key(named_key(jax.random.key(job.seed), NAME), "init")
    state = jax.jit(method.init)(key, dict.fromkeys(method.streams, blank), {})
    return Trained(state.variables, state.frozen)


def perceptual_start(job: Job) -> dict[str, Any]:
    """Returns the weights of VGG-16 that `keynet` starts from beside its network, if the config names them."""
    weights, side = job.config.baselines.perceptual, job.config.data.image_size
    if not weights or job.variant != "keynet":
        return {}
    fresh = jax.jit(VGG(16, IMM_TAPS).init)(jax.random.key(0), jnp.zeros((1, side, side, 3)))
    imported = load_vgg(fresh, weights)
    print(f"VGG-16 weights: {imported.report}")
    return {"perceptual": imported.variables}


def predict(job: Job, method: Method, state: Any, source: Source) -> Gathered:
    """Predicts all frames of a source."""
    return predict_source(method, state, source, batch_size=SYSTEM.batch_size(job.config))


def evaluated(job: Job, data: Data) -> dict[str, Source]:
    """Returns the test videos, which a variant without a network does not predict."""
    return {} if VARIANTS[job.variant].recipe.features else {"test": data.test}


def measure(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Probes what a variant knows of test videos: joints, actions, and signs of degenerate keypoints.

    Writes the errors of single frames, too. Levels of baselines are other networks, which the recurrent probe leaves
    aside.
    """
    config, oracle, read = job.config, job.variant == ORACLE, VARIANTS[job.variant].recipe.features
    training = first_videos(data.train, config.evaluation.action_training_videos)
    knows_actions, values, true = actions_of(data.test) is not None, {}, None
    if read:
        features, truth = {FLAT: read(data.test)}, truth_of(data.test)
        knows_actions = knows_actions and bool(features[FLAT].size)
        known = {FLAT: read(training)} if knows_actions else {}
    else:
        found, skeleton = predictions["test"], outcome.method.skeleton
        values, truth = degeneracy(found.keypoints, config.data.image_size), truth_of(found)
        features = {FLAT: found.keypoints} if oracle else levels_of(found.keypoints, skeleton) | {
            level: alone.keypoints for level, alone in predictions.items() if level != "test"}
        if knows_actions:
            of_training = predict(job, outcome.method, outcome.trained, training)
            known, true = levels_of(of_training.keypoints, skeleton), truth_of(of_training).joints
    if data.joints.names:
        errors = regression(features, truth, data.test, config, job.seed, direct=oracle)
        write_errors(job.folder, errors)
        values |= errors.values
    if knows_actions:
        probed = {level: points for level, points in features.items() if level in known}
        values |= actions(known, training, probed, data.test, config.evaluation, job.seed)
        if oracle:
            values["action/accuracy_of_true_joints"] = actions(
                {FLAT: true}, training, {FLAT: truth.joints}, data.test, config.evaluation, job.seed)["action/accuracy"]
    return values


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws keypoints on test videos, moving and in a sheet, and the masks that features pass through."""
    method, config, recipe = outcome.method, job.config, VARIANTS[job.variant].recipe
    if method is None or jax.process_index() != 0:
        return
    folder, found, oracle = job.folder / IMAGES, predictions["test"], job.variant == ORACLE
    draw_keypoints_moving(folder / "keypoints_moving.png", data.test, found.keypoints, method.skeleton)
    draw_keypoints_sheet(folder / "keypoints.png", data.test, found, method.skeleton, true=oracle)
    if oracle:
        return
    widths = {"keynet": (config.baselines.keynet_width,), "transporter": (config.baselines.transporter_width,)}
    draw_masks(folder / "masks.png", data.test, found.keypoints, method, outcome.trained,
               widths=widths.get(job.variant, config.rendering.transport_widths),
               render=None if recipe.build else renderer(config, recipe))


# The table


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """Returns the variants that a preset runs when none are named."""
    return ("pyramids", *BASELINES, "untrained", *WITHOUT_NETWORK, ORACLE)


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the probe's errors, actions, and signs of degenerate keypoints."""
    unit = f"px of {config.data.image_size}"
    levels = (("flat", "all keypoints"), ("level1", "first level"), ("level2", "second level"))
    paper = tuple(Column(f"units/pixels_per_image/{level}", f"{title}, of an image's joints together", unit, 1.0, 2,
                         "lower") for level, title in levels) if config.data.data == "human36m_videos" else ()
    errors = (Column(f"rmse/{level}", f"error from {title}", unit, 1.0, 2, "lower") for level, title in levels)
    return (*errors, *paper, Column("action/accuracy", "actions", "%", 100.0, 1),
            Column("live_points", "live points", "", 1.0, 0),
            Column("point_spread", "distance between points", "of a side of 2", 1.0, 2))


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, which are letterboxed."""
    config, variant, skeleton = stored
    joints = skeleton if variant == ORACLE else Skeleton(())
    return Predicting(build(config, joints, variant), Letterbox(config.data.image_size), "softmax_peak")


SYSTEM = System(
    NAME, "a hierarchy of keypoints from video, without labels", PRESETS, VARIANTS, open_data, train, evaluated,
    measure, columns, predicting, short_list, applicable=lambda preset, config: tuple(VARIANTS),
    shortened=lambda config, steps: replace(config, steps=steps), batch_size=lambda config: 4 * config.batch_size,
    paper=lambda preset, config, variant: paper_numbers(preset, variant), draw=draw)

if __name__ == "__main__":
    from experiments.command_line import main

    main(NAME)
