"""What a semi-supervised run depends on, and the settings of the paper, of the demo and of small real sets."""
from dataclasses import asdict, dataclass, replace
from typing import Literal

from experiments.decoding import DecoderName
from experiments.flags import check_at_least, check_network_sizes, check_positive
from experiments.networks import NetworkName
from experiments.own_project import OwnProject
from kpjax.errors import InputError

AT_LEAST_ONE = ("batch_size", "steps", "evaluations", "training_examples", "test_examples", "head_layers", "head_width",
                "image_size", "heatmap_size", "feature_width", "generator_size")
POSITIVE = ("labelled", "unlabelled_share", "sigma", "learning_rate", "warm_start_learning_rate", "pck_threshold",
            "supervised_weight", "semantic", "equivariance", "invariance", "elt", "elt_coordinates", "consistency",
            "reconstruction")


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's; a field that says "not stated"
    has a value that the paper leaves open."""

    summary: str  # one line
    train: str  # "<dataset>/<split>" of `python -m data`, or "figures:<domain>"
    scale_is: str  # what distances are compared with, in words
    test: str = ""  # "<dataset>/<split>"; "" for drawn figures
    validation: str = ""  # "<dataset>/<split>"; "" holds out a share of the training pictures, drawn by the seed
    labelled: float = 0.05  # of the training pictures: at most 1 a share, above it a count; drawn by the seed
    unlabelled_share: float = 1.0  # share of the training pictures without labels that is used
    unlabelled_pool: Literal["rest", "all"] = "rest"  # "all": the labelled ones are also in it; not stated
    validation_share: float = 0.05  # of the training pictures, where no split validates
    unused_keypoints: tuple[str, ...] = ()  # names of points that the dataset never labels
    # Pictures
    placement: Literal["person_crop", "letterbox", "around_box"] = "person_crop"
    crop_margin: float = 1.25  # side of the crop over the longer side of the box; not stated
    crop_smallest: float = 0.0  # px of the picture, the least side of the crop
    image_size: int = 256  # px
    heatmap_size: int = 64  # px
    sigma: float = 2.0  # of a keypoint's Gaussian, heatmap px
    grid: Literal["index", "half_pixel"] = "index"  # how heatmaps lie in the image
    targets: Literal["official", "sub_pixel"] = "official"  # Gaussians at whole cells and cut off, or where points are
    decoder: DecoderName = "argmax"
    augmentation: Literal["official", "strong", "none"] = "official"  # not stated; the authors' code for birds has none
    flip: bool = True  # mirrored pictures, where the skeleton says which points change places
    rotation: float = 30.0  # degrees either way, of the augmentation "strong", as are the next five
    zoom: tuple[float, float] = (0.75, 1.4)
    shift: float = 0.15  # of the side, either way
    jitter: float = 0.4
    blur: float = 1.0  # px, the most
    noise: float = 0.05  # of the range of pixel values, the most
    # Network
    network: NetworkName = "hrnet"
    width: int = 32  # of HRNet, as are the next five; a laptop wants 8, modules 1 1 1, 1 block and a stem of 16
    modules: tuple[int, int, int] = (1, 4, 3)  # of stages 2 to 4
    blocks: int = 4  # of each branch
    stem_width: int = 64
    taps: Literal["stage_outputs", "highres"] = "stage_outputs"  # which maps are features; not stated
    rematerialise: bool = False  # slower, with less memory
    widths: tuple[int, ...] = ()  # of the small U-net
    depth: Literal[18, 34, 50, 101, 152] = 50  # of the residual network
    head_layers: int = 1
    head_width: int = 64
    imagenet: str = ""  # file or hub name of ImageNet weights; "" starts from random weights
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    # Training
    batch_size: int = 32  # half labelled and half unlabelled where both are read
    warm_start_steps: int = 0  # supervised steps on the labelled pictures that all variants of a seed share
    warm_start_learning_rate: float = 1e-4
    steps: int = 30_000
    learning_rate: float = 1e-4  # Adam's
    schedule: Literal["constant", "cosine"] = "constant"  # cosine falls to zero
    evaluations: int = 50  # of the validation pictures; the best step is the result
    # The method
    supervised_weight: float = 1e3
    semantic: float = 0.5
    equivariance: float = 1e2
    invariance: float = 1e2
    invariance_reduction: Literal["mean", "sum"] = "mean"  # not stated
    half: bool = False  # the factor 1/2 of the official heatmap loss; not stated
    detach_masks: bool = False  # no gradient through the heatmaps that mask the features; not stated
    feature_width: int = 64
    perspective: float = 0.15  # how far corners move, of the side; not stated
    warped_pass: Literal["joint", "separate"] = "joint"  # BatchNorm sees both views at once, or one at a time
    # The rivals
    elt: float = 1e2  # weight of the equivariance of heatmaps
    elt_coordinates: float = 1.0  # weight of the equivariance of coordinates
    consistency: float = 1e2  # weight in mean_teacher
    decay: float = 0.999  # of the teacher
    reconstruction: float = 1e-3  # weight in gen; not stated
    perceptual: str = ""  # safetensors file of VGG-16's weights for gen's loss; "" compares pixels
    generator_size: int = 128  # px to which gen shrinks the pictures that it paints
    generator_widths: tuple[int, ...] = ()  # of its encoder, from fine to coarse; () takes IMM's
    # Evaluation
    pck_threshold: float = 0.1  # of the reference length
    pck_over: Literal["box", "scale"] = "box"  # the longer side of the annotated box, or the dataset's own length
    uncounted_keypoints: tuple[str, ...] = ()  # left out of the means
    training_examples: int = 2000  # of drawn figures
    test_examples: int = 500
    difficulty: float = 0.5  # of the target figures

    def __post_init__(self):
        """Raises InputError, in the words of the command line, for what no run can be made of."""
        check_at_least(1, self, AT_LEAST_ONE)
        check_at_least(0, self, ("warm_start_steps", "perspective"))
        check_positive(self, POSITIVE)
        check_network_sizes(self)
        if self.labelled > 1 and self.labelled != round(self.labelled):
            raise InputError(f"--labelled: {self.labelled:g}; it is a share up to 1, above it a number of pictures")
        if self.unlabelled_share > 1:
            raise InputError(f"--unlabelled-share: {self.unlabelled_share:g}; it is a share of the pictures without "
                             "labels")
        if self.batch_size % 2:
            raise InputError(f"--batch-size: {self.batch_size}; half of it is labelled, so it must be even")

    @property
    def all_labelled(self) -> bool:
        """Whether no training picture is without its label."""
        return self.labelled == 1


@dataclass(frozen=True)
class OwnConfig(OwnProject, Config):
    """What a run on a person's own project depends on. What is not typed is chosen from the project, see `own`."""

    project: str = ""  # with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    unlabelled: tuple[str, ...] = ()  # pictures, videos, folders of them; none: what the project has
    labelled: float = 1.0  # of the animals that train: at most 1 a share, above it a count; drawn by the seed

    @property
    def all_labelled(self) -> bool:
        """There are always frames without labels."""
        return False


