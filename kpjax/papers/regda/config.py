"""Settings of RegDA: what a run depends on, and presets."""

from dataclasses import dataclass
from typing import Any, Literal

import optax

from kpjax import augment
from kpjax.augment import Augment
from kpjax.methods.regda_family.teacher_adaptation import target_view
from kpjax.models import PoseResNet, SmallUNet
from kpjax.models.networks import Network
from kpjax.papers import configs
from kpjax.papers.configs import Checked, Count, NotNegative, Positive, Share, Side, replace_fields
from kpjax.papers.source_free import SourceFree


@dataclass(frozen=True)
class Domains(Checked):
    """Two domains with one skeleton."""

    #: "figures:<domain>", "bodies:<domain>" (people with 16 keypoints), "sprites:<variant>", a
    #: dataset
    source: str = ""
    target: str = ""
    image_size: Side = 256  # px
    training_examples: Count = 4000  # number in each domain, of rendered people and sprites
    test_examples: Count = 500

    @property
    def sprites(self) -> bool:
        """Whether the images have one keypoint, in a known area."""
        return self.source.startswith("sprites")

    def loaded(
        self, reach: augment.Reach | None
    ) -> tuple[augment.Loaded | None, augment.Loaded | None]:
        """Returns how training images of source and target are loaded larger, for an augmentation
        of this reach.
        """
        source, target = (
            configs.larger_domain(name, self.image_size, reach)
            for name in (self.source, self.target)
        )
        return source and source[1], target and target[1]


@dataclass(frozen=True)
class DomainAugmentation:
    """Random changes of training images."""

    augmentation: Literal["regda", "colour", "regda_colour", "none"] = "regda"
    rotation: float = 180.0  # degrees either way, of the published augmentation, "regda"
    #: strength of the random colour matrix; the next is of random colours, too
    colour_matrix: float = 0.5
    #: bounds of the grey about which colours are mixed
    colour_pivot: tuple[float, float] = (0.0, 0.0)
    augment_target: bool = True  # False: RegDA and DD only resize images of the target domain

    @property
    def reach(self) -> augment.Reach | None:
        """How much larger images are loaded where the published code moves the original ones; None
        elsewhere.
        """
        return augment.square_crop_reach() if self.published else None

    @property
    def published(self) -> bool:
        """Whether images are turned, cropped and changed as in the published code."""
        return self.augmentation.startswith("regda")

    def build(
        self, source: augment.Loaded | None = None, target: augment.Loaded | None = None
    ) -> dict[str, Augment]:
        """Builds the augmentation of each stream.

        source, target: of domains whose images are loaded larger.
        """
        none, colour = (
            augment.no_augmentation(),
            augment.compose_augmentations(
                augment.random_colour_matrix(self.colour_matrix, about=self.colour_pivot),
                augment.random_blur((0.0, 0.8)),
                augment.random_noise(0.15),
            ),
        )

        def change(loaded: augment.Loaded | None) -> Augment:
            published = (
                augment.regda_augmentation(self.rotation, loaded=loaded) if self.published else none
            )
            if not self.augmentation.endswith("colour"):
                return published
            return augment.compose_augmentations(published, colour) if self.published else colour

        plain = augment.random_warp(loaded=target) if target else none
        return {
            "source": change(source),
            "labelled": change(target),
            "target": change(target) if self.augment_target else plain,
        }


