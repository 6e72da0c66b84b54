"""Settings of semi-supervised localization: what a run depends on, and presets."""

from dataclasses import dataclass
from typing import Literal

import optax

from kpjax import InputError
from kpjax.augment import draw_affine
from kpjax.augment.random_maps import PERSPECTIVE, DrawMap
from kpjax.methods import balanced_weights
from kpjax.methods.semi_supervised_family.objectives import EQUATION_5
from kpjax.models import HRNet, SmallUNet
from kpjax.models.networks import Network
from kpjax.papers import configs
from kpjax.papers.configs import (
    Augmentation,
    Backbone,
    Count,
    Heatmaps,
    ImageSet,
    Optimizer,
    Positive,
    replace_fields,
)


@dataclass(frozen=True)
class LabelledSubset(ImageSet):
    """Images of which a few are labelled."""

    #: labelled part of the training images: at most 1 a share, above it a count; drawn by the seed
    labelled: Positive = 0.05
    #: share of the training images without labels that is used
    unlabelled_share: configs.Share = 1.0
    further: str = ""  # "<dataset>/<split>" of more images without labels, such as frames of videos

    def __post_init__(self):
        super().__post_init__()
        if self.labelled > 1 and self.labelled != round(self.labelled):
            raise InputError(
                "labelled", f"{self.labelled:g}; it is a share up to 1, above it a number of images"
            )
        if self.further and (self.rendered or self.transform == "person_crop"):
            raise InputError(
                "further",
                f"{self.further!r}; images without labels have no box to crop by and no seed "
                "to be rendered by; letterbox the images of a prepared set",
            )

    @property
    def all_labelled(self) -> bool:
        """Whether every training image has its label."""
        return self.labelled == 1

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that unsupervised terms read."""
        return ("labelled",) if self.all_labelled else ("labelled", "unlabelled")

    @property
    def amount(self) -> dict[str, float]:
        """The labelled images as `labelled_subset` takes them: a share or a count."""
        return {"share": self.labelled} if self.labelled <= 1 else {"count": int(self.labelled)}


@dataclass(frozen=True)
class Weights(configs.Checked):
    """The paper's terms: their weights beside that of the labels, 1e3, their form, and their passes.

    The defaults are equations 1 to 5 as printed. How far corners move, how "affine" maps are drawn
    and whether views share a pass of BatchNorm is not stated.
    """

    semantic: Positive = 0.5
    equivariance: Positive = 1e2
    invariance: Positive = 1e2
    #: whether weights, taken as for maps of 64 cells, sigma 2 and 15 keypoints, are rescaled to
    #: the heatmaps of a run, so that their shares of the loss stay
    balanced: bool = False
    #: whether the invariance compares representations scaled to length 1; as printed, z itself
    unit: bool = False
    #: reduction of the invariance's squares over keypoints and channels: as printed the sum; that
    #: the paper tries the same weights for it and the equivariance, here a mean, suggests "mean"
    reduction: Literal["sum", "mean"] = "sum"
    #: whether feature maps are divided by their root mean square before F
    one_scale: bool = False
    feature_width: Count = 64  # channels of F
    #: whether F reads the map from which the head makes its heatmaps: a keypoint's number can be
    #: read from it wherever its peak lies
    head_map: bool = True
    #: g, of the terms and of controls
    warp: Literal["perspective", "affine"] = "perspective"
    #: BatchNorm sees both views at once, or one at a time
    warped_pass: Literal["joint", "separate"] = "joint"

    def of_terms(self, heatmaps: Heatmaps, keypoints: int) -> dict[str, float]:
        """Returns the weights of `semi_supervised_objective`."""
        own = {
            "semantic": self.semantic,
            "equivariance": self.equivariance,
            "invariance": self.invariance,
        }
        if not self.balanced:
            return EQUATION_5 | own
        return balanced_weights(
            heatmap_size=heatmaps.heatmap_size,
            sigma=heatmaps.sigma,
            keypoints=keypoints,
            feature_width=self.feature_width,
            **own,
        )

    def draw_map(self) -> DrawMap:
        """Builds g. The zoom and turn of "affine" are those of the official augmentation."""
        if self.warp == "affine":
            return draw_affine(degrees=30.0, scale=(0.75, 1.25), shift=0.1)
        return PERSPECTIVE


@dataclass(frozen=True)
class Baselines(configs.Checked):
    """Weights and networks of the baselines."""

    elt: Positive = 1e2  # weight of the equivariance of heatmaps
    perceptual: str = ""  # weights of VGG-16 or a known backbone for gen's loss; "" compares pixels
    generator_size: Count = 128  # px to which gen shrinks the images that it generates
    #: widths of the generator's encoder, from fine to coarse; () takes IMM's
    generator_widths: tuple[int, ...] = ()
    #: whether easy_hard moves half of the labelled images by the method's warp, as controls
    warp_labelled: bool = False


@dataclass(frozen=True)
class Config(configs.RunConfig):
    """All that a run depends on besides its seed.

    The defaults are the paper's, in `Weights` as printed; a field that says "not stated" has a
    value that the paper leaves open. The augmentation is not stated; the authors' code for birds
    has none. `differences.csv` lists all that is not as in the paper.
    """

    SCALED = ("warm_start_steps",)
    STREAMS_OF_A_BATCH = 2
    summary: str  # one line
    data: LabelledSubset = LabelledSubset()
    heatmaps: Heatmaps = Heatmaps()
    augment: Augmentation = Augmentation()
    network: Network = HRNet()
    optimizer: Optimizer = Optimizer(1e-4)
    backbone: Backbone = Backbone()
    #: not stated; half labelled and half unlabelled where both are read
    batch_size: Count = 32
    #: on the labelled images; all variants of a seed share them
    warm_start_steps: configs.CountOrZero = 0
    warm_start_learning_rate: Positive = 1e-4
    steps: Count = 30_000  # at most; not stated
    #: rounds of so many steps, at most: another one goes on from the last while labelled images are not
    #: learnt
    rounds: Count = 1
    #: number of evaluations on the validation images; not stated in the paper
    evaluations: Count = 50
    #: which step is the result: the best there, or the last
    selection: Literal["validation", "last"] = "validation"
    #: evaluations in a row that are no better, after which training stops; 0: never; not stated
    patience: configs.CountOrZero = 10
    weights: Weights = Weights()
    baselines: Baselines = Baselines()
    pck_threshold: Positive = 0.1  # share of the reference length
    uncounted_keypoints: tuple[str, ...] = ()  # left out of the means

    def __post_init__(self):
        super().__post_init__()
        if self.heatmaps.heatmap_size:
            self.network.check(self.data.image_size, self.heatmaps.heatmap_size)
        if self.batch_size % 2:
            raise InputError(
                "batch_size", f"{self.batch_size}; half of it is labelled, so it must be even"
            )
        if self.patience and self.selection == "last":
            raise InputError(
                "patience",
                f"{self.patience}; the last step is the result, so validation stops nothing: give "
                "0, or `selection` validation",
            )

    @property
    def steps_of_both_stages(self) -> int:
        """Steps of `all_labels`: as many as every other variant sees with its warm start, at most."""
        return self.warm_start_steps + self.steps

    def rate(self, stage: Literal["warm start", "method", "both"]) -> optax.Schedule:
        """Builds the schedule: constant, or falling to zero along a cosine from the warm start's
        end.
        """
        warm, method = (
            optax.constant_schedule(self.warm_start_learning_rate),
            self.optimizer.rate(self.steps),
        )
        joined = optax.join_schedules([warm, method], [self.warm_start_steps])
        return {"warm start": warm, "method": method, "both": joined}[stage]


# Forms of the terms in presets that are not a paper's, on small maps and short trainings. PCK of
# the demo with all of them was 93.8 and 91.9 % on tuning seeds 100 and 101. `unit`: a distance of z
# itself falls as z gets small, and the classifier's evidence with it; without it PCK was 91.6 and
# 87.0 %, and consistency was at 43 and 47 % of chance instead of 0.3 and 0.2 %. `reduction`: a mean
# does not grow with the number of keypoints, which is 10 to 68 here; with the sum PCK was 83.1 and
# 84.8 %. `one_scale`: stages of a backbone from published weights differ a thousandfold, and the
# largest would be all that F reads; without it, on random weights, PCK was 93.6 and 92.4 %.
# `balanced`: the loss of empty maps falls with their size and sigma, that of the classifier does
# not; without it PCK was 93.7 and 92.8 %.
SMALL_FORM = {"balanced": True, "unit": True, "reduction": "mean", "one_scale": True}
SYNTHETIC = Config(
    "synthetic people with clutter, 20 of 2,000 labelled; 2 cores, minutes",
    LabelledSubset(
        "figures:target",
        "the image's side",
        labelled=20,
        transform="letterbox",
        image_size=64,
        pck_over="scale",
    ),
    Heatmaps(16, sigma=1.25, grid="half_pixel", targets="sub_pixel", decoder="dark"),
    Augmentation("none"),
    # On tuning seed 100 the best of the rates tried, up to twice as much, for pseudo-labels, easy
    # and hard views and the method, and within 0.3 points of it for the labels alone.
    SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32),
    Optimizer(1.6e-2, "cosine"),
    warm_start_steps=400,
    warm_start_learning_rate=1.6e-2,
    steps=400,
    evaluations=4,
    selection="last",
    patience=0,
    weights=Weights(**SMALL_FORM, feature_width=32, warped_pass="separate"),
    baselines=Baselines(elt=1e3, generator_size=32, generator_widths=(8, 16), warp_labelled=True),
)
SMALL_REAL = replace_fields(
    SYNTHETIC,
    warped_pass="joint",
    augmentation="strong",
    heatmap_size=32,
    sigma=1.0,
    batch_size=16,
    image_size=64,
    warm_start_steps=200,
    steps=300,
    learning_rate=2e-3,
    warm_start_learning_rate=3e-3,
    validation_share=0.15,
)
