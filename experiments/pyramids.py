"""Keypoint Pyramids (Qian et al., ECCV 2022): a hierarchy of keypoints from video, without labels.

Command   python -m experiments.pyramids demo              (2 CPU cores, about 8 minutes, renders its own videos)
          python -m experiments.pyramids demo --variants all --seeds 3
          python -m experiments.pyramids_studies order demo             (intervals of ratios; also `repainting`)
          python -m experiments.pyramids own --videos clips other.mp4   (annotated videos, a table of coordinates)
          python -m experiments.pyramids h36m --variants all --seeds 3                                    (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in the report of h36m

Variants learn from pairs of frames of training videos and never see a label. On test videos, which no variant has seen,
a linear function from keypoints to annotated joints is fitted on half of the videos and tested on the others. Such a
probe flatters. An untrained network, the mean pose, and nine moments of whatever moves stand beside every variant, and
show how much of an error was discovered. Baselines have as many keypoints in one level as Keypoint Pyramids has in two.
In the small presets they have so many more steps that each variant costs the same; `--keynet-rate`, `--keynet-width`,
`--transporter-rate` and `--transporter-width` tune them. The oracle `supervised_bound` sees the joints of the training
videos; its points pass through the same probe, and `direct/flat` is the error of these points themselves, as the
paper's bound seems to be. PermaKey (Gopalakrishnan et al. 2021), the third baseline of its supplement, is not built.
`bkind` (Sun et al. 2022), a later baseline for still cameras, renders the difference of two frames. Its controls render
another target with the same network.
A run in which keypoints or rendered images show a sign of collapse for `--collapse-steps` steps stops with one line.
"""
import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments import pyramids_probes as probes
from experiments.configs import config_as_json, perceptual_options, perceptual_start
from experiments.pyramids_drawing import Render, draw_keypoints_moving, draw_masks
from experiments.pyramids_presets import PRESETS, Config
from experiments.pyramids_probes import FLAT, frames_of
from experiments.system import IMAGES, Job, Outcome, Predicting, StoredRun, System, Variant, first_state, fit_sources
from kpjax import Codec, Example, InputError, Method, Skeleton, geometry, methods, models, spatial_softmax
from kpjax.augment import no_augmentation
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.evaluation.degeneracy import stop_if_collapsed
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.images.transforms import Letterbox
from kpjax.input.pairs import frame_pairs
from kpjax.input.source import Source
from kpjax.input.video_source import VideoSource, of_videos
from kpjax.losses import Objective, absolute_difference, structural_difference, views
from kpjax.methods.discovery.bkind import bkind_pass
from kpjax.methods.discovery.discovery import (
    HEATMAPS,
    POINTS,
    STILL,
    TARGET,
    StillCamera,
    Target,
    rendered_still,
    still_videos,
)
from kpjax.methods.discovery.objectives import RECONSTRUCTION
from kpjax.methods.discovery.pyramids import painting_pass
from kpjax.models import BKinD, KeypointLevels, KeypointPyramid, points_of_maps
from kpjax.models.vgg import IMM_TAPS, VGG
from kpjax.reports.table import Column
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted

PERCEPTUAL, BKIND_PERCEPTUAL = VGG(16, IMM_TAPS), VGG(19, IMM_TAPS)  # of KeyNet's loss and of BKinD's
BKIND_WIDTH = 0.14  # of the blobs that its decoder reads at stride 4
BACKGROUND_FRAMES = 200  # of a video, about, are enough for its background
COLLAPSE_CHECK = 50  # steps between two looks for signs of collapse
ORACLE = "supervised_bound"
TRUE_JOINTS = "accuracy_of_true_joints"  # under action/, in place of keypoints

# Variants


def network_of(config: Config, sizes: tuple[int, ...] = (), *, conditioned: bool = True) -> KeypointPyramid:
    """Builds the network with levels of these sizes, else the config's. conditioned: whether level 2 reads level 1."""
    chosen, sizes = config.pyramid, sizes or config.pyramid.level_sizes
    shared = {"conditioned": conditioned, "conditioning_width": chosen.conditioning_width,
              "sharpness": chosen.sharpness, "dtype": jnp.dtype(chosen.dtype)}
    if chosen.network == "small":
        return models.small_keypoint_pyramid(sizes, side=config.data.image_size, depth=chosen.depth, **shared)
    return models.keypoint_pyramid(sizes, **shared)


