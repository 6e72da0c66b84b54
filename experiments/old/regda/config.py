"""What a RegDA run depends on, and the settings of the paper and of the demos."""
import itertools
from dataclasses import asdict, dataclass, replace
from typing import Literal

from experiments.decoding import DecoderName
from experiments.flags import check_at_least, check_network_sizes, check_positive
from experiments.networks import NetworkName
from experiments.own.project import OwnProject

AT_LEAST_ONE = ("batch_size", "pretraining_steps", "steps", "coefficient_steps", "evaluations", "training_examples",
                "test_examples", "pretraining_head_layers", "head_layers", "head_width", "image_size", "heatmap_size")
POSITIVE = ("sigma", "learning_rate", "pck_threshold", "mae_unit")


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's."""

    summary: str  # one line
    source: str  # "figures:<domain>", "bodies:<domain>" (figures with 16 points), "sprites:<variant>", or a dataset
    target: str
    image_size: int = 256  # px
    heatmap_size: int = 64  # px
    sigma: float = 2.0  # of a keypoint's Gaussian, heatmap px
    network: NetworkName = "pose_resnet"
    depth: Literal[18, 34, 50, 101, 152] = 101  # of the residual network
    widths: tuple[int, ...] = ()  # of the small U-net
    head_width: int = 256
    pretraining_head_layers: int = 1  # of source_only, its rivals with one head, and the oracle
    head_layers: int = 2  # of both regressors of regda, mcd and dd
    carry_head: bool = False  # whether f starts from the pretrained head; the paper starts it fresh
    imagenet: str = ""  # safetensors file or hub name of ImageNet weights; "" starts from random weights
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    batch_size: int = 32  # of each domain
    pretraining_steps: int = 35_000
    steps: int = 15_000  # of adaptation
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.1  # of the heads
    feature_factor: float = 0.1  # of the features' learning rate
    weight_decay: float = 1e-4  # sgd only
    margin: float = 4.0  # gamma
    trade_off: float = 1.0  # eta
    mcd_trade_off: float = 1.0  # of the discrepancy in mcd, which counts up to 2
    coefficient: float = 0.1  # lambda, where it ends
    coefficient_steps: int = 1000  # N, how slowly it grows
    ground_false: Literal["others", "area"] = "others"
    area: tuple[int, int] = (16, 47)  # first and last cell of 64 in which a keypoint can lie
    target_weight: Literal["ones", "labels"] = "ones"  # "labels" is the authors' code, which reads target visibility
    keypoints_never_in_target: tuple[int, ...] = ()  # get weight 0 on target images; needs no label
    strict_positive: bool = True  # a map whose maximum is not positive decodes to (0, 0), as in the authors' code
    augmentation: Literal["regda", "colour", "none"] = "regda"
    blur: float = 0.8  # px, of the augmentation "colour", as are the next three
    colour_matrix: float = 0.5
    colour_pivot: tuple[float, float] = (0.0, 0.0)  # between which the grey lies about which colours are mixed
    noise: float = 0.15
    rotation: float = 180.0  # degrees either way
    augment_target: bool = True  # False: pictures of the target are only resized
    selection: Literal["source_validation", "last", "target_test"] = "source_validation"  # the authors': target_test
    evaluations: int = 10
    pck_threshold: float = 0.05  # of the image's side
    mae_unit: float = 1.0  # px of the image in which target/mae is stated
    training_examples: int = 4000  # of each domain; figures and sprites
    test_examples: int = 500
    difficulty: float = 0.5  # of the target figures

    def __post_init__(self):
        """Raises InputError, in the words of the command line, for what no run can be made of."""
        check_at_least(1, self, AT_LEAST_ONE)
        check_positive(self, POSITIVE)
        check_network_sizes(self)


