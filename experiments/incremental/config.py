"""What an incremental run depends on, and the settings of the paper, of the demo and of small real sets."""
from dataclasses import asdict, dataclass, replace
from typing import Literal

from experiments.decoding import DecoderName
from experiments.flags import check_at_least, check_network_sizes, check_positive, flag
from experiments.networks import NetworkName
from experiments.own_project import OwnProject
from kpjax.errors import InputError

AT_LEAST_ONE = ("batch_size", "base_steps", "head_layers", "head_width", "image_size", "heatmap_size", "triples",
                "stages", "unit_width", "training_examples", "test_examples", "afec_images", "afec_fisher_every",
                "importance_batch")
AT_LEAST_ZERO = ("warmup_steps", "low_shot", "weight_decay", "clip", "balance", "cpr_entropy")
POSITIVE = ("sigma", "learning_rate", "base_learning_rate", "association_learning_rate", "temperature", "kamp",
            "kamp_rerendered", "ksd_only", "self_training", "mse_distillation", "lwf", "lwf_temperature", "ewc",
            "online_ewc", "mas", "rw", "afec", "afec_expanded", "cpr")
WEIGHTS = ("kamp", "kamp_rerendered", "ksd_only", "self_training", "mse_distillation", "lwf", "ewc", "online_ewc",
           "mas", "rw", "afec", "afec_expanded", "cpr", "cpr_entropy")  # of terms; they change nothing that is compiled
AFTER_BASE = (  # what step 0 and importances after it do not depend on: runs that differ in nothing else share them
    "summary", "judged_by", "steps", "association_share", "learning_rate", "association_learning_rate",
    "freeze_statistics", "reduction", "distillation_mode", "temperature", "balance", "ka_variant", "ka_target",
    "ka_weight", "ka_loss", "triples", "triple", "skip_useless_triples", "filter_mode", "filter_kept",
    "lwf_temperature", "afec_images", "afec_fisher_every", "normalise_importance", "fuse", "gamma", "pck_thresholds",
    "error_in")
