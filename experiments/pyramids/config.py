"""What a run of Keypoint Pyramids depends on, and the settings of the paper, of the demo, and of one's own videos."""
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal

import tyro

from data.human36m_videos import ELEVEN_ACTIONS
from experiments.flags import check_at_least, check_positive
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import BASELINES
from kpjax.input.pairs import Crop
from kpjax.losses.pyramids import Combine
from kpjax.methods.discovery.discovery import ReferencePass

AT_LEAST_ONE = ("every", "training_videos", "test_videos", "video_frames", "image_size", "window", "batch_size",
                "steps", "depth", "action_window", "action_every", "action_steps", "annotated_side")
AT_LEAST_ZERO = ("evaluations", "clip", "collapse_steps", "action_training_videos", "ridge")
POSITIVE = ("learning_rate", "reconstruction", "spring", "reconstruction_width", "conditioning_width", "keynet_width",
            "transporter_width", "crop_margin")


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's; a field that says "not stated"
    has a value that the paper leaves open. Widths are of blobs in normalised coordinates, a picture's side being 2."""

    summary: str  # one line
    data: Literal["figures", "tabletop", "human36m_videos", "own"] = "human36m_videos"
    # Own videos
    videos: tuple[str, ...] = ()  # files and folders; a folder may have a table of labels, keypoints.csv
    every: int = 1  # keeps frames 0, every, 2 every ...
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that do not decode
    mixed_sizes: bool = False  # whether the videos may differ in size
    annotated_side: int = 640  # px, the longer side of the videos that are written, at most
    # Drawn videos
    training_videos: int = 300
    test_videos: int = 60
    video_frames: int = 30
    recordings: tuple[str, ...] = ()  # motion of figures: "dancing=05.asf,05_02.amc" is an action, a body, its motion
    # Pictures
    actions: tuple[str, ...] = ELEVEN_ACTIONS  # of Human3.6M; the paper keeps eleven and does not list them
    image_size: int = 128  # px; not stated
    crop_margin: float = 1.0  # side of the crop over the longer side of the annotated box; not stated
    pair_crop: Crop = "union"  # what both frames of a pair are cut out with; not stated
    window: int = 250  # frames between a frame and its reference, at most
    # Network
    network: Literal["small", "paper"] = "paper"  # "paper": ResNet-18 and BatchNorm; sizes are not stated
    depth: int = 1  # convolutions at each resolution of the small network
    level_sizes: tuple[int, int] = (10, 20)  # keypoints of the coarse and the fine level
    conditioning_width: float = 0.1  # of the coarse keypoints that the fine level reads; not stated, as all widths
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    # Training
    batch_size: int = 32  # pairs; not stated
    steps: int = 100_000  # not stated
    learning_rate: float = 1e-4  # Adam's
    schedule: Literal["constant", "cosine"] = "constant"  # cosine falls to zero
    clip: float = 0.0  # of the gradient's norm; 0 for none
    evaluations: int = 10  # of the probe on test videos while training, for the curves; they decide nothing
    collapse_steps: int = 10_000  # a run stops that has shown a sign of collapse for so many steps; 0 never stops it
    collapse_baselines: tuple[str, ...] = BASELINES  # paintings that are no better than these are such a sign
    # The method
    reconstruction: float = 1.0  # weight
    transport: tuple[float, float] = (0.1, 1.0)  # weights of the levels
    spring: float = 1.0  # weight
    reduction: Literal["mean", "sum"] = "mean"  # of squared differences; not stated
    spring_unit: Literal["normalised", "pixels"] = "normalised"  # not stated
    reconstruction_width: float = 0.1
    transport_widths: tuple[float, float] = (0.1, 0.1)  # of the levels
    combine: Combine = "product"  # how the blobs of many keypoints make one mask; not stated
    stop_reference: bool = True  # no gradient through what is transported from the reference; not stated
    reference_pass: ReferencePass = "joint"  # whether BatchNorm sees both frames at once; of GroupNorm only the time
    # The rivals
    rivals: Literal["as_in_paper", "published"] = "as_in_paper"  # on the pyramid's finest map, or with their own nets
    rivals_per_level: bool = True  # the rivals also with as many keypoints as each level has, in runs of their own
    keynet_width: float = 0.1
    transporter_width: float = 0.1
    perceptual: str = ""  # file of VGG-16's weights for KeyNet's loss as published; "" compares pixels
    # Evaluation
    intercept: bool = True  # of the linear probe; not stated
    ridge: float = 0.0
    action_window: int = 50  # frames; not stated, as all about the recurrent network
    action_every: int = 25  # frames from one window to the next
    action_steps: int = 1000
    action_training_videos: int = 0  # whose windows it is trained on; 0 takes all
    action_per_level: bool = True  # whether each level is asked alone, too

    def __post_init__(self):
        """Raises InputError, in the words of the command line, for what no run can be made of."""
        check_at_least(1, self, AT_LEAST_ONE)
        check_at_least(0, self, AT_LEAST_ZERO)
        check_positive(self, POSITIVE)
        for name in ("level_sizes", "transport", "transport_widths"):
            if len(getattr(self, name)) != 2 or min(getattr(self, name)) <= 0:
                shown = " ".join(f"{number:g}" for number in getattr(self, name))
                raise InputError(f"--{name.replace('_', '-')}: {shown}; give two numbers above 0, the coarse level's "
                                 "first")
        coarse, fine = self.level_sizes
        if fine % coarse:
            raise InputError(f"--level-sizes: {coarse} {fine}; every keypoint of the first level has equally many "
                             "children, so the second number has to be a multiple of the first")
        if unknown := sorted(set(self.collapse_baselines) - set(BASELINES)):
            raise InputError(f"--collapse-baselines: {unknown[0]!r} is unknown; there are {', '.join(BASELINES)}")

    @property
    def flat_size(self) -> int:
        """The keypoints of all levels together, which the rivals have in one."""
        return sum(self.level_sizes)