@dataclass(frozen=True)
class OwnConfig(OwnProject, Config):
    """What a run between a person's own two kinds of pictures depends on. What is not typed is chosen from the
    projects, see `own`. Heatmaps lie half-pixel in the image, and their targets are where the points are."""

    source: str = ""  # a project with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    target: tuple[str, ...] = ()  # pictures, videos and folders of them, that look different and have no labels
    target_project: str = ""  # labels of the target, with the same keypoints: they test and teach nothing
    decoder: DecoderName = "dark"


def _sprites(source: str, target: str, small: bool) -> Config:
    name = f"sprites, {source} to {target}, " + ("64 px, a laptop's size" if small else "the paper's size")
    # The paper reports the last step; and on sprites the source is learnt in no time and cannot choose between steps.
    common = Config(name, f"sprites:{source}", f"sprites:{target}", ground_false="area", pck_threshold=4 / 64,
                    selection="last")
    if small:
        return replace(
            common, image_size=64, heatmap_size=32, sigma=1.0, network="small_unet", widths=(16, 16, 32, 32, 64),
            head_width=32, pretraining_head_layers=2, carry_head=True, batch_size=16, pretraining_steps=200, steps=400,
            optimizer="adam", learning_rate=1e-3, feature_factor=1.0, coefficient=0.5, coefficient_steps=50,
            mcd_trade_off=0.1, augmentation="colour", colour_pivot=(0.0, 1.0),
            mae_unit=31.0, evaluations=4, training_examples=3000)
    return replace(common, depth=18, batch_size=36, pretraining_steps=20_000, steps=20_000, augmentation="none",
                   mae_unit=124.0, training_examples=100_000, test_examples=2000)


SMALL_BODIES = Config(
    "drawn people, plain to colourful and noisy; 2 cores, minutes", "figures:source", "figures:target", image_size=64,
    heatmap_size=16, sigma=1.0, network="small_unet", widths=(16, 32, 32, 64, 64), head_width=32,
    pretraining_head_layers=2, carry_head=True, pretraining_steps=400, steps=1000, optimizer="adam",
    learning_rate=1e-3, feature_factor=1.0, coefficient=0.5, coefficient_steps=50, mcd_trade_off=0.1,
    augmentation="none", rotation=0.0, training_examples=3000)
PRESETS: dict[str, Config] = {
    "demo": SMALL_BODIES,
    "figures_lspet": replace(
        SMALL_BODIES, summary="drawn people to photographs of sport, LSP Extended; 128 px", source="bodies:photo",
        target="lspet", image_size=128, heatmap_size=32, widths=(16, 32, 64, 64, 128), batch_size=16, steps=800,
        coefficient_steps=100, augmentation="regda", rotation=30.0, keypoints_never_in_target=(6, 7)),
    "rhd_h3d": Config("rendered to real hands, RHD to H3D", "rhd", "h3d"),
    "rhd_freihand": Config("rendered to real hands, RHD to FreiHAND", "rhd", "freihand"),
    "freihand_rhd": Config("real to rendered hands, FreiHAND to RHD", "freihand", "rhd"),
    "surreal_h36m": Config("rendered to real people, SURREAL to Human3.6M", "surreal", "human36m", rotation=30.0,
                           steps=5_000),
    "surreal_lsp": Config("rendered people to photographs of sport, SURREAL to LSP", "surreal", "lsp", rotation=30.0,
                          augment_target=False, keypoints_never_in_target=(6, 7)),
}
PRESETS["own"] = OwnConfig(**asdict(PRESETS["figures_lspet"]) | {
    "summary": "one's own labels on pictures that look different: --source P --target V ... [--target-project P2]; "
    "2 cores", "source": "", "target": (), "heatmap_size": 0, "keypoints_never_in_target": (), "selection": "last",
    "pck_threshold": 0.1})
for _one, _other in itertools.permutations(("colour", "noisy", "scream"), 2):
    PRESETS[f"dsprites_{_one}_{_other}"] = _sprites(_one, _other, small=False)
    PRESETS[f"dsprites_small_{_one}_{_other}"] = _sprites(_one, _other, small=True)
