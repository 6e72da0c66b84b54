"""Settings of Keypoint Pyramids: what a run depends on, and presets."""

from dataclasses import dataclass
from typing import Annotated, Literal

from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import BASELINES
from kpjax.evaluation.probes.decoded_images import DecoderKind
from kpjax.images.transforms import Letterbox, PersonCrop, Transform
from kpjax.input.pairs import Crop
from kpjax.methods.pyramids_family.discovery import ReferencePass
from kpjax.papers.configs import (
    Checked,
    Count,
    CountOrZero,
    NotNegative,
    Optimizer,
    Positive,
    Rule,
    RunConfig,
    Side,
    replace_fields,
)

FROM_0_TO_1 = Rule(lambda value: 0 <= value <= 1, "give a number from 0 to 1")
PER_LEVEL = Rule(
    lambda pair: len(pair) == 2 and min(pair) > 0,
    "give two numbers above 0, the coarse level's first",
)


@dataclass(frozen=True)
class VideoSet(Checked):
    """Videos of a run, the square images that their frames become, and the pairs of frames that are
    learnt from.
    """

    data: Literal["figures", "tabletop", "human36m_videos", "flies"] = "human36m_videos"
    #: number of rendered videos; the next three are of rendered videos, too
    training_videos: Count = 300
    test_videos: Count = 60
    video_frames: Count = 30
    #: difficulty of rendered people: from 0, smooth backgrounds, to 1, strong ones and limbs of dark colours
    difficulty: Annotated[float, FROM_0_TO_1] = 0.0
    image_size: Side = 128  # px; not stated
    pair_crop: Crop = "union"  # what both frames of a pair are cropped by; not stated
    window: Count = 250  # frames between a frame and its reference, at most

    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return (
            PersonCrop(self.image_size, margin=1.0)
            if self.data == "human36m_videos"
            else Letterbox(self.image_size)
        )


@dataclass(frozen=True)
class Pyramid(Checked):
    """Two levels of keypoints, and the network that finds them.

    Widths are of blobs, an image's side being 2.
    """

    #: "paper": ResNet-18 and BatchNorm; sizes are not stated
    network: Literal["small", "paper"] = "paper"
    #: keypoints of the coarse and the fine level
    level_sizes: Annotated[tuple[int, int], PER_LEVEL] = (10, 20)
    #: blob width of the coarse keypoints that the fine level reads; not stated, as all widths
    conditioning_width: Positive = 0.1
    sharpness: Positive = 1.0  # reciprocal of the softmax's temperature
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        super().__post_init__()
        coarse, fine = self.level_sizes
        if fine % coarse:
            raise InputError(
                "level_sizes",
                f"{coarse} {fine}; every keypoint of the first level has equally many "
                "children, so the second number has to be a multiple of the first",
            )


@dataclass(frozen=True)
class Weights(Checked):
    """Weights of the method's terms."""

    reconstruction: Positive = 1.0
    #: weights of transport, by level
    transport: Annotated[tuple[float, float], PER_LEVEL] = (0.1, 1.0)
    spring: Positive = 1.0
    #: weight of the probability of keypoints where nothing moves, before a still camera; not in the paper
    motion: NotNegative = 0.0
    #: reduction of squares over an image, and of distances between the levels
    reduction: Literal["mean", "sum"] = "sum"
    unit: Literal["normalised", "pixels"] = "normalised"  # unit of these distances


@dataclass(frozen=True)
class Rendering(Checked):
    """How a frame is rendered from its keypoints and a reference: arguments of `pyramids`.

    Widths as in `Pyramid`.
    """

    reconstruction_width: Positive = 0.1
    #: blob widths of transport, by level
    transport_widths: Annotated[tuple[float, float], PER_LEVEL] = (0.1, 0.1)
    #: whether transport has a gradient of the reference; not stated, and Transporter stops it
    reference_gradient: bool = False
    #: whether BatchNorm sees both frames at once; with GroupNorm only the time differs
    reference_pass: ReferencePass = "joint"


@dataclass(frozen=True)
class Still(Checked):
    """What is made of the background of a still camera. Not in the paper."""

    #: the network renders differences from the median frame, in deviations of each pixel
    residual: bool = False
    #: share of a pixel's weight that follows its variance over time
    motion_weight: Annotated[float, FROM_0_TO_1] = 0.0