# The paper stops when the validation accuracy has not risen for some epochs. Here the steps are capped at 50 epochs of
# the unlabelled pictures, as in the authors' settings for birds, and the best evaluation is the result.
PAPER = Config("", "", "the box's longer side")
LEEDS = replace(PAPER, crop_smallest=100.0, unused_keypoints=("pelvis", "thorax"))
DRAWN = Config(
    "drawn people with clutter, 20 of 2,000 labelled; 2 cores, minutes", "figures:target", "the picture's side",
    labelled=20, placement="letterbox", image_size=64, heatmap_size=16, sigma=1.25, grid="half_pixel",
    targets="sub_pixel", decoder="dark", augmentation="none", network="small_unet", widths=(16, 32, 32, 64, 64),
    head_layers=2, head_width=32, warm_start_steps=400, warm_start_learning_rate=3e-3, steps=400, learning_rate=2e-3,
    schedule="cosine", evaluations=4, equivariance=1e3, invariance=1.0, elt=1e3, consistency=1e3, feature_width=32,
    generator_size=32, generator_widths=(8, 16), pck_over="scale", difficulty=0.5, warped_pass="separate")
SMALL_REAL = replace(
    DRAWN, warped_pass="joint", augmentation="strong", heatmap_size=32, sigma=1.0, batch_size=16, warm_start_steps=200,
    steps=300, validation_share=0.15)

PRESETS: dict[str, Config] = {
    "demo": DRAWN,
    "own": OwnConfig(**asdict(SMALL_REAL) | {
        "summary": "one's own project, with frames or videos without labels: --project P [--unlabelled V ...]; 2 cores",
        "train": "own", "scale_is": "the labelled body's diagonal", "labelled": 1.0, "placement": "letterbox",
        "image_size": 128, "heatmap_size": 0, "generator_size": 64, "generator_widths": (8, 16, 32)}),
    "openfield": replace(
        SMALL_REAL, summary="a mouse from above, or any DeepLabCut project of one animal, 10 labelled; 2 cores",
        train="deeplabcut/train", test="deeplabcut/test", scale_is="the labelled body's diagonal", labelled=10,
        image_size=128, generator_size=64, generator_widths=(8, 16, 32), rotation=180.0, flip=False),
    "faces": replace(
        SMALL_REAL, summary="68 points of faces in videos, 10 % labelled; 2 cores", train="youtube_faces/train",
        test="youtube_faces/test", scale_is="the distance between the eyes", labelled=0.1,
        widths=(16, 32, 64, 64, 128), head_width=64),
    "lspet": replace(
        LEEDS, summary="people in sport, 5 % of 2,000 pictures of LSP Extended labelled; one GPU", train="lspet/train",
        test="lspet/test"),
    "mpii": replace(
        PAPER, summary="people, 5 % of 10,000 MPII pictures labelled; one GPU", train="mpii/train", test="mpii/test",
        scale_is="the head's size", validation="mpii/validation", pck_over="scale", pck_threshold=0.5,
        uncounted_keypoints=("pelvis", "thorax")),
    "lsp": replace(
        LEEDS, summary="people in sport, LSP Extended to LSP, 5 % of 10,000 labelled; one GPU",
        train="lspet/train+test", validation="lsp/first_half", test="lsp/second_half"),
    "cub": replace(
        PAPER, summary="birds of other species, CUB-200-2011, 5 % labelled; one GPU", train="cub200_2011/train",
        validation="cub200_2011/validation", test="cub200_2011/test", steps=17_500),
    "atrw": replace(
        PAPER, summary="tigers, ATRW, 5 % labelled; one GPU", train="atrw/train", validation="atrw/validation",
        test="atrw/test", crop_margin=1.0, steps=10_800),
}