def steps_of(config: Config, variant: str) -> int:
    """Returns the number of steps of a variant."""
    factors = {"keynet": config.baselines.keynet_steps, "transporter": config.baselines.transporter_steps,
               ORACLE: config.baselines.oracle_steps, **dict.fromkeys(DIFFERENCES, config.bkind.bkind_steps)}
    return max(round(config.steps * factors.get(variant, 1.0)), 1)


def _shared(config: Config, variant: str = "pyramids", rate: float = 0.0) -> dict[str, Any]:
    return {"optimizer": config.optimizer.adam(),
            "learning_rate": config.optimizer.rate(steps_of(config, variant), rate),
            "normalise": methods.imagenet_normalise}


def still_of(config: Config) -> dict[str, StillCamera]:
    """Returns the method's argument for a still camera, or none."""
    residual, share = config.still.residual, config.still.motion_weight
    return {"still": StillCamera(residual, share > 0)} if residual or share else {}


def still_start(config: Config, source: VideoSource) -> dict[str, Any]:
    """Returns the part of the start that a still camera needs, of the training videos; {} without one."""
    if not still_of(config):
        return {}
    return {STILL: still_videos((images[::-(-len(images) // BACKGROUND_FRAMES)] for images in frames_of(source)),
                                source.video, share=config.still.motion_weight)}


def build_keynet(config: Config, joints: Skeleton, size: int) -> Method:
    """KeyNet (Jakab et al. 2018) with `size` keypoints."""
    width, perceptual = config.baselines.keynet_width, config.baselines.perceptual
    network = (models.published_keynet(size, blob_width=width, dtype=jnp.dtype(config.pyramid.dtype))
               if config.baselines.baselines == "published" else
               models.as_keynet(network_of(config, (size,)), blob_width=width))
    return methods.keynet(
        objective=methods.keynet_objective(perceptual=bool(perceptual), reduction=config.weights.reduction),
        network=network, **perceptual_options(perceptual, PERCEPTUAL),
        **still_of(config), **_shared(config, "keynet", config.baselines.keynet_rate))


def build_transporter(config: Config, joints: Skeleton, size: int) -> Method:
    """Transporter (Kulkarni et al. 2019) with `size` keypoints."""
    network = (models.published_transporter(size, dtype=jnp.dtype(config.pyramid.dtype))
               if config.baselines.baselines == "published" else models.as_transporter(network_of(config, (size,))))
    return methods.transporter(
        objective=methods.transporter_objective(reduction=config.weights.reduction), network=network,
        blob_width=config.baselines.transporter_width, stop_reference=config.rendering.stop_reference,
        reference_pass=config.rendering.reference_pass, **still_of(config),
        **_shared(config, "transporter", config.baselines.transporter_rate))


def bkind_network(config: Config, size: int) -> BKinD:
    """Builds BKinD's network with `size` keypoints."""
    if config.baselines.baselines == "published":
        return models.published_bkind(size, dtype=jnp.dtype(config.pyramid.dtype))
    return models.as_bkind(network_of(config, (size,)))


def build_bkind(config: Config, size: int, target: Target) -> Method:
    """BKinD (Sun et al. 2022) with `size` keypoints, or a control that renders another target.

    Raises InputError for features of another network than VGG-19.
    """
    chosen = config.bkind
    compared = perceptual_options(chosen.bkind_perceptual, BKIND_PERCEPTUAL)
    if compared.get("perceptual", BKIND_PERCEPTUAL) != BKIND_PERCEPTUAL:
        raise InputError(f"bkind_perceptual: {chosen.bkind_perceptual} are not of VGG-19, by which BKinD balances "
                         "its loss; give such weights, or none")
    objective = methods.bkind_objective(
        reconstruction=chosen.bkind_reconstruction, rotation=chosen.bkind_rotation,
        separation=chosen.bkind_separation, perceptual=bool(compared))
    return methods.bkind(
        objective=objective, network=bkind_network(config, size), target=target,
        later=round(chosen.bkind_later * steps_of(config, "bkind")), **compared,
        **_shared(config, "bkind", chosen.bkind_rate))


class FinestHeatmaps(nn.Module):
    """Normalised images (B, H, W, 3) to the logits (B, h, w, K) float32 of the finest level."""

    keypoints: KeypointLevels

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return self.keypoints(images, train).heatmaps[-1]


def build_oracle(config: Config, joints: Skeleton, size: int) -> Method:
    """The pyramid's finest keypoint encoder, trained on the joints by the mean squared error of their coordinates.

    Coordinates lie between -1 and 1, the image's edges; scores are the highest probabilities.
    """
    model = FinestHeatmaps(network_of(config, (len(joints.names),)).keypoints)
    side = config.data.image_size
    maps = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                          jnp.zeros((1, side, side, 3)))[0]

    def encode(example: Example) -> tuple[jax.Array, jax.Array]:
        # A mean over the map cannot lie beyond it.
        shown = geometry.in_frame(example.keypoints, example.image.shape[1:3])
        return (example.keypoints + 0.5) * (2 / side) - 1, jnp.where(shown, example.visible, 0.0)

    def decode(heatmaps: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (points_of_maps(heatmaps) + 1) * (side / 2) - 0.5, spatial_softmax(heatmaps).max((1, 2))

    def point_mse(heatmaps: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
        squared = jnp.square(points_of_maps(heatmaps) - points).sum(-1)
        return (squared * visible).sum() / (2 * jnp.maximum(visible.sum(), 1))

    codec = Codec(encode, decode, geometry.half_pixel_grid(side / maps.shape[1]))
    return methods.supervised(model, joints, codec=codec, loss=point_mse, augment=no_augmentation(),
                              **_shared(config, ORACLE))


class Recipe(NamedTuple):
    """Construction of a variant: Keypoint Pyramids unless `build`, `target` or `features` is given."""

    change: Callable[[Objective, str], Objective] = lambda terms, reduction: terms  # the ablated objective
    conditioned: bool = True  # whether the second level reads the first
    build: Callable[[Config, Skeleton, int], Method] | None = None  # (config, joints, number of keypoints) -> method
    target: Target | None = None  # what BKinD's network renders
    features: Callable[[VideoSource], np.ndarray] | None = None  # probed in place of keypoints: there is no network

    def objective(self, config: Config) -> Objective:
        """Builds the objective."""
        weights = asdict(config.weights)
        objective = methods.pyramids_objective(unit=weights.pop("spring_unit"), **weights)
        return self.change(objective, config.weights.reduction)


VARIANTS: dict[str, Variant] = {
    "pyramids": Variant("method", "two levels by reconstruction, transport and a spring", "Keypoint Pyramids",
                        Recipe()),
    "keynet": Variant("baseline", "keypoints of one level, by reconstruction", "KeyNet", Recipe(build=build_keynet)),
    "transporter": Variant("baseline", "keypoints of one level, by transport", "Transporter",
                           Recipe(build=build_transporter)),
    "bkind": Variant("baseline", "keypoints of one level, by the difference of structure of two frames", "BKinD",
                     Recipe(target=structural_difference)),
    "bkind_absolute": Variant("control", "as bkind, by the absolute difference",
                              recipe=Recipe(target=absolute_difference)),
    "bkind_frame": Variant("control", "as bkind, by the frame itself",
                           recipe=Recipe(target=lambda frame, reference: frame)),
    "untrained": Variant("control", "the network that Keypoint Pyramids starts from", recipe=Recipe()),
    "mean_pose": Variant("control", "the mean position of every joint",  # a linear function of no feature
                         recipe=Recipe(features=lambda source: np.zeros((len(source), 0)))),
    "image_moments": Variant("control", "nine moments of what differs from the background",
                             recipe=Recipe(features=lambda source: image_moments(frames_of(source)))),
    "no_reconstruction": Variant("ablation", "without the reconstruction from all keypoints", "No-Reconstruction",
                                 Recipe(lambda terms, _: methods.no_reconstruction(terms))),
    "no_transport": Variant("ablation", "without transport", "No-Transport",
                            Recipe(lambda terms, _: methods.no_transport(terms))),
    "no_spring": Variant("ablation", "without the spring", "No-Spring",
                         Recipe(lambda terms, _: methods.no_spring(terms))),
    "all_transport": Variant(
        "ablation", "transport by all keypoints in place of the reconstruction", "All-Transport",
        Recipe(lambda terms, reduction: methods.all_transport(terms, reduction=reduction))),
    "all_reconstruction": Variant(
        "ablation", "a reconstruction for each level in place of its transport", "All-Reconstruction",
        Recipe(lambda terms, reduction: methods.all_reconstruction(terms, reduction=reduction))),
    "unconditioned": Variant("ablation", "the second level does not read the first", "Unconditioned",
                             Recipe(conditioned=False)),
    "supervised_bound": Variant("oracle", "the keypoint encoder trained on the joints", "supervised",
                                Recipe(build=build_oracle)),
}
BASELINES = ("keynet", "transporter")  # of the paper
DIFFERENCES = tuple(name for name, variant in VARIANTS.items() if variant.recipe.target)
WITHOUT_NETWORK = tuple(name for name, variant in VARIANTS.items() if variant.recipe.features)


def build(config: Config, joints: Skeleton, variant: str, size: int = 0) -> Method:
    """Builds the method of a variant with a network once, so that all seeds share what is compiled.

    joints: labelled keypoints, which the oracle learns. size: number of keypoints of a baseline; 0 for all levels'.
    """
    return _built(config, joints, VARIANTS[variant].recipe, size or config.pyramid.flat_size)


@functools.lru_cache(maxsize=32)
def _built(config: Config, joints: Skeleton, recipe: Recipe, size: int) -> Method:
    if recipe.target:
        return build_bkind(config, size, recipe.target)
    if recipe.build:
        return recipe.build(config, joints, size)
    return methods.pyramids(objective=recipe.objective(config), network=network_of(
        config, conditioned=recipe.conditioned), **asdict(config.rendering), **still_of(config), **_shared(config))


@functools.lru_cache(maxsize=8)
def renderer(config: Config, recipe: Recipe) -> Render:
    """Builds the function that renders all images that the terms of Keypoint Pyramids read.

    Of BKinD and its controls these are the target and what the network renders for it.
    """
    names = (RECONSTRUCTION,) if recipe.target else tuple(sorted(views(recipe.objective(config)) - {POINTS, HEATMAPS}))
    network, forward = (
        (bkind_network(config, config.pyramid.flat_size), bkind_pass(turned=False)) if recipe.target else
        (network_of(config, conditioned=recipe.conditioned),
         painting_pass(names, len(config.pyramid.level_sizes), **asdict(config.rendering))))

    @jax.jit
    def render(variables, frame, reference):
        images = [image.astype(jnp.float32) / 255 for image in (frame, reference)]
        outputs = network.apply(variables, *map(methods.imagenet_normalise, images), train=False, method=forward)
        target = {TARGET: recipe.target(*images)} if recipe.target else {}
        return target | {name: outputs[name] for name in names}

    return render


# Data, stages and measures


class Data(NamedTuple):
    """Videos of one seed. Labels of the training videos are the oracle's alone."""

    train: VideoSource
    test: VideoSource
    identity: Mapping[str, Any] = {}

    @property
    def summary(self) -> str:
        return ", ".join(f"{len(part.titles)} {name} videos of {len(part)} frames"
                         for name, part in (("training", self.train), ("test", self.test)))


def train(job: Job, data: Data) -> Outcome:
    """Trains a variant; a baseline also with the keypoints of each level alone, if the config says so."""
    config, variant = job.config, job.variant
    if VARIANTS[variant].recipe.features:
        return Outcome(None, None, 0)
    method = build(config, data.test.skeleton, variant)
    if variant == "untrained":
        return Outcome(method, first_state(job, method, data.train, "pyramids", still_start(config, data.train)), 0)
    fitted = _fit(job, method, data, job.folder, variant)
    per_level, levels = variant in BASELINES and config.baselines.baselines_per_level, {}
    for number, size in enumerate(config.pyramid.level_sizes if per_level else (), start=1):
        alone, name = build(config, data.test.skeleton, variant, size), f"{variant}_{size}"
        stage = job.stage(name, lambda folder, alone=alone, name=name: _fit(job, alone, data, folder, name),
                          config=config_as_json(config))
        levels[f"level{number}"] = predict(job, alone, stage.trained, data.test)
    return Outcome(method, fitted.trained, fitted.steps, fitted.images_per_second, fitted.wall_seconds,
                   predictions=levels, images=fitted.images)


def _fit(job: Job, method: Method, data: Data, folder, stage: str) -> Fitted:
    """`fit` with the linear probe on the way, and for discovery the check for collapse."""
    config, oracle = job.config, job.variant == ORACLE

    def evaluate(state) -> dict[str, float]:
        found = predict(job, method, state, data.test)
        features = {FLAT: found.keypoints} if oracle else probes.levels_of(found.keypoints, method.skeleton)
        return probes.regression(features, probes.truth_of(found), data.test, config, job.seed, details=False).values

    steps = steps_of(config, job.variant)
    options = {"steps": steps, "stage": stage, "folder": folder, "config": job.identity()}
    if config.evaluations and data.test.skeleton.names:
        options |= {"evaluate": evaluate, "evaluate_every": max(1, steps // config.evaluations)}
    if oracle:  # sees as many images in a step as those that read pairs
        return fit_sources(job, method, {"labelled": data.train}, batch_size=2 * config.batch_size, **options)
    if config.collapse_steps:
        check = stop_if_collapsed(config.collapse_steps, baselines=config.collapse_baselines)
        options["between"] = (COLLAPSE_CHECK, check)
    if job.variant in DIFFERENCES:
        start = perceptual_start(config.bkind.bkind_perceptual, BKIND_PERCEPTUAL, image_size=config.data.image_size)
        window = min(config.data.window, config.bkind.bkind_window)
    else:
        compares = config.baselines.perceptual if job.variant == "keynet" else ""
        start = {**perceptual_start(compares, PERCEPTUAL, image_size=config.data.image_size),
                 **still_start(config, data.train)}
        window = config.data.window
    pairs = frame_pairs(data.train, window=window, batch_size=config.batch_size, seed=job.seed,
                        crop=config.data.pair_crop, repeats=True, process_index=jax.process_index(),
                        process_count=jax.process_count())
    return job.fit(method, pairs, key=jax.random.key(job.seed), start=start, **options)


def predict(job: Job, method: Method, state: Any, source: Source) -> Gathered:
    """Predicts all frames of a source."""
    return predict_source(method, state, source, batch_size=SYSTEM.batch_size(job.config))


def measure(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Probes what a variant knows of test videos, and for signs of degenerate keypoints; writes errors of frames, too.

    The recurrent probe leaves a baseline's levels aside: they are other networks.
    """
    config, oracle, read = job.config, job.variant == ORACLE, VARIANTS[job.variant].recipe.features
    if read:
        features, truth, values = {FLAT: read(data.test)}, probes.truth_of(data.test), {}
    else:
        found, skeleton = predictions["test"], outcome.method.skeleton
        values, truth = probes.degeneracy(found.keypoints, config.data.image_size), probes.truth_of(found)
        values |= probes.motion(data.test, found.keypoints)
        features = {FLAT: found.keypoints} if oracle else probes.levels_of(found.keypoints, skeleton) | {
            level: alone.keypoints for level, alone in predictions.items() if level != "test"}
    if data.test.skeleton.names:
        errors = probes.regression(features, truth, data.test, config, job.seed)
        probes.write_errors(job.folder, errors)
        values |= errors.values
        if oracle:
            own = probes.regression(features, truth, data.test, config, job.seed, details=False, direct=True)
            values[f"direct/{FLAT}"] = own.values[f"rmse/{FLAT}"]
    if probes.actions_of(data.test) is None or not features[FLAT].size:
        return values
    training, count = data.train, config.evaluation.action_training_videos
    if 0 < count < len(training.titles):
        training = of_videos(training, range(count))
    if read:
        known = {FLAT: read(training)}
    else:
        found = predict(job, outcome.method, outcome.trained, training)
        known = probes.levels_of(found.keypoints, skeleton) if config.evaluation.action_per_level else {
            FLAT: found.keypoints}
        if oracle:
            known[TRUE_JOINTS], features[TRUE_JOINTS] = probes.truth_of(found).joints, truth.joints
    return values | probes.actions(known, training, features, data.test, config.evaluation, job.seed)


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws keypoints on test videos, moving and in a sheet, and the masks that features pass through."""
    method, config, recipe = outcome.method, job.config, VARIANTS[job.variant].recipe
    if method is None or jax.process_index() != 0:
        return
    folder, found, oracle = job.folder / IMAGES, predictions["test"], job.variant == ORACLE
    draw_keypoints_moving(folder / "keypoints_moving.png", data.test, found.keypoints, method.skeleton)
    rows = np.linspace(0, len(data.test) - 1, 16).round().astype(int)
    true = {"true": found.true_keypoints[rows], "visible": found.visible[rows]} if oracle else {}
    write_png(folder / "keypoints.png", prediction_sheet(
        [data.test[row].image for row in rows], found.keypoints[rows], None, method.skeleton, columns=4, **true))
    if oracle:
        return
    still = still_start(config, data.test).get(STILL) if config.still.residual and not recipe.target else None
    widths = {"keynet": (config.baselines.keynet_width,), "transporter": (config.baselines.transporter_width,),
              **dict.fromkeys(DIFFERENCES, (BKIND_WIDTH,))}
    draw_masks(folder / "masks.png", data.test, found.keypoints, method, outcome.trained,
               widths=widths.get(job.variant, config.rendering.transport_widths),
               render=None if recipe.build else renderer(config, recipe),
               finished=still and (lambda rows, output: rendered_still(still, data.test.video[rows], output)))


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the probe's errors, actions, and signs of degenerate keypoints."""
    unit = f"px of {config.data.image_size}"
    levels = {"flat": "all keypoints", "level1": "first level", "level2": "second level"}
    titles = {f"rmse/{level}": f"error from {title}" for level, title in levels.items()}
    if config.data.data == "human36m_videos":
        titles |= {f"units/pixels_per_image/{level}": f"{title}, of an image's joints together"
                   for level, title in levels.items()}
    return (*(Column(metric, title, unit, 1.0, 2, "lower") for metric, title in titles.items()),
            Column("direct/flat", "error of its own points", unit, 1.0, 2, "lower"),
            Column("action/accuracy", "actions", "%", 100.0, 1),
            Column("points_on_motion", "points on what moves", "%", 100.0, 0),
            Column("motion_coverage", "motion near a point", "%", 100.0, 0),
            Column("coincident_points", "coincident pairs", "", 1.0, 1, "lower"),
            Column("live_points", "live points", "", 1.0, 0),
            Column("point_spread", "distance between points", "of a side of 2", 1.0, 2))


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, which are letterboxed."""
    config, variant, skeleton = stored
    joints = skeleton if variant == ORACLE else Skeleton(())
    return Predicting(build(config, joints, variant), Letterbox(config.data.image_size), "softmax_peak")


SYSTEM = System(
    "pyramids", "a hierarchy of keypoints from video, without labels", PRESETS, VARIANTS,
    lambda job: Data(*job.config.data.open(job.seed, job.data_dir)), train,
    evaluated=lambda job, data: {} if VARIANTS[job.variant].recipe.features else {"test": data.test}, measure=measure,
    columns=columns, predicting=predicting,
    short_list=lambda preset, config: ("pyramids", *BASELINES, "untrained", *WITHOUT_NETWORK, ORACLE),
    applicable=lambda preset, config: tuple(VARIANTS), batch_size=lambda config: 4 * config.batch_size, draw=draw)

if __name__ == "__main__":
    from experiments.command_line import main

    main("pyramids")
