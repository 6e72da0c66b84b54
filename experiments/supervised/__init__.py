"""Learning keypoints from labelled pictures, and nothing else: the reference of every comparison.

Command   python -m experiments.supervised demo                            (2 CPU cores, seconds, draws its own data)
          python -m data deeplabcut --manual-dir my-project                (any DeepLabCut project of one animal)
          python -m experiments.supervised openfield                       (2 CPU cores, about 2 minutes)
          python -m experiments.supervised faces                           (2 CPU cores, about 3 minutes)
          python -m experiments predict runs/supervised/openfield/supervised/seed-0 PICTURES --out FOLDER
Expected  the open-field mouse, 80 labelled frames: 95 % of the test points within a tenth of the body's diagonal;
          faces, 220 labelled: a mean error of 8.3 % of the distance between the eyes (seed 0)

A part of the training pictures is held out, and the checkpoint that is best there is the result. Test pictures are
looked at once, at the end. Frames of one video are much alike, so a random split of them says how well the gaps of a
labelled video are filled, not how a new video will fare.
"""
import functools
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from data.prepared import open_source
from experiments.command_line import Experiment, Job, Variant, run_folder
from experiments.domains import Splits, decoded_once, open_domain
from experiments.networks import heatmap_network, imagenet_start
from experiments.prediction_pictures import draw_predictions
from experiments.supervised.config import PRESETS, Config
from kpjax import geometry, metrics
from kpjax.augment import (
    Augment,
    colour_jitter,
    compose_augmentations,
    random_blur,
    random_flip,
    random_noise,
    random_warp,
)
from kpjax.errors import InputError
from kpjax.heatmaps import (
    Codec,
    Decoder,
    codec,
    decode_argmax,
    decode_dark,
    decode_quarter_offset,
    decode_soft_argmax,
    spatial_softmax,
)
from kpjax.input.placement import Place, letterbox
from kpjax.input.source import Source, subset
from kpjax.input.stream import stream
from kpjax.losses.heatmap import heatmap_kl, heatmap_mse
from kpjax.methods.passes import imagenet_normalise
from kpjax.methods.supervised import HeatmapLoss, supervised
from kpjax.models.network import KeypointNetwork
from kpjax.random_maps import draw_affine
from kpjax.structures import Method, Skeleton, skeleton_from_json
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Select, fit
from kpjax.training.identity import check_identity
from kpjax.training.run_folder import read_json, strict, write_config, write_json, write_results
from kpjax.training.tree_files import save_trained
from kpjax.viewing.table import Column

VARIANTS = {
    "supervised": Variant("method", "KL between the heatmap's softmax and a Gaussian", "heatmap KL"),
    "supervised_mse": Variant("rival", "squared error between the heatmap and a Gaussian", "heatmap MSE"),
}
LOSSES: dict[str, HeatmapLoss] = {"supervised": heatmap_kl, "supervised_mse": heatmap_mse}


# Data


@functools.lru_cache(maxsize=2)
def open_splits(config: Config, seed: int, data_dir: Path) -> Splits:
    """The pictures of a preset, letterboxed, and decoded once if they fit into memory.

    Of a prepared dataset's training split, a share drawn by the seed validates. Drawn figures have their own splits.
    Raises InputError if the dataset was not prepared, or a split would be empty.
    """
    if config.dataset.startswith(("figures:", "bodies:")):
        return open_domain(config.dataset, side=config.image_size, seed=seed, data_dir=data_dir,
                           train=config.training_examples, test=config.test_examples)
    open_split = functools.partial(open_source, config.dataset, data_dir=data_dir, place=letterbox(config.image_size))
    labelled, test = decoded_once(open_split("train")), decoded_once(open_split("test"))
    held_out = round(config.validation_share * len(labelled))
    if not 0 < held_out < len(labelled):
        raise InputError(f"--validation-share: {config.validation_share} of {len(labelled)} training pictures is "
                         f"{held_out}; some must validate and some must train")
    order = np.random.default_rng(seed).permutation(len(labelled))
    return Splits(subset(labelled, order[held_out:], f"{config.dataset}/train"),
                  subset(labelled, order[:held_out], f"{config.dataset}/validation"), test)