SHARES = ("association_share", "validation_share", "gamma", "filter_kept")


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's for MPII; a field that says "not
    stated" has a value that the paper leaves open."""

    summary: str  # one line
    train: str  # "<dataset>/<split>" of `python -m data`, or "figures:<domain>"
    scale_is: str  # what distances are compared with, in words
    protocol: str  # name of a file in experiments/incremental/protocols, or the path of one
    test: str = ""  # "<dataset>/<split>"; "" for drawn figures
    validation: str = ""  # "<dataset>/<split>"; "" holds out a share of the training pictures, drawn by the seed
    validation_share: float = 0.05  # of the training pictures, where no split validates
    judged_by: Literal["test", "validation"] = "test"  # whose pictures the results are about; tuning validates
    held_out: float = 0.0  # share of a step's pictures that it does not train on, for choices without old labels
    low_shot: int = 0  # pictures of every step after the base; 0 takes all of the protocol's
    single_new: bool = False  # every step of the protocol is cut into steps of one new keypoint
    unused_keypoints: tuple[str, ...] = ()  # names of points that the dataset never labels
    # Pictures
    placement: Literal["person_crop", "letterbox", "around_box"] = "person_crop"
    crop_margin: float = 1.25  # side of the crop over the longer side of the box
    crop_smallest: float = 0.0  # px of the picture, the least side of the crop
    image_size: int = 256  # px
    heatmap_size: int = 64  # px
    sigma: float = 2.0  # of a keypoint's Gaussian, heatmap px
    grid: Literal["index", "half_pixel"] = "index"  # how heatmaps lie in the image
    targets: Literal["official", "sub_pixel"] = "official"  # Gaussians at whole cells and cut off, or where points are
    decoder: DecoderName = "quarter"
    augmentation: Literal["official", "strong", "xray", "none"] = "official"  # not stated
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
    stem_width: int = 64  # of RSN, too
    taps: Literal["stage_outputs", "highres"] = "highres"  # which maps are features
    rematerialise: bool = False  # slower, with less memory
    widths: tuple[int, ...] = ()  # of the small U-net
    depth: Literal[18, 34, 50, 101, 152] = 50  # of the residual network and of RSN (18 or 50)
    stages: int = 1  # of RSN, as is the next; its labels count at every level, and its depth is 18 in the paper's table
    unit_width: int = 256
    head_layers: int = 1
    head_width: int = 64
    imagenet: str = ""  # file or hub name of ImageNet weights; "" starts from random weights
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    # Training
    batch_size: int = 32
    base_steps: int = 13_900  # of step 0; 100 epochs of a fifth of MPII
    steps: int = 13_900  # of every later step, with KA-Net's
    association_share: float = 0.2  # of them for KA-Net: 20 of 100 epochs. Rows without KA-Net train the method longer
    base_learning_rate: float = 1e-2  # Adam's
    learning_rate: float = 1e-2
    association_learning_rate: float = 1e-3  # not stated
    schedule: Literal["steps", "cosine", "constant"] = "steps"  # "steps": a tenth from 70 % and again from 90 %
    warmup_steps: int = 500
    weight_decay: float = 1e-4  # of the weights towards zero, beside Adam's step
    clip: float = 1.0  # of the gradient's norm; 0 for none
    half: bool = True  # the factor 1/2 of the official heatmap loss
    freeze_old_heads: bool = True
    freeze_statistics: bool = False  # whether steps after the base run on the base's BatchNorm statistics
    # The method
    kamp: float = 100.0  # alpha of kamp and its ablations, in the unit of `reduction`, as are the next three
    kamp_rerendered: float = 100.0
    ksd_only: float = 100.0
    self_training: float = 100.0
    reduction: Literal["element_mean", "line_sum"] = "element_mean"  # line_sum is element_mean times the map's side
    distillation_mode: Literal["lines", "joint", "marginal"] = "lines"  # what one softmax goes over
    temperature: float = 1.0
    balance: float = 0.0  # above 0 alpha follows the gradients' norms, and this is the ratio that it holds
    ka_variant: Literal["auto", "paper", "wide", "with_features"] = "auto"  # "auto": "paper" where its reach suffices
    ka_target: Literal["raw", "rerendered"] = "raw"  # of all rows with KA-Net but kamp and kamp_rerendered, as the next
    ka_weight: Literal["alpha", "alpha_over_old"] = "alpha"  # alpha_over_old: divided by the number of old keypoints
    ka_loss: Literal["spatial", "mse"] = "spatial"
    triples: int = 1  # of a step, where the protocol gives that many
    triple: Literal["protocol", "automatic"] = "protocol"  # "automatic": the nearest in the skeleton
    skip_useless_triples: bool = False  # judged on pictures held out from the step
    filter_mode: Literal["hard", "soft"] = "hard"  # of kamp_filtered, as is the next
    filter_kept: float = 0.8  # share of the pseudo-labels of a step that are kept
    # The rivals
    mse_distillation: float = 1.5  # about 100 of element_mean on maps of 64
    lwf: float = 10.0
    lwf_temperature: float = 2.0
    ewc: float = 1e4
    online_ewc: float = 1e4
    mas: float = 10.0
    rw: float = 1e3
    afec: float = 1e4
    afec_expanded: float = 1e2  # of the pull to the network that learnt the new keypoints alone
    afec_images: int = 256  # of the Fisher information of that network
    afec_fisher_every: int = 5  # epochs between two of them
    cpr: float = 1e4
    cpr_entropy: float = 0.5
    cpr_entropy_of: Literal["lines", "channel"] = "lines"  # not stated
    importance_batch: int = 16
    normalise_importance: bool = False  # divided by their mean, so that weights carry over between networks
    batch_fisher: bool = False  # squares of the batch's mean gradient, as some published code has it
    fuse: Literal["default", "running_mean", "sum", "half"] = "default"  # of importances over the steps
    gamma: float = 0.9  # what online EWC keeps of earlier importances
    rw_form: Literal["cpr", "facil"] = "cpr"
    # Evaluation
    pck_thresholds: tuple[float, float] = (0.5, 0.2)  # of the reference length; the results are about the first
    pck_over: Literal["box", "scale"] = "scale"  # the longer side of the annotated box, or the dataset's own length
    error_in: Literal["pixels", "scale"] = "scale"  # of A-MRE: pixels of the pictures, or the reference length
    training_examples: int = 3200  # of drawn figures, of all steps together
    test_examples: int = 500
    difficulty: float = 0.5  # of the target figures

    def __post_init__(self):
        """Raises InputError, in the words of the command line, for what no run can be made of."""
        check_at_least(1, self, AT_LEAST_ONE)
        check_at_least(0, self, AT_LEAST_ZERO)
        check_positive(self, (*POSITIVE,))
        check_network_sizes(self)
        for name in SHARES:
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{flag(name)}: {getattr(self, name):g}; it is a share, more than 0 and at most 1")
        if not 0 <= self.held_out < 1:
            raise InputError(f"--held-out: {self.held_out:g}; it is a share of a step's pictures, below 1")
        if min(self.pck_thresholds) <= 0:
            raise InputError(f"--pck-thresholds: {self.pck_thresholds}; give two lengths above 0")
        if self.skip_useless_triples and not self.held_out:
            raise InputError("--skip-useless-triples: pictures of the step must judge its triples; add --held-out 0.1")


@dataclass(frozen=True)
class OwnConfig(OwnProject, Config):
    """What a run depends on that teaches a person's own model new keypoints. What is not typed is taken over from the
    old run or chosen from the project, see `own`."""

    old: str = ""  # a finished run's folder, .../<variant>/seed-<n>, or an exported one
    project: str = ""  # with labels of new keypoints: DeepLabCut, SLEAP, COCO, Lightning Pose, or csv


