"""What a run of frozen-core adaptation depends on: the settings of the paper, of the demo and of small real sets."""
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import tyro

from experiments.flags import check_at_least, check_positive
from experiments.own_project import OwnData
from kpjax.errors import InputError
from kpjax.methods.core_adaptation.adaptation import RELEASED_SIGMA

AT_LEAST_ONE = (
    "core_pictures", "core_test_pictures", "training_pictures", "test_pictures", "image_size", "target_side", "width",
    "depth", "landmarks", "core_batch_size", "core_epochs", "core_epoch_steps", "batch_size", "steps", "repeats",
    "generator_width", "generator_blocks")
AT_LEAST_ZERO = ("core_epoch", "target_images", "weight_decay", "extra")
POSITIVE = (
    "core_crop_margin", "core_sigma", "core_learning_rate", "core_pck_threshold", "learning_rate", "temperature",
    "sigma", "clip", "feature_weight", "penalty", "shown")
Placement = Literal["landmark_crop", "margin_crop", "window_crop", "letterbox"]
Background = Literal["plain", "smooth", "photo-like", "clutter", "patches"]


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's and its code's; a field that says
    "not stated" has a value that both leave open. Data are "<dataset>/<split>" of `python -m data`, or "drawn:people",
    "drawn:faces", "drawn:four_legged"."""

    summary: str  # one line
    core: str = "mpii/train+validation"  # what the core learns with labels
    core_test: str = "mpii/test"  # what its accuracy is measured on; "" for nothing
    target: str = "celeba/train+validation+test+mafl_train"  # what is adapted to; no label of it is read
    fit: str = ""  # whose labels the regressors of the evaluation are fitted on; "" for those of the target's pictures
    test: str = ""  # what is evaluated
    target_images: int = 0  # so many of the target's pictures, drawn by the seed; 0 takes all
    core_kept_by: str = ""  # the preset whose folder keeps the core; "" for its own
    training_kept_by: str = ""  # the preset with the same training in whose folder it is kept; "" for its own
    # Pictures
    pictures: Literal["colour", "local_contrast"] = "colour"  # of the core, too
    image_size: int = 128  # px; heatmaps are four times smaller
    core_placement: Literal["person_crop", "landmark_crop", "letterbox"] = "person_crop"
    core_crop_margin: float = 1.25  # side of the crop over the longer side of the box; not stated
    core_crop_smallest: float = 0.0  # px of the picture, the least side of that crop
    target_placement: Placement = "landmark_crop"
    target_tightness: int = 130  # margin of that crop, percent of the landmarks' box; views show 70 of it
    target_side: int = 192  # px of the pictures that views are drawn from
    test_placement: Placement = "landmark_crop"
    test_tightness: int = 64  # the released code's default is 16
    core_background: Background = "clutter"  # of drawn people
    target_background: Background = "clutter"  # of drawn objects that are adapted to
    core_pictures: int = 2000  # drawn
    core_test_pictures: int = 300
    training_pictures: int = 1500
    test_pictures: int = 300
    # Network
    width: int = 256  # of the hourglass
    depth: int = 4  # halvings in it
    landmarks: int = 10
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    # Training of the core; only its loss, epochs and accuracy are stated
    core_batch_size: int = 32
    core_epochs: int = 110
    core_epoch_steps: int = 695  # one pass over 22,246 people
    core_kept: tuple[int, ...] = (1, 5, 10)  # epochs after which the core is kept besides the last
    core_epoch: int = 0  # which of them is adapted; 0 for the last
    core_learning_rate: float = 2.5e-4  # Adam's; a tenth after 6/11 of the steps and again after 9/11
    core_sigma: float = 1.0  # of a keypoint's Gaussian, heatmap px
    core_unused_keypoints: tuple[str, ...] = ()  # that the set never labels
    core_uncounted_keypoints: tuple[str, ...] = ()  # left out of the accuracy
    core_pck_threshold: float = 0.5  # of the reference length
    core_pck_over: Literal["scale", "box"] = "scale"  # the set's own reference length, or the longer side of the box
    # Adaptation
    batch_size: int = 48
    steps: int = 200_000
    learning_rate: float = 1e-3
    schedule: Literal["steps", "cosine"] = "steps"  # "steps": a tenth after 3/8 of the steps and again after 6/8
    weight_decay: float = 5e-4  # added to the gradient of all that is trained, projections included
    clip: float = 1.0  # of the gradient's norm, of either network
    views: Literal["similarity", "spline"] = "similarity"
    deviations: tuple[float, float] = (30.0, 15.0)  # degrees, of the target's turn and of the appearance's
    shown: float = 2 / 3  # the share of a picture's side that an unturned view shows
    temperature: float = 0.1  # of the soft-argmax
    sigma: float = RELEASED_SIGMA  # of the drawn points, heatmap px
    generator_width: int = 32  # 64 by the paper's text
    generator_blocks: int = 6
    compare: Literal["features", "pixels"] = "features"  # pixels alone, or features as well
    perceptual: str = ""  # file of VGG's weights; "" takes random features instead
    perceptual_depth: Literal[16, 19] = 19  # 16 in the released code
    perceptual_imagenet: bool = False  # whether VGG sees pictures normalised as it was trained
    feature_form: Literal["squared", "absolute"] = "squared"  # absolute by the paper's text
    feature_weight: float = 1.0
    stand_in_widths: tuple[int, ...] = (16, 32, 64)  # of the random features
    # Evaluation
    statistics: Literal["running", "batch"] = "running"  # of BatchNorm; the released code has those of batches of 30
    lengths: Literal["eyes", "object", "none"] = "eyes"  # what errors are percent of; none where nothing is annotated
    median_length: bool = False  # whether all test pictures have the median of these lengths
    images: tuple[int, ...] = (1, 5, 10, 100, 500, 1000, 5000)  # labelled ones for the regressors, besides all
    repeats: int = 10  # draws of so many
    extra: int = 0  # 1 for the released code, which takes one more than it says
    regressor: Literal["ridge", "without_intercept"] = "ridge"
    penalty: float = 1e-4  # of the ridge

    def __post_init__(self):
        """Raises InputError, in the words of the command line, for what no run can be made of."""
        check_at_least(1, self, AT_LEAST_ONE)
        check_at_least(0, self, AT_LEAST_ZERO)
        check_positive(self, POSITIVE)
        coarsest = 4 * 2 ** self.depth
        if self.image_size % coarsest:
            raise InputError(f"--image-size: {self.image_size}; an hourglass of depth {self.depth} needs a multiple of "
                             f"{coarsest}")
        if self.width % 16:
            raise InputError(f"--width: {self.width}; the width of an hourglass is a multiple of 16")
        if self.core_epoch not in (0, *self.core_kept, self.core_epochs):
            raise InputError(f"--core-epoch: {self.core_epoch}; kept are {' '.join(map(str, self.core_kept))} and the "
                             f"last, {self.core_epochs}")
        if self.shown > 1:
            raise InputError(f"--shown: {self.shown:g}; it is a share of the picture's side, at most 1")
        if self.target.startswith("drawn:") and (self.fit or self.test):
            raise InputError(f"--test: {self.test or self.fit}; what is adapted to drawn objects is evaluated on drawn "
                             "ones, so leave --fit and --test empty, or name a prepared set as --target")
        if self.views == "spline" and self.target_side != self.image_size:
            raise InputError(f"--target-side: {self.target_side}; views by splines are as large as their pictures, "
                             f"which is --image-size, {self.image_size}")
        if min(self.images, default=1) < 1:
            raise InputError(f"--images: {min(self.images)}; give numbers of labelled images, 1 or more each")

    @property
    def core_steps(self) -> int:
        return self.core_epochs * self.core_epoch_steps

    @property
    def annotated(self) -> bool:
        """Whether the pictures that are evaluated have landmarks to regress."""
        return self.lengths != "none"


@dataclass(frozen=True)
class OwnConfig(OwnData, Config):
    """What a run depends on that adapts a person's own run to pictures of another category. What is not typed is taken
    over from that run or chosen from the pictures, see `own`."""

    FLAGS: ClassVar[dict[str, str]] = {"images": "image_files", "labelled_images": "images"}

    core: str = ""  # a finished run's folder, an exported one, or the folder of a core's stage
    image_files: Annotated[tuple[str, ...], tyro.conf.arg(name="images")] = ()  # pictures, videos and folders of them
    images: Annotated[tuple[int, ...], tyro.conf.arg(name="labelled-images")] = ()  # of the project, besides all
    project: str = ""  # labels by which the points are measured: they teach the points nothing
    core_network: str = ""  # of a core that is no hourglass: JSON of what its run tells of it


# The fields that decide the trained core. Its stage is used again where they are the same.
OF_CORE = ("core", "core_test", "pictures", "image_size", "core_placement", "core_crop_margin", "core_crop_smallest",
           "core_background", "core_pictures", "core_test_pictures", "width", "depth", "dtype", "core_batch_size",
           "core_epochs", "core_epoch_steps", "core_kept", "core_learning_rate", "core_sigma", "core_unused_keypoints",
           "core_uncounted_keypoints", "core_pck_threshold", "core_pck_over")
# The fields that training does not see.
OF_EVALUATION = ("summary", "fit", "test", "core_kept_by", "training_kept_by", "test_placement", "test_tightness",
                 "test_pictures", "statistics", "lengths", "median_length", "images", "repeats", "extra", "regressor",
                 "penalty")


def fields_of(config: Config, names: tuple[str, ...]) -> dict[str, Any]:
    """Some fields of a config by name."""
    return {name: getattr(config, name) for name in names}


MAFL = Config("faces, CelebA and MAFL; one GPU", core_uncounted_keypoints=("pelvis", "thorax"), fit="celeba/mafl_train",
              test="celeba/mafl_test")
ALIKE = replace(MAFL, core_kept_by="mpii_mafl")
DRAWN = Config(
    "drawn faces over clutter, from a core for drawn people; random features in place of VGG's; 2 cores, minutes",
    core="drawn:people", core_test="drawn:people", target="drawn:faces", image_size=64, core_placement="letterbox",
    target_placement="letterbox", test_placement="letterbox", target_side=64, shown=0.9, width=64, depth=3,
    core_epochs=10, core_epoch_steps=100, core_kept=(1, 2, 5), core_learning_rate=2e-3, batch_size=16, steps=2000,
    schedule="cosine", generator_width=8, generator_blocks=1, stand_in_widths=(8, 16), images=(10, 50, 100))
FACES = replace(
    DRAWN, target="youtube_faces/train", test="youtube_faces/test", target_placement="landmark_crop", target_side=80,
    target_tightness=40, test_placement="landmark_crop", test_tightness=25, shown=0.83, core_background="patches",
    median_length=True, images=(10, 50))

PRESETS: dict[str, Config] = {
    "demo": DRAWN,
    "own": OwnConfig(**asdict(DRAWN) | {
        "summary": "one's own run and pictures of another category: --core RUN --images FOLDER [--project P]; 2 cores",
        "core": "", "core_test": "", "target": "own", "lengths": "none", "images": ()}),
    "figures_faces": replace(
        FACES, summary="68 points of faces in videos, from a core for drawn people; random features; 2 cores"),
    "lspet_faces": replace(
        FACES, summary="68 points of faces in videos, from a core for people in sport; random features; 2 cores",
        core="lspet/train", core_test="lspet/test", core_placement="person_crop", core_crop_smallest=100.0,
        core_epoch_steps=600, core_unused_keypoints=("pelvis", "thorax"), core_pck_threshold=0.2, core_pck_over="box"),
    "mpii_mafl": MAFL,
    "mpii_aflw": replace(ALIKE, summary="faces in the wild, AFLW, by what was trained on CelebA; one GPU",
                         fit="aflw/train", test="aflw/test", training_kept_by="mpii_mafl"),
    "mpii_ls3d": replace(
        ALIKE, summary="68 points of faces in all poses, LS3D-W, by what was trained on CelebA; one GPU",
        fit="w300_lp/train", test="ls3d/test", training_kept_by="mpii_mafl"),
    "mpii_zappos": replace(
        ALIKE, summary="shoes, UT Zappos50K, without annotation; one GPU", target="ut_zappos50k/train", fit="",
        test="ut_zappos50k/test", target_placement="letterbox", test_placement="letterbox", target_side=128, shown=1.0,
        lengths="none"),
    "mpii_cats": replace(
        ALIKE, summary="heads of cats, the CAT dataset; one GPU", target="cats/train", fit="cats/train",
        test="cats/test", images=(1, 5, 10, 100, 500, 1000)),
    "mpii_bbc": replace(
        ALIKE, summary="signers, BBC-Pose; the paper's core knows faces: --core w300_lp/train --core-test '' "
        "--core-placement landmark_crop; one GPU", target="bbc_pose/train", fit="bbc_pose/train", test="bbc_pose/test",
        target_placement="margin_crop", test_placement="window_crop", target_side=128, shown=0.9, lengths="object",
        images=(1, 5, 10, 100, 500, 1000)),
}