@dataclass(frozen=True)
class Baselines(Checked):
    """KeyNet and Transporter, on the pyramid's finest map as the paper ran them.

    `keynet_coarse` and `transporter_coarse` read the coarse map and have as many steps.
    """

    #: also with as many keypoints as each level has, in runs of their own
    baselines_per_level: bool = True
    keynet_steps: Positive = 1.0  # as a multiple of the method's; not stated, like the next
    transporter_steps: Positive = 1.0
    oracle_steps: Positive = 1.0  # steps of `supervised_bound`, likewise as a multiple
    #: weights of VGG-16 (as published) or a known backbone for KeyNet's loss; "": pixels
    perceptual: str = ""


@dataclass(frozen=True)
class Evaluation(Checked):
    """The linear probe for joints, the recurrent one for actions, and the decoders of images; of
    the last two nothing is stated.
    """

    #: ridges of the linear probe: each level's is chosen by leaving out fitted videos; none: 0
    ridges: tuple[float, ...] = ()
    stretch: CountOrZero = 0  # frames into which videos are cut for its halves; 0 keeps them whole
    action_window: Count = 50  # frames
    action_every: Count = 25  # frames from one window to the next
    action_steps: Count = 1000
    action_training_videos: CountOrZero = 0  # whose windows it is trained on; 0 takes all
    action_per_level: bool = True  # whether each level is also probed alone
    #: steps of a decoder from the found keypoints of each level to images; 0 trains none; not stated
    image_steps: CountOrZero = 10_000
    #: what it reads: coordinates, or their blobs on a map of a quarter of the side; not stated
    image_decoder: DecoderKind = "coordinates"


@dataclass(frozen=True)
class Config(RunConfig):
    """All that a run depends on besides its seed. The defaults are the paper's; a field that says
    "not stated" has a value that the paper leaves open."""

    summary: str  # one line
    data: VideoSet = VideoSet()
    pyramid: Pyramid = Pyramid()
    weights: Weights = Weights()
    rendering: Rendering = Rendering()
    still: Still = Still()
    optimizer: Optimizer = Optimizer()
    batch_size: Count = 32  # pairs; not stated
    steps: Count = 100_000  # not stated
    #: evaluations of the probe on test videos while training, for the curves; they decide nothing
    evaluations: CountOrZero = 10
    #: a run stops after so many steps with a sign of collapse; 0 never stops it
    collapse_steps: CountOrZero = 10_000
    #: images that are rendered no better than these are such a sign
    collapse_baselines: tuple[str, ...] = BASELINES
    baselines: Baselines = Baselines()
    evaluation: Evaluation = Evaluation()

    @property
    def prediction_batch(self) -> int:
        """Images that are predicted together."""
        return 4 * self.batch_size

    def __post_init__(self):
        super().__post_init__()
        if unknown := sorted(set(self.collapse_baselines) - set(BASELINES)):
            raise InputError(
                "collapse_baselines", f"{unknown[0]!r} is unknown; there are {', '.join(BASELINES)}"
            )
        if self.weights.motion and not (self.still.residual or self.still.motion_weight):
            raise InputError(
                "motion",
                f"{self.weights.motion:g}; only before a still camera is it known what moves: --motion 0, or "
                "--residual",
            )


# The paper's formulas are sums and name no unit. At its weight of 1 a spring in pixels pulls
# children onto their parents, and so does one of means; one in normalised coordinates does not.
PAPER = Config("people in a studio, Human3.6M, the paper's setting; one GPU")
# Sizes, widths and weights that train on two cores. With one width for reconstruction and
# transport, masks that are wide enough to render from cover all that moves; a spring of 1 pulls
# children onto their parents.
SMALL = replace_fields(
    PAPER,
    image_size=64,
    pair_crop="own",
    window=29,
    network="small",
    conditioning_width=0.2,
    batch_size=16,
    learning_rate=1e-3,
    schedule="cosine",
    clip=1.0,
    evaluations=4,
    collapse_steps=500,
    spring=0.01,
    reduction="mean",
    reconstruction_width=0.2,
    transport_widths=(0.2, 0.1),
    reference_pass="separate",
    baselines_per_level=False,
    action_window=30,
    action_every=30,
    action_steps=400,
    action_per_level=False,
    image_steps=0,
)