PAPER = Config("", "", "the head's size", "mpii", unused_keypoints=())
DRAWN = Config(
    "drawn people with clutter, 200 pictures, then 1,500 for the hands and 1,500 for the feet; 2 cores, minutes",
    "figures:target", "the picture's side", "figures", placement="letterbox", image_size=64, heatmap_size=16,
    sigma=1.25, grid="half_pixel", targets="sub_pixel", decoder="dark", augmentation="none", flip=False,
    network="small_unet", widths=(16, 32, 32, 64, 64), head_layers=1, base_steps=800, steps=400,
    base_learning_rate=3e-3, learning_rate=2e-3, association_learning_rate=3e-3, schedule="cosine", warmup_steps=20,
    weight_decay=0.0, reduction="line_sum", kamp=1.0, kamp_rerendered=1.0, ksd_only=1.0, self_training=0.3,
    mse_distillation=1.0, lwf=4.0, ewc=3e-3, online_ewc=3e-3, mas=1e-3, rw=1e-3, afec=3e-3,
    afec_expanded=1e-3, cpr=3e-3, cpr_entropy=0.01, normalise_importance=True, pck_thresholds=(0.05, 0.1),
    error_in="pixels", difficulty=1.0)
SMALL_REAL = replace(
    DRAWN, augmentation="strong", flip=True, heatmap_size=32, sigma=1.0, batch_size=16, base_steps=600, steps=500,
    validation_share=0.1)
XRAY = replace(
    PAPER, placement="letterbox", image_size=512, heatmap_size=128, augmentation="xray", flip=False, batch_size=16,
    base_learning_rate=2e-3, learning_rate=2e-3, pck_over="scale")

PRESETS: dict[str, Config] = {
    "demo": DRAWN,
    "own": OwnConfig(**asdict(SMALL_REAL) | {
        "summary": "new keypoints for a run of one's own: --old RUN --project P; 2 cores", "train": "own",
        "protocol": "own", "scale_is": "the diagonal of all points", "image_size": 128, "heatmap_size": 0,
        "base_steps": 1, "pck_thresholds": (0.1, 0.05)}),
    "demo_tuning": replace(
        DRAWN, summary="where the weights of the demo's rows are chosen: other keypoints first, validation pictures",
        protocol="figures_tuning", judged_by="validation", held_out=0.1),
    "faces": replace(
        SMALL_REAL, summary="68 points of faces in videos, in four steps; 2 cores", protocol="faces",
        train="youtube_faces/train", test="youtube_faces/test", scale_is="the distance between the eyes",
        image_size=128, widths=(16, 32, 64, 64, 128), pck_thresholds=(0.1, 0.05)),
    "lspet": replace(
        PAPER, summary="people in sport, LSP Extended, in five steps; one GPU", protocol="lspet", train="lspet/train",
        test="lspet/test", scale_is="the box's longer side", crop_smallest=100.0, pck_over="box",
        unused_keypoints=("pelvis", "thorax"), pck_thresholds=(0.1, 0.2)),
    "mpii": replace(PAPER, summary="people, MPII, 16 points in five steps; one GPU", train="mpii/train",
                    validation="mpii/validation", test="mpii/test"),
    "cephalometric": replace(
        XRAY, summary="X-rays of heads, 19 landmarks (ISBI 2015) in five steps; one GPU", protocol="cephalometric",
        train="cephalometric/train", test="cephalometric/test", scale_is="a millimetre", pck_thresholds=(2.0, 4.0),
        base_steps=1000, steps=1000),
    "chest": replace(
        XRAY, summary="X-rays of chests, 6 landmarks in two steps; one GPU", protocol="chest", train="chest/train",
        validation="chest/validation", test="chest/test", scale_is="a pixel of a picture of 512", kamp=1e4,
        kamp_rerendered=1e4, ksd_only=1e4, self_training=1e4, mse_distillation=80.0,
        pck_thresholds=(6.0, 9.0), base_steps=1000, steps=1000),
    "atrw": replace(
        PAPER, summary="tigers, ATRW, 15 points in four steps; one GPU", protocol="atrw", train="atrw/train",
        validation="atrw/validation", test="atrw/test", scale_is="the box's longer side", crop_margin=1.0,
        pck_over="box", learning_rate=2e-3, base_learning_rate=2e-3, kamp=1e4,
        kamp_rerendered=1e4, ksd_only=1e4, self_training=1e4, mse_distillation=150.0, pck_thresholds=(0.2, 0.1),
        base_steps=1700, steps=1700),
    "upper_lower": replace(
        PAPER, summary="MPII, the lower body after the upper one, so that new points are far from old ones; one GPU",
        protocol="mpii_upper_lower", train="mpii/train", validation="mpii/validation", test="mpii/test"),
    "low_shot": replace(
        PAPER, summary="MPII with 50 pictures in every step after the base; one GPU", low_shot=50, train="mpii/train",
        validation="mpii/validation", test="mpii/test", steps=1390),
}