@dataclass(frozen=True)
class DomainOptimizer(Checked):
    """Optimizer of both stages; heads move faster than features."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 0.1  # for the heads; features take `feature_factor` times it
    feature_factor: float = 0.1  # share of the learning rate, for the features

    def build(self) -> optax.GradientTransformation:
        """Builds the optimizer without its learning rate.

        SGD decays all weights and looks ahead, as the authors'.
        """
        if self.optimizer == "adam":
            return optax.scale_by_adam()
        return optax.chain(optax.add_decayed_weights(1e-4), optax.trace(0.9, nesterov=True))

    def supervised_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Builds the rates: SGD's drop tenfold at 44/70 and 59/70 of the steps, slower for the
        backbone.
        """
        if self.optimizer == "adam":
            rate = optax.cosine_decay_schedule(self.learning_rate, steps)
            return dict.fromkeys(("backbone", "upsampling", "head"), rate)
        fast, slow = (
            optax.piecewise_constant_schedule(rate, drops_of(steps))
            for rate in (self.learning_rate, self.learning_rate * self.feature_factor)
        )
        return {"backbone": slow, "upsampling": fast, "head": fast}

    def adaptation_rates(self, steps: int) -> dict[str, optax.Schedule]:
        """Builds the rates: SGD's are 0.1 (1 + 1e-4 i)^-0.75 for the heads, a tenth for all
        features.
        """
        if self.optimizer == "adam":
            rate = optax.cosine_decay_schedule(self.learning_rate, steps)
            return dict.fromkeys(("features", "head", "adversary"), rate)

        factors = {"features": self.feature_factor, "head": 1.0, "adversary": 1.0}
        return {
            name: lambda step, factor=factor: (
                factor * self.learning_rate * (1 + 1e-4 * step) ** -0.75
            )
            for name, factor in factors.items()
        }


def drops_of(steps: int) -> dict[int, float]:
    """Returns the authors' two drops of the learning rate."""
    return {int(steps * 44 / 70): 0.1, int(steps * 59 / 70): 0.1}


TEACHER_COST = 2.65  # cost of a step, in steps of the labels alone (measured on CPUs)


@dataclass(frozen=True)
class TeacherAdaptation(Checked):
    """Settings of teacher_adaptation (UDAPE, Kim et al. 2022)."""

    teacher_learning_rate: Positive = 1e-4  # Adam's
    #: schedule of the adaptation: two drops tenfold, or down to zero
    teacher_schedule: Literal["steps", "cosine"] = "steps"
    teacher_decay: Share = 0.999
    view_degrees: NotNegative = 60.0  # either way, of each view, as are the next two
    view_shear: NotNegative = 30.0  # degrees
    view_zoom: tuple[float, float] = (0.6, 1.3)

    def view(self) -> Augment:
        """Builds the random view of an image."""
        return target_view(self.view_degrees, shear_degrees=self.view_shear, zoom=self.view_zoom)

    def adaptation_rate(self, steps: int) -> optax.Schedule:
        """Builds the learning rate of so many steps: the official drops come after 5 and 20 of 30
        epochs.
        """
        if self.teacher_schedule == "cosine":
            return optax.cosine_decay_schedule(self.teacher_learning_rate, steps)
        return optax.piecewise_constant_schedule(
            self.teacher_learning_rate, {int(steps * 5 / 30): 0.1, int(steps * 20 / 30): 0.1}
        )


