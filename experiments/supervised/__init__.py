"""Learning keypoints from labelled pictures, and nothing else: the reference of every comparison.

Command   python -m experiments.supervised demo                            (2 CPU cores, seconds, draws its own data)
          python -m data deeplabcut --manual-dir my-project                (any DeepLabCut project of one animal)
          python -m experiments.supervised openfield                       (2 CPU cores, about 2 minutes)
          python -m experiments.supervised faces                           (2 CPU cores, about 3 minutes)
          python -m experiments predict runs/supervised/openfield/supervised/seed-0 IMAGES --out FOLDER
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
import optax

from experiments.command_line import Experiment, Job, Variant, run_folder
from experiments.decoding import decoder
from experiments.decoding import score_kind as kind_of_scores
from experiments.domains import Splits, held_out_splits, open_domain
from experiments.keypoint_errors import keypoint_errors
from experiments.networks import heatmap_network, imagenet_start
from experiments.prediction_pictures import draw_predictions
from experiments.run_records import begin, finished_before, identity_of, stored_run
from experiments.strong_augmentation import strong_augmentation
from experiments.supervised.config import PRESETS, Config
from kpjax.augment.augmentations import Augment
from kpjax.heatmaps import Codec, codec
from kpjax.images.transforms import Letterbox, Transform
from kpjax.input.source import Source
from kpjax.input.stream import stream
from kpjax.losses.heatmap import heatmap_kl, heatmap_mse
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.supervised_learning import HeatmapLoss, supervised
from kpjax.models.network import KeypointNetwork
from kpjax.reports.table import Column
from kpjax.structures import Method, Skeleton
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Select, fit
from kpjax.training.run_folder import write_results
from kpjax.training.trees import save_trained

VARIANTS = {
    "supervised": Variant("method", "KL between the heatmap's softmax and a Gaussian", "heatmap KL"),
    "supervised_mse": Variant("baseline", "squared error between the heatmap and a Gaussian", "heatmap MSE"),
}
LOSSES: dict[str, HeatmapLoss] = {"supervised": heatmap_kl, "supervised_mse": heatmap_mse}


# Data


@functools.lru_cache(maxsize=2)
def open_splits(config: Config, seed: int, data_dir: Path) -> Splits:
    """The pictures of a preset, letterboxed, and decoded once if they fit into memory; see `held_out_splits`."""
    if config.dataset.startswith(("figures:", "bodies:")):
        return open_domain(config.dataset, side=config.image_size, seed=seed, data_dir=data_dir,
                           train=config.training_examples, test=config.test_examples)
    return held_out_splits(config.dataset, transform=Letterbox(config.image_size), seed=seed, data_dir=data_dir,
                           validation_share=config.validation_share)


# The method


class Parts(NamedTuple):
    """What a method of this experiment is built from."""

    network: KeypointNetwork
    codec: Codec
    augment: Augment


def parts_of(config: Config, skeleton: Skeleton, variant: str) -> Parts:
    """Network, codec and augmentation of a variant."""
    network = heatmap_network(
        config.network, len(skeleton.names), stride=config.image_size // config.heatmap_size, widths=config.widths,
        depth=config.depth, head_layers=config.head_layers, head_width=config.head_width, dtype=config.dtype)
    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma,
                   grid=config.grid, rounded=False, window=None,
                   decoder=decoder(config.decoder, sigma=config.sigma, logits=variant == "supervised"))
    augment = strong_augmentation(
        skeleton, rotation=config.rotation, zoom=config.zoom, shift=config.shift, flip=config.flip,
        jitter=config.jitter, blur=config.blur, noise=config.noise)
    return Parts(network, coding, augment)


def learning_rate(config: Config) -> optax.Schedule:
    """Rises over the first steps and falls to zero along a cosine."""
    rising = min(config.rising_steps, config.steps // 2)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rising, config.steps)


@functools.lru_cache(maxsize=4)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """The method of a variant; built once, so that all seeds share what is compiled."""
    parts = parts_of(config, skeleton, variant)
    optimizer = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(config.weight_decay))
    return supervised(parts.network, skeleton, codec=parts.codec, optimizer=optimizer,
                      learning_rate=learning_rate(config), augment=parts.augment, normalise=imagenet_normalise,
                      loss=LOSSES[variant])


# A run


def evaluate(method: Method, state, source: Source, config: Config, name: str, *, details: bool = False
             ) -> dict[str, float]:
    """Errors on a source under `name/`: PCK and NME relative to the dataset's `scale`, MAE and distance in pixels.

    Pixels are those of the original pictures. details: PCK and NME also per keypoint and per group of keypoints.
    """
    found = predict_source(method, state, source, batch_size=2 * config.batch_size)
    return keypoint_errors(found, method.skeleton, name, threshold=config.pck_threshold, details=details)


SELECT = {"nme": Select("validation/nme", "min"), "pck": Select("validation/pck"), "last": None}


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config = run_folder(job, "supervised"), job.config
    if finished_before(folder, job):
        return
    splits = open_splits(config, job.seed, job.data_dir)
    points = splits.train.skeleton
    method = build(config, points, job.variant)
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}")
    begin(folder, identity_of(job), points)
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
    draw_predictions(method, fitted.trained, splits.test, folder / "images" / "test.png", minimum_side=320)
    if jax.process_index() == 0:
        save_trained(folder / "model", fitted.trained)
        write_results(folder, experiment="supervised", preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=fitted.steps, metrics=values, images_per_second=fitted.images_per_second,
                      wall_seconds=fitted.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: test/pck {values['test/pck']:.3f}, test/nme {values['test/nme']:.4f}, "
          f"test/distance {values['test/distance']:.2f} px")


def predictor(folder: Path) -> tuple[Method, int, Transform]:
    """(method, side, place) of a finished run, for predictions on other pictures."""
    config, variant, points = stored_run(folder, Config)
    return build(config, points, variant), config.image_size, Letterbox(config.image_size)


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    config, variant, _ = stored_run(folder, Config)
    return kind_of_scores(config.decoder, logits=LOSSES[variant] is heatmap_kl)


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
    paper=lambda preset, config, variant: {})