def augmentation(config: Config, points: Skeleton) -> Augment:
    """Turned, zoomed and shifted in one sampling, mirrored if asked for, then other light, blur and noise."""
    moved = random_warp(draw_affine(degrees=config.rotation, scale=config.zoom, shift=config.shift))
    mirrored = (random_flip(points),) if config.flip else ()
    return compose_augmentations(moved, *mirrored, colour_jitter(config.jitter), random_blur((0.0, config.blur)),
                                 random_noise(config.noise))


# The method


class Parts(NamedTuple):
    """What a method of this experiment is built from."""

    network: KeypointNetwork
    codec: Codec
    augment: Augment


def decoder_of(config: Config, variant: str) -> Decoder:
    """How a heatmap becomes a point. DARK takes a logarithm: the logits of a KL loss go through their softmax first.

    On validation data a mouse's mean error was 5.5 px by DARK, 5.8 by soft-argmax, 6.4 by quarter offset and 6.8 by
    arg-max, with one network; on faces the order is the same.
    """
    plain = {"argmax": decode_argmax, "quarter": decode_quarter_offset, "soft_argmax": decode_soft_argmax}
    if config.decoder in plain:
        return plain[config.decoder]

    def decode(heatmaps):
        return decode_dark(spatial_softmax(heatmaps) if variant == "supervised" else heatmaps, sigma=config.sigma)

    return decode


def parts_of(config: Config, points: Skeleton, variant: str) -> Parts:
    """Network, codec and augmentation of a variant."""
    network = heatmap_network(
        config.network, len(points.names), stride=config.image_size // config.heatmap_size, widths=config.widths,
        depth=config.depth, head_layers=config.head_layers, head_width=config.head_width, dtype=config.dtype)
    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma,
                   grid=config.grid, rounded=False, window=None, decoder=decoder_of(config, variant))
    return Parts(network, coding, augmentation(config, points))


def learning_rate(config: Config) -> optax.Schedule:
    """Rises over the first steps and falls to zero along a cosine."""
    rising = min(config.rising_steps, config.steps // 2)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rising, config.steps)


@functools.lru_cache(maxsize=4)
def build(config: Config, points: Skeleton, variant: str) -> Method:
    """The method of a variant; built once, so that all seeds share what is compiled."""
    parts = parts_of(config, points, variant)
    optimizer = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(config.weight_decay))
    return supervised(parts.network, points, codec=parts.codec, optimizer=optimizer,
                      learning_rate=learning_rate(config), augment=parts.augment, normalise=imagenet_normalise,
                      loss=LOSSES[variant])


# A run


def evaluate(method: Method, state, source: Source, config: Config, name: str, *, details: bool = False
             ) -> dict[str, float]:
    """Errors on a source under `name/`: PCK and NME relative to the dataset's `scale`, MAE and distance in pixels.

    Pixels are those of the original pictures. details: PCK and NME also per keypoint and per group of keypoints.
    """
    found = predict_source(method, state, source, batch_size=2 * config.batch_size)
    there, truth = (np.asarray(geometry.move_points(found.crop, points))
                    for points in (found.keypoints, found.true_keypoints))
    pck = metrics.pck(found.keypoints, found.true_keypoints, found.visible, found.scale, threshold=config.pck_threshold)
    nme = metrics.nme(found.keypoints, found.true_keypoints, found.visible, found.scale)
    pixels = metrics.nme(there, truth, found.visible, np.ones(len(truth), np.float32))
    values = {f"{name}/pck": pck.overall, f"{name}/nme": nme.overall, f"{name}/distance": pixels.overall,
              f"{name}/mae": metrics.mae(there, truth, found.visible, 1.0).mean.overall}
    if details:
        for measure, result in (("pck", pck), ("nme", nme)):
            values |= metrics.by_keypoint(f"{name}/{measure}", result.per_keypoint, method.points)
            values |= metrics.by_group(f"{name}/{measure}_group", result.per_keypoint, method.points)
    return values