@dataclass(frozen=True)
class Config(configs.RunConfig):
    """All that a run depends on besides its seed.

    The defaults are those of the paper and its authors' code for hands, but for what
    differences.csv names. Fields of `teacher` and `source_free` belong to other publications.
    """

    SCALED = ("pretraining_steps", "coefficient_steps")
    summary: str  # one line
    data: Domains
    heatmaps: configs.Heatmaps = configs.Heatmaps()
    augment: DomainAugmentation = DomainAugmentation()
    #: head_layers: of both regressors of regda, mcd and dd
    network: Network = PoseResNet(101, head_layers=2)
    optimizer: DomainOptimizer = DomainOptimizer()
    #: head layers of source_only, the oracle, and baselines with one head
    pretraining_head_layers: Count = 1
    #: whether f starts from the pretrained head; the authors' code starts it fresh
    carry_head: bool = False
    backbone: configs.Backbone = configs.Backbone()
    batch_size: Count = 32  # batch size of each domain
    pretraining_steps: Count = 35_000
    steps: Count = 15_000  # steps of adaptation
    margin: float = 4.0  # gamma
    coefficient: float = 0.1  # lambda, where it ends
    coefficient_steps: Count = 1000  # N, how slowly it grows; also that of dd and dann
    mcd_trade_off: NotNegative = 1.0  # weight of the discrepancy, which counts up to 2
    dd_coefficient: NotNegative = 0.1  # where the weight of its reversed gradient ends
    teacher: TeacherAdaptation = TeacherAdaptation()
    source_free: SourceFree = SourceFree()
    #: share of the steps of adaptation, after those of the network that it starts from
    source_free_share: Share = 0.1
    #: the union of the other keypoints' maps, or their sum; the sum of maps in a known area, or
    #: their union; a uniform map
    ground_false: Literal["others", "sum", "area", "area_union", "uniform"] = "others"
    # get weight 0 on target images, in `regda`, `dd` and their ablations; needs no label
    keypoints_never_in_target: tuple[int, ...] = ()
    #: the step that a method starts from
    pretraining_selection: Literal["validation", "last"] = "validation"
    evaluations: Count = 10
    pck_threshold: Positive = 0.05  # share of what pck_over names
    #: the image's side, or the dataset's reference length
    pck_over: Literal["side", "scale"] = "side"
    mae_unit: Positive = 1.0  # px of the image in which target/mae is stated
    #: groups of keypoints that sample a contour, whose distance is measured, too
    contours: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.heatmaps.heatmap_size:
            self.network.check(self.data.image_size, self.heatmaps.heatmap_size)

    @property
    def steps_of_both_stages(self) -> int:
        """Steps of `source_only` and `oracle`: as many as a method has seen in both of its
        stages."""
        return self.pretraining_steps + self.steps

    @property
    def steps_without_source(self) -> int:
        """Steps on the target alone, of `source_free`."""
        return max(1, round(self.source_free_share * self.steps))

    @property
    def steps_of_equal_cost(self) -> int:
        """Steps of the labels alone that take as long as both stages of `teacher_adaptation`."""
        return self.pretraining_steps + round(TEACHER_COST * self.steps)


OF_ADAPTATION = (
    "summary",
    "margin",
    "coefficient",
    "coefficient_steps",
    "mcd_trade_off",
    "dd_coefficient",
    "source_free",
    "source_free_share",
    "ground_false",
)


def of_pretraining(config: Config) -> dict[str, Any]:
    """Returns the fields that decide the first stage: methods of other weights share it."""
    return {
        name: value
        for name, value in configs.config_as_json(config).items()
        if name not in OF_ADAPTATION
    }


SMALL_BODIES = Config(
    "synthetic people, plain to colourful and noisy; 2 cores, minutes",
    Domains("figures:source", "figures:target", image_size=64, training_examples=3000),
    configs.Heatmaps(16, sigma=1.0),
    DomainAugmentation("none", rotation=0.0),
    SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32),
    DomainOptimizer("adam", learning_rate=1e-3, feature_factor=1.0),
    pretraining_head_layers=2,
    carry_head=True,
    pretraining_steps=400,
    steps=1000,
    coefficient_steps=50,
    mcd_trade_off=0.1,
    dd_coefficient=0.5,
    teacher=TeacherAdaptation(
        teacher_learning_rate=1e-3,
        teacher_schedule="cosine",
        teacher_decay=0.99,
        view_degrees=30.0,
        view_shear=10.0,
        view_zoom=(0.8, 1.2),
    ),
)


# Chosen on tuning seed 100 of the demo: the controls gain from stronger colours about a random
# grey.
STRONG_COLOURS = {"colour_matrix": 1.0, "colour_pivot": (0.0, 1.0)}


def in_strong_colours(config: Config) -> Config:
    """Returns the config with strong random colours in every stream."""
    kind = "regda_colour" if config.augment.published else "colour"
    return replace_fields(config, augmentation=kind, **STRONG_COLOURS)