@dataclass(frozen=True)
class OwnConfig(Config):
    """What a run on a person's own videos depends on. What is not typed is chosen from them, see `settings`."""

    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 64  # px; videos of several sizes need it typed
    control: bool = True  # whether the network that nothing has taught, which may explain the result, runs beside


PAPER = Config("people in a studio, Human3.6M, the paper's setting; one GPU")
# Sizes, widths and weights that train on two cores. With one width for reconstruction and transport, masks that are
# wide enough to paint from cover all that moves; a spring of 1 pulls children onto their parents.
SMALL = replace(
    PAPER, image_size=64, pair_crop="own", window=29, network="small", conditioning_width=0.2, batch_size=16,
    learning_rate=1e-3, schedule="cosine", clip=1.0, evaluations=4, collapse_steps=500, spring=0.01,
    reconstruction_width=0.2, transport_widths=(0.2, 0.1), keynet_width=0.2, reference_pass="separate",
    rivals_per_level=False, action_window=30, action_every=30, action_steps=400, action_per_level=False)

PRESETS: dict[str, Config] = {
    "demo": replace(SMALL, summary="videos of drawn people; 2 cores, minutes", data="figures", steps=1000,
                    action_training_videos=160),
    "tabletop": replace(
        SMALL, summary="drawn videos of an arm that pushes toys, for the paper's set of a robot; 2 cores",
        data="tabletop", training_videos=360, test_videos=90, steps=2000),
    "h36m": PAPER,
    "own": OwnConfig(**asdict(SMALL) | {
        "summary": "keypoints of one's own videos, which come back annotated: --videos FILE_OR_FOLDER ...; 2 cores",
        "data": "own", "steps": 2000, "evaluations": 0,
        # On a clip of 166 frames in which little moves, points came alive after 1,000 steps, with a window of 80; with
        # one of 25 none had after 550.
        "window": 80, "collapse_steps": 1500,
        # Before a still background both the mean image and a copy are nearly right wherever nothing moves.
        "collapse_baselines": ("constant_colour",)}),
}