def identity_of(job: Job) -> dict:
    """What must be the same for a run to go on."""
    return {"variant": job.variant, "seed": job.seed} | strict(asdict(job.config))


SELECT = {"nme": Select("validation/nme", "min"), "pck": Select("validation/pck"), "last": None}


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config = run_folder(job, "supervised"), job.config
    if (folder / "results.json").exists():
        check_identity(read_json(folder / "config.json"), identity_of(job), folder / "config.json")
        print(f"{job.variant}, seed {job.seed}: finished before, in {folder}")
        return
    splits = open_splits(config, job.seed, job.data_dir)
    points = splits.train.skeleton
    method = build(config, points, job.variant)
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}")
    first_process = jax.process_index() == 0
    if first_process:
        write_config(folder, identity_of(job))
        write_json(folder / "skeleton.json", asdict(points))
    labelled = stream(splits.train, batch_size=config.batch_size, seed=job.seed,
                      process_index=jax.process_index(), process_count=jax.process_count())
    measure = functools.partial(evaluate, method, source=splits.validation, config=config, name="validation")
    network = parts_of(config, points, job.variant).network
    fitted = fit(method, {"labelled": labelled}, steps=config.steps, key=jax.random.key(job.seed), stage=job.variant,
                 folder=folder, evaluate=measure, evaluate_every=max(1, config.steps // config.evaluations),
                 start=imagenet_start(network, config.imagenet, image_size=config.image_size, seed=job.seed),
                 select=SELECT[config.selection], config=identity_of(job))
    values = {f"chosen_by/{name}": value for name, value in fitted.metrics.items()}
    values |= {"chosen_by/step": fitted.step} | evaluate(method, fitted.trained, splits.test, config, "test",
                                                         details=True)
    draw_predictions(method, fitted.trained, splits.test, folder / "pictures" / "test.png", minimum_side=320)
    if first_process:
        save_trained(folder / "model", fitted.trained)
        write_results(folder, experiment="supervised", preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=fitted.steps, metrics=values, images_per_second=fitted.images_per_second,
                      wall_seconds=fitted.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: test/pck {values['test/pck']:.3f}, test/nme {values['test/nme']:.4f}, "
          f"test/distance {values['test/distance']:.2f} px")


def predictor(folder: Path) -> tuple[Method, int, Place]:
    """(method, side, place) of a finished run, for predictions on other pictures."""
    stored = read_json(folder / "config.json")
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
              if name not in ("variant", "seed")}
    config = Config(**fields)
    method = build(config, skeleton_from_json(read_json(folder / "skeleton.json")), stored["variant"])
    return method, config.image_size, letterbox(config.image_size)


# The command line


def columns(config: Config) -> tuple[Column, ...]:
    """Errors relative to the size of what is shown, and in pixels of the original pictures."""
    return (Column("test/pck", f"PCK at {100 * config.pck_threshold:g} % of {config.scale_is}", "%", 100.0, 1),
            Column("test/nme", f"mean error in {config.scale_is}", "%", 100.0, 2, "lower"),
            Column("test/distance", "mean distance", "px", 1.0, 2, "lower"),
            Column("test/mae", "mean error of a coordinate", "px", 1.0, 2, "lower"))


EXPERIMENT = Experiment(
    "supervised", "keypoints from labelled pictures, the reference of every comparison", PRESETS, VARIANTS,
    short_list=lambda preset, config: ("supervised",), applicable=lambda preset, config: tuple(VARIANTS),
    shortened=lambda config, steps: replace(config, steps=steps), run=run, columns=columns,
    paper=lambda preset, variant: {})
