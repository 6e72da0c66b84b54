"""Learning keypoints from labelled images, and nothing else: the reference of every comparison.

The checkpoint that is best on the images for tuning is the result. Test images are evaluated once, at the end. Frames
of one video are much alike, so a random split of them would measure how well the gaps of a labelled video are filled,
not how a new video will fare: the mouse's parts follow each other in time, with gaps, and faces are split by person.
"""
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import optax

from kpjax import Method, Skeleton
from kpjax.losses import heatmap_kl, heatmap_mse
from kpjax.methods import Setup, supervised
from kpjax.models import SmallUNet
from kpjax.systems import configs, system
from kpjax.systems.configs import (
    Augmentation,
    Checked,
    Count,
    Heatmaps,
    Network,
    Optimizer,
    Positive,
    network_of,
    optimizer_of,
)
from kpjax.systems.image_sets import ImageSet, Splits
from kpjax.systems.keypoint_errors import keypoint_errors
from kpjax.systems.reports.table import Column
from kpjax.systems.system import Job, Outcome, Predicting, StoredRun, System, Variant
from kpjax.systems.weights import Backbone
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Select


@dataclass(frozen=True)
class Config(Checked):
    """All that a run depends on besides its seed."""

    summary: str  # one line
    data: ImageSet
    heatmaps: Heatmaps = Heatmaps(64, sigma=1.5, grid="half_pixel", targets="sub_pixel", decoder="dark")
    augment: Augmentation = Augmentation("strong", flip=False, rotation=180.0)
    network: Network = SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32)
    optimizer: Optimizer = Optimizer(3e-3, "cosine", weight_decay=1e-4)
    backbone: Backbone = Backbone()
    batch_size: Count = 16
    steps: Count = 1000
    evaluations: Count = 15
    pck_threshold: Positive = 0.1  # of the reference length

    def __post_init__(self):
        super().__post_init__()
        self.network.check(self.data.image_size, self.heatmaps.heatmap_size)


RISING_STEPS = 50  # over which the learning rate rises from zero
SMALL = Config("", ImageSet(transform="letterbox", image_size=128, pck_over="scale", validation_share=0.15))
VARIANTS: dict[str, Variant] = {
    "supervised": Variant("method", "KL between the heatmap's softmax and a Gaussian", "heatmap KL", heatmap_kl),
    "supervised_mse": Variant("baseline", "squared error between the heatmap and a Gaussian", "heatmap MSE",
                              heatmap_mse),
}


@functools.lru_cache(maxsize=4)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds share what is compiled."""
    loss, rise = VARIANTS[variant].recipe, min(RISING_STEPS, config.steps // 2)
    setup = Setup(
        network_of(config, len(skeleton.names)), skeleton,
        config.heatmaps.codec(config.data.image_size, logits=loss is heatmap_kl),
        optimizer_of(config, config.optimizer.adam()),
        optax.warmup_cosine_decay_schedule(0.0, config.optimizer.learning_rate, rise, config.steps),
        config.augment.build(skeleton), config.backbone.normalise)
    return supervised(setup, loss=loss)


def train(job: Job, data: Splits) -> Outcome:
    """Trains the only stage."""
    config, skeleton = job.config, data.train.skeleton
    method = build(config, skeleton, job.variant)

    def evaluate(state) -> dict[str, float]:
        found = predict_source(method, state, data.validation, batch_size=2 * config.batch_size)
        return keypoint_errors(found, skeleton, "validation", threshold=config.pck_threshold)

    fitted = system.fit_sources(
        job, method, {"labelled": data.train}, batch_size=config.batch_size, steps=config.steps, stage=job.variant,
        folder=job.folder, repeats=False, evaluate=(max(1, config.steps // config.evaluations), evaluate),
        start=system.first_variables(job, network_of(config, len(skeleton.names)), skeleton.names),
        select=Select("validation/nme", "min"), config=job.identity())
    return system.outcome_of(method, fitted)


def measure(job: Job, data: Splits, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Measures PCK and NME relative to the dataset's `scale`, MAE and distance in pixels of the original images."""
    return keypoint_errors(predictions["test"], outcome.method.skeleton, "test", threshold=job.config.pck_threshold,
                           details=True)


def columns(config: Config) -> tuple[Column, ...]:
    """Returns errors relative to the reference length, and in pixels of the original images."""
    return (Column("test/pck", f"PCK at {100 * config.pck_threshold:g} % of {config.data.scale_is}", "%", 100.0, 1),
            Column("test/nme", f"mean error in {config.data.scale_is}", "%", 100.0, 2, "lower"),
            Column("test/distance", "mean distance", "px", 1.0, 2, "lower"),
            Column("test/mae", "mean error of a coordinate", "px", 1.0, 2, "lower"))


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, letterboxed."""
    config, variant, skeleton = stored
    kind = configs.score_kind(config.heatmaps.decoder, logits=VARIANTS[variant].recipe is heatmap_kl)
    return Predicting(build(config, skeleton, variant), config.data.square_of_new(), kind)


SYSTEM = System(
    "supervised", "keypoints from labelled images, the reference of every comparison", SMALL, VARIANTS,
    train=train, evaluated=lambda job, data: {"test": data.test}, measure=measure, columns=columns,
    predicting=predicting, short_list=lambda preset, config: ("supervised",),
    applicable=lambda preset, config: tuple(VARIANTS), draw=system.draw_test, poses=lambda data: data.train)
