"""Settings of frozen-core adaptation: what a run depends on, and presets."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import optax

from kpjax import augment
from kpjax.errors import InputError
from kpjax.images import transforms
from kpjax.images.transforms import Transform
from kpjax.methods.adaptation_family.adaptation import RELEASED_SIGMA
from kpjax.methods.adaptation_family.released_training import released_learning_rate
from kpjax.models import HourglassNetwork
from kpjax.models.hourglass_network import STRIDE
from kpjax.models.networks import Network
from kpjax.papers import configs
from kpjax.papers.configs import (
    Checked,
    Count,
    CountOrZero,
    Positive,
    Rule,
    Share,
    Side,
    Sigma,
    replace_fields,
)

RENDERED = "rendered:"  # begins the name of a set that a seed renders
CORE_STAGE = "core_"  # begins the name of a core's stage, and of no variant
STAND_IN = "random"  # features of an untrained network in place of VGG's
TransformName = Literal["landmark_crop", "margin_crop", "window_crop", "letterbox"]
Counts = Annotated[
    tuple[int, ...], Rule(lambda counts: min(counts, default=1) >= 1, "give numbers of 1 or more")
]
Background = Literal["plain", "smooth", "photo-like", "clutter", "patches"]


@dataclass(frozen=True)
class CoreTraining(Checked):
    """Labelled images of the core, and its training, of which only loss, epochs and accuracy are
    stated.
    """

    #: "<dataset>/<split>", "rendered:people", "rendered:faces", ...
    core: str = "mpii/train+validation+rest"
    core_test: str = "mpii/test"  # on which its accuracy is measured; "" for nothing
    #: to a square image
    core_transform: Literal["person_crop", "landmark_crop", "letterbox"] = "person_crop"
    core_crop_smallest: float = 0.0  # px of the original image, the least side of that crop
    core_background: Background = "clutter"  # background of rendered people
    core_images: Count = 2000  # rendered
    core_test_images: Count = 300
    #: 0: nothing is trained, and the backbone's published weights are the core
    core_epochs: CountOrZero = 110
    core_epoch_steps: Count = 695  # one pass over 22,246 people
    core_kept: tuple[int, ...] = (1, 5, 10)  # epochs after which the core is kept besides the last
    core_epoch: CountOrZero = 0  # which of them is adapted; 0 for the last
    #: Adam's; a tenth after 6/11 of the steps and again after 9/11
    core_learning_rate: Positive = 2.5e-4
    core_unused_keypoints: tuple[str, ...] = ()  # keypoints that the set never labels
    core_uncounted_keypoints: tuple[str, ...] = ()  # left out of the accuracy
    core_pck_threshold: Positive = 0.5  # share of the reference length
    #: the set's own reference length, or the longer side of the box
    core_pck_over: Literal["scale", "box"] = "scale"

    def __post_init__(self):
        super().__post_init__()
        kept = [epoch for epoch in self.core_kept if epoch <= self.core_epochs]
        if self.core_epoch not in (0, *kept, self.core_epochs):
            raise InputError(
                "core_epoch",
                f"{self.core_epoch}; those kept are {' '.join(map(str, kept))} and the last, "
                f"{self.core_epochs}",
            )

    steps = property(lambda self: self.core_epochs * self.core_epoch_steps)

    @property
    def rates(self) -> optax.Schedule:
        """The learning rate by step."""
        drops = {self.steps * share // 11: 0.1 for share in (6, 9)}
        return optax.piecewise_constant_schedule(self.core_learning_rate, drops)

    def square(self, side: int, tightness: int) -> Transform:
        """Returns the transform to a square image of `side` px. tightness: of a landmark crop."""
        square = (
            transform(self.core_transform, side, tightness)
            if self.core_transform != "person_crop"
            else (transforms.PersonCrop(side, smallest=self.core_crop_smallest))
        )
        return transforms.ScaledByBox(square) if self.core_pck_over == "box" else square

    def larger(self, side: int) -> tuple[Transform, augment.Loaded] | None:
        """Returns the transform of training images that are loaded larger, so that turned and
        shrunk crops show what lies beside them, and how these lie in a batch; None for crops that
        are not of a person."""
        cropped = self.core_transform == "person_crop"
        return configs.loaded_larger(
            self.square(side, 0), side, augment.scale_rotation_reach() if cropped else None
        )


@dataclass(frozen=True)
class TargetImages(Checked):
    """Images of the new category. No label of `target` is read."""

    #: adapted to: named as `core` is
    target: str = "celeba/train+validation+test+mafl_train+mafl_tune"
    #: set whose labels the regressors of the evaluation are fitted on; "" for those of the target's
    #: images
    fit: str = ""
    test: str = ""  # evaluated
    target_images: CountOrZero = 0  # so many of the target's images, drawn by the seed; 0 takes all
    image_size: Side = 128  # px; heatmaps are four times smaller
    target_transform: TransformName = "landmark_crop"
    #: margin of that crop, percent of the landmarks' box; views show 70 of it
    target_tightness: int = 130
    target_side: Count = 192  # px of the images that views are drawn from
    test_transform: TransformName = "landmark_crop"
    test_tightness: int = 64  # the released code's default is 16
    training_images: Count = 1500  # rendered
    test_images: Count = 300
    background: Background = "plain"  # behind rendered objects

    def __post_init__(self):
        super().__post_init__()
        if self.rendered and (self.fit or self.test):
            raise InputError(
                "test",
                f"{self.test or self.fit}; adaptation to rendered objects is evaluated on "
                "rendered ones, so leave fit and test empty, or name a prepared set as target",
            )

    rendered = property(lambda self: self.target.startswith(RENDERED))  # by the seed


def transform(name: TransformName, side: int, tightness: int = 0) -> Transform:
    """Returns the transform of an image to a square one of `side` px.

    tightness: of a landmark crop.
    """
    if name == "landmark_crop":
        return transforms.LandmarkCrop(side, tightness)
    return {
        "margin_crop": transforms.MarginCrop,
        "window_crop": transforms.WindowCrop,
        "letterbox": transforms.Letterbox,
    }[name](side)


@dataclass(frozen=True)
class ReleasedOptimizer(Checked):
    """Optimizer of the released code, for each of the two networks."""

    learning_rate: Positive = 1e-3
    #: "steps": a tenth after 3/8 of the steps and again after 6/8
    schedule: Literal["steps", "cosine"] = "steps"
    #: "start": matrices decay to the identity, normalisation not at all
    decay_to: Literal["zero", "start"] = "zero"

    def rates(self, steps: int) -> optax.Schedule:
        """Builds the schedule: falling to zero along a cosine, or in two drops."""
        if self.schedule == "cosine":
            return optax.cosine_decay_schedule(self.learning_rate, steps)
        return released_learning_rate(steps, self.learning_rate)


@dataclass(frozen=True)
class Comparison(Checked):
    """Reconstruction of one view from another, and its comparison with the image, by pixels and by
    features.
    """

    #: a quarter of the features after two halvings; 64 by the paper's text, "up to 256"
    generator_width: Count = 32
    generator_blocks: Count = 6
    #: weights of VGG, by a file or a name such as vgg19.tv_in1k, or of a known backbone; "random"
    #: compares by random features; "": to be chosen
    perceptual: str = ""
    vgg_depth: Literal[19, 16] = 19  # 16 in the authors' code
    #: distance of features, averaged; absolute by the paper's text
    perceptual_distance: Literal["squared", "absolute"] = "squared"
    stand_in_widths: tuple[int, ...] = (16, 32, 64)  # widths of the random features

    def check(self) -> None:
        """Raises InputError unless it is chosen which features compare images."""
        if not self.perceptual:
            raise InputError(
                "perceptual",
                "images are compared by features of VGG; name its weights, such as "
                f"vgg{self.vgg_depth}.tv_in1k or a file, or {STAND_IN} for random features",
            )


@dataclass(frozen=True)
class Evaluation(Checked):
    """Regressors between discovered points and annotation, and lengths that errors are stated
    in."""

    #: what errors are percent of; none where nothing is annotated
    lengths: Literal["eyes", "object", "none"] = "eyes"
    median_length: bool = False  # whether all test images have the median of these lengths
    labelled_images: Counts = (1, 5, 10, 100, 500, 1000, 5000)  # for the regressors, besides all
    repeats: Count = 10  # draws of so many
    extra: CountOrZero = 0  # 1 for the released code, which takes one more than it says
    penalty: Positive = 1e-4  # penalty of the ridge regression

    # whether there are landmarks to regress
    annotated = property(lambda self: self.lengths != "none")


@dataclass(frozen=True)
class Config(configs.RunConfig):
    """All that a run depends on besides its seed. The defaults are the paper's where the authors'
    code agrees, otherwise the code's; `differences.csv` lists where they do not. A field that says
    "not stated" has a value that both leave open."""

    SCALED = ("core_epoch_steps",)
    prediction_batch = 64
    summary: str  # one line
    core: CoreTraining = CoreTraining()
    core_kept_by: str = ""  # the preset whose folder keeps the core; "" for its own
    #: the preset with the same training in whose folder it is kept; "" for its own
    training_kept_by: str = ""
    data: TargetImages = TargetImages()
    network: Network = HourglassNetwork()  # network of the core and of all variants
    #: the core's; released code has none
    backbone: configs.Backbone = configs.Backbone(normalisation="none")
    landmarks: Count = 10  # to discover
    #: kernels that are frozen and projected: those that mix channels, which in an hourglass are the
    #: 51 of its blocks; or of every convolution, by the paper's text
    projected: Literal["blocks", "every"] = "blocks"
    #: sigma of a point drawn for the generator, heatmap px; 0.35355 by the paper's text
    point_sigma: Sigma = RELEASED_SIGMA
    batch_size: Count = 48
    steps: Count = 200_000
    optimizer: ReleasedOptimizer = ReleasedOptimizer()
    shown: Share = 2 / 3  # the share of an image's side that an unturned view shows
    comparison: Comparison = Comparison()
    evaluation: Evaluation = Evaluation()

    def __post_init__(self):
        super().__post_init__()
        side = self.data.image_size
        self.network.check(side, side // STRIDE)


def resolve(config: Config, typed: Collection[str]) -> Config:
    """Returns the config of a command line. Raises InputError as `Comparison.check` does."""
    del typed
    config.comparison.check()
    return config


def of_core(config: Config) -> dict[str, Any]:
    """Returns the fields that decide the trained core, whose stage is used again where they are the
    same.
    """
    core = {
        name: value
        for name, value in configs.config_as_json(config.core).items()
        if name != "core_epoch"
    }
    return core | {
        "image_size": config.data.image_size,
        "network": configs.config_as_json(config.network),
        "backbone": configs.config_as_json(config.backbone),
        "tightness": config.data.test_tightness,
    }


def of_training(config: Config) -> dict[str, Any]:
    """Returns the fields that adaptation depends on; the others are of the evaluation."""
    of_evaluation = ("summary", "core_kept_by", "training_kept_by", "evaluation")
    of_test = ("fit", "test", "test_transform", "test_tightness", "test_images")
    seen = {
        name: value
        for name, value in configs.config_as_json(config).items()
        if name not in of_evaluation
    }
    return seen | {
        "data": {name: value for name, value in seen["data"].items() if name not in of_test}
    }


def of_method(config: Config) -> Config:
    """Returns the config without what methods do not depend on: configs that agree in it share what
    is compiled.
    """
    side = config.data.image_size
    return replace(
        config,
        summary="",
        core=CoreTraining(),
        core_kept_by="",
        training_kept_by="",
        data=TargetImages(image_size=side, target_side=side),
        evaluation=Evaluation(),
    )


SYNTHETIC = replace_fields(
    Config(
        "synthetic faces, from a core for synthetic people; random features in place of VGG's; 2 cores, "
        "minutes"
    ),
    core="rendered:people",
    core_test="rendered:people",
    core_transform="letterbox",
    core_epochs=10,
    core_epoch_steps=100,
    core_kept=(1, 2, 5),
    core_learning_rate=2e-3,
    target="rendered:faces",
    image_size=64,
    target_transform="letterbox",
    test_transform="letterbox",
    target_side=64,
    width=64,
    depth=3,
    batch_size=16,
    steps=2000,
    schedule="cosine",
    shown=0.9,
    generator_width=8,
    generator_blocks=1,
    perceptual=STAND_IN,
    stand_in_widths=(8, 16),
    labelled_images=(10, 50, 100),
)
