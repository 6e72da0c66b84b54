"""RegDA (Jiang et al., CVPR 2021): keypoints for unlabelled images from labelled ones that look different.

Command   python -m experiments.regda demo            (2 CPU cores, about 7 minutes, draws its own data)
          python -m experiments.regda rhd_h3d --imagenet resnet101.safetensors --seeds 3     (one GPU, about a day)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in every report

Two stages. A network learns the source from labels (shared by all variants of a seed). Then each method goes on from its
features with labelled source and unlabelled target batches. `source_only` and `oracle` get the steps of both stages.
The result of a run is its best checkpoint on *source* validation data; target labels are read by evaluation alone.
"""
import functools
import itertools
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.bodies import BODY
from data.dsprites import dsprites, split_numbers
from data.figures import ALL_JOINTS, DOMAINS, TEN_POINTS, figures, target
from data.prepared import open_source
from experiments.command_line import Experiment, Job, Variant, main, preset_folder, run_folder
from experiments.regda_published import PCK, SPRITES_MAE
from kpjax import metrics
from kpjax.augment import (
    Augment,
    colour_jitter,
    compose_augmentations,
    no_augmentation,
    random_blur,
    random_colour_matrix,
    random_noise,
    regda_augmentation,
)
from kpjax.errors import InputError
from kpjax.heatmaps import Codec, codec, decode_argmax
from kpjax.input.placement import Place, box_crop, letterbox, pad_to_square, stretch
from kpjax.input.source import ArraySource, Source, subset
from kpjax.input.stream import stream
from kpjax.interop.imagenet import load_imagenet
from kpjax.losses.adversarial import (
    ground_false_by_area,
    ground_false_by_others,
    minimum_disparity,
    uniform_false,
    warm_start,
)
from kpjax.losses.heatmap import heatmap_kl, heatmap_mse
from kpjax.methods.batch_statistics import adabn
from kpjax.methods.feature_matching import dan, dann
from kpjax.methods.passes import imagenet_normalise
from kpjax.methods.regda import regda
from kpjax.methods.supervised import supervised
from kpjax.methods.two_regressors import dd, mcd
from kpjax.models.heads import HeatmapHead
from kpjax.models.network import KeypointNetwork
from kpjax.models.pose_resnet import pose_resnet
from kpjax.models.unet import small_unet
from kpjax.structures import Method, Prediction, Skeleton, Trained, skeleton_from_json
from kpjax.training.identity import check_identity
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, Select, fit
from kpjax.training.run_folder import read_json, strict, write_config, write_json, write_results
from kpjax.training.tree_files import load_trained, save_trained
from kpjax.training.stages import stage
from kpjax.viewing.overlays import prediction_sheet, write_png
from kpjax.viewing.table import Column

ADABN_PASSES = (0, 1, 5)  # over the target; 0 stands for 60 batches
ADABN_BATCHES = 60


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed. The defaults are the paper's."""

    summary: str  # one line
    source: str  # "figures:<domain>", "bodies:<domain>" (figures with 16 points), "sprites:<variant>", or a dataset
    target: str
    image_size: int = 256  # px
    heatmap_size: int = 64  # px
    sigma: float = 2.0  # of a keypoint's Gaussian, heatmap px
    network: Literal["pose_resnet", "small_unet"] = "pose_resnet"
    depth: int = 101  # of the residual network
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
    coefficient: float = 0.1  # lambda, where it ends
    coefficient_steps: int = 1000  # N, how slowly it grows
    ground_false: Literal["others", "area"] = "others"
    area: tuple[int, int] = (16, 47)  # first and last cell of 64 in which a keypoint can lie
    target_weight: Literal["ones", "labels"] = "ones"  # "labels" is the authors' code, which reads target visibility
    keypoints_never_in_target: tuple[int, ...] = ()  # get weight 0 on target images; needs no label
    strict_positive: bool = True  # a map whose maximum is not positive decodes to (0, 0), as in the authors' code
    augmentation: Literal["regda", "colour", "none"] = "regda"
    rotation: float = 180.0  # degrees either way
    augment_target: bool = True  # False: pictures of the target are only resized
    selection: Literal["source_validation", "last", "target_test"] = "source_validation"  # the authors': target_test
    evaluations: int = 10
    pck_threshold: float = 0.05  # of the image's side
    mae_unit: float = 1.0  # px of the image in which target/mae is stated
    training_examples: int = 4000  # of each domain; figures and sprites
    test_examples: int = 500
    difficulty: float = 0.5  # of the target figures


def _sprites(source: str, target: str, small: bool) -> Config:
    name = f"sprites, {source} to {target}, " + ("64 px, a laptop's size" if small else "the paper's size")
    common = Config(name, f"sprites:{source}", f"sprites:{target}", ground_false="area", pck_threshold=4 / 64)
    if small:
        return replace(
            common, image_size=64, heatmap_size=32, sigma=1.0, network="small_unet", widths=(16, 16, 32, 32, 64),
            head_width=32, pretraining_head_layers=2, carry_head=True, batch_size=16, pretraining_steps=300, steps=600,
            optimizer="adam", learning_rate=1e-3, feature_factor=1.0, coefficient=0.3, coefficient_steps=50,
            augmentation="colour", mae_unit=31.0, evaluations=6, training_examples=8000)
    return replace(common, depth=18, batch_size=36, pretraining_steps=20_000, steps=20_000, augmentation="none",
                   mae_unit=124.0, training_examples=100_000, test_examples=2000)


SMALL_BODIES = Config(
    "drawn people, plain to colourful and noisy; 2 cores, minutes", "figures:source", "figures:target", image_size=64,
    heatmap_size=16, sigma=1.0, network="small_unet", widths=(16, 32, 32, 64, 64), head_width=64,
    pretraining_head_layers=2, carry_head=True, pretraining_steps=400, steps=1000, optimizer="adam",
    learning_rate=1e-3, feature_factor=1.0, coefficient_steps=50, augmentation="none", rotation=0.0)
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
for _one, _other in itertools.permutations(("colour", "noisy", "scream"), 2):
    PRESETS[f"dsprites_{_one}_{_other}"] = _sprites(_one, _other, small=False)
    PRESETS[f"dsprites_small_{_one}_{_other}"] = _sprites(_one, _other, small=True)


# Data


class Splits(NamedTuple):
    """One domain of one seed."""

    train: Source
    validation: Source
    test: Source


@functools.lru_cache(maxsize=4)
def open_domain(name: str, config: Config, seed: int, data_dir: Path) -> Splits:
    """The examples of a domain. Raises InputError if it is unknown, or a dataset that was not prepared."""
    family, _, which = name.partition(":")
    train, test, side = config.training_examples, config.test_examples, config.image_size
    if family in ("figures", "bodies"):
        if which not in ("source", "target", "photo"):
            raise InputError(f"domain {name!r}: the figures have source, target and photo")
        domain = target(config.difficulty) if which == "target" else DOMAINS[which]
        skeleton = TEN_POINTS if family == "figures" else ALL_JOINTS
        draw = functools.partial(figures, domain=domain, seed=seed, side=side, skeleton=skeleton)
        drawn = [draw(train, first=0), draw(test, first=train), draw(test, first=train + test)]
        return Splits(*(as_bodies(part) if family == "bodies" else part for part in drawn))
    if family == "sprites":
        chosen = np.random.default_rng(seed).permutation(len(split_numbers("train")))[:train + test]
        seen = dsprites(which, "train", side=side, seed=seed)
        return Splits(subset(seen, chosen[:train]), subset(seen, chosen[train:]),
                      subset(dsprites(which, "test", side=side, seed=seed), np.arange(test)))
    open_split = functools.partial(open_source, name, data_dir=data_dir, place=placement(name, side))
    return Splits(open_split("train[:95%]"), open_split("train[95%:]"), open_split("test"))


def placement(dataset: str, side: int) -> Place:
    """How a picture of a dataset becomes a square one: the hands and the people of videos are cropped to squares."""
    return {"lsp": pad_to_square, "lspet": box_crop}.get(dataset, stretch)(side)


def as_bodies(drawn: ArraySource) -> ArraySource:
    """Figures with the 16 points of the body sets: all but the thorax, which is left unlabelled as in the Leeds sets.

    A drawn head is marked at its middle and those of the sets at the top: PCK of that point suffers from it.
    """
    names = {"ankle": "foot", "wrist": "hand", "head_top": "head", "thorax": "neck"}
    order = []
    for name in BODY.names:
        side, _, joint = name.partition("_")
        plain = f"{side}_{names.get(joint, joint)}" if side in ("left", "right") else names.get(name, name)
        order.append(drawn.skeleton.index(plain))
    examples = drawn.examples
    labelled = np.array([name != "thorax" for name in BODY.names], np.float32)
    visible = examples.visible[:, order] * labelled
    return ArraySource(examples._replace(keypoints=examples.keypoints[:, order] * visible[..., None], visible=visible),
                       BODY, drawn.name)


# Parts of a method


class Parts(NamedTuple):
    """What all methods of a preset are built from."""

    config: Config
    points: Skeleton
    one_head: KeypointNetwork  # with the head of the pretraining
    two_heads: KeypointNetwork  # with the head of regda, mcd and dd
    codec: Codec
    augment: dict[str, Augment]  # by stream


@functools.lru_cache(maxsize=4)
def parts_of(config: Config, points: Skeleton) -> Parts:
    """Built once per config, so that all seeds share what is compiled."""
    dtype = jnp.dtype(config.dtype)

    def network(head_layers: int) -> KeypointNetwork:
        count = len(points.names)
        if config.network == "pose_resnet":
            return pose_resnet(config.depth, count, head_layers=head_layers, dtype=dtype)
        return small_unet(count, widths=config.widths, heatmap_stride=config.image_size // config.heatmap_size,
                          head_layers=head_layers, head_width=config.head_width, dtype=dtype)

    coding = codec(image_size=config.image_size, heatmap_size=config.heatmap_size, sigma=config.sigma,
                   decoder=functools.partial(decode_argmax, strict_positive=config.strict_positive))
    change = {"regda": lambda: regda_augmentation(config.rotation), "none": no_augmentation,
              "colour": lambda: compose_augmentations(random_colour_matrix(0.5), random_blur((0.0, 0.8)),
                                                      random_noise(0.15))}[config.augmentation]()
    augment = {"source": change, "labelled": change, "target": change if config.augment_target else no_augmentation()}
    return Parts(config, points, network(config.pretraining_head_layers), network(config.head_layers), coding, augment)


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Without its learning rate. SGD decays all weights and looks ahead, as the authors' does."""
    if config.optimizer == "adam":
        return optax.scale_by_adam()
    return optax.chain(optax.add_decayed_weights(config.weight_decay), optax.trace(0.9, nesterov=True))


def _supervised_rates(config: Config, steps: int) -> dict[str, optax.Schedule]:
    """SGD drops tenfold at 44/70 and 59/70 of the steps, and the backbone moves slower; Adam decays to zero."""
    if config.optimizer == "adam":
        return dict.fromkeys(("backbone", "upsampling", "head"), optax.cosine_decay_schedule(config.learning_rate, steps))
    drops = {int(steps * 44 / 70): 0.1, int(steps * 59 / 70): 0.1}
    fast = optax.piecewise_constant_schedule(config.learning_rate, drops)
    slow = optax.piecewise_constant_schedule(config.learning_rate * config.feature_factor, drops)
    return {"backbone": slow, "upsampling": fast, "head": fast}


def _adaptation_rates(config: Config) -> dict[str, optax.Schedule]:
    """SGD: 0.1 (1 + 1e-4 i)^-0.75 for the heads, a tenth for all features; Adam decays to zero."""
    if config.optimizer == "adam":
        return dict.fromkeys(("features", "head", "adversary"),
                             optax.cosine_decay_schedule(config.learning_rate, config.steps))

    def rate(factor):
        return lambda step: factor * config.learning_rate * (1 + 1e-4 * step) ** -0.75

    return {"features": rate(config.feature_factor), "head": rate(1.0), "adversary": rate(1.0)}


# Variants: each builds a Method from the parts


def build_supervised(parts: Parts, *, steps: int, stream: str = "labelled", mse: bool = False) -> Method:
    """Heatmap KL and the config's optimizer, or the plain recipe: half MSE and Adam at 1e-3."""
    config = parts.config
    optimizer, rates, loss = optimizer_of(config), _supervised_rates(config, steps), heatmap_kl
    if mse:
        drops = {int(steps * 44 / 70): 0.1, int(steps * 59 / 70): 0.1}
        optimizer, rates, loss = optax.scale_by_adam(), optax.piecewise_constant_schedule(1e-3, drops), heatmap_mse
    return supervised(parts.one_head, parts.points, codec=parts.codec, optimizer=optimizer, learning_rate=rates,
                      augment=parts.augment[stream], normalise=imagenet_normalise, loss=loss, stream=stream)


def _adaptation(parts: Parts) -> dict:
    return dict(codec=parts.codec, optimizer=optimizer_of(parts.config), learning_rate=_adaptation_rates(parts.config),
                augment=parts.augment, normalise=imagenet_normalise)


def _pseudo_maps(config: Config, kind: str):
    """The generator of ground-truth and ground-false maps. Its sigma is the labels', 2 in the paper."""
    if kind == "area":
        low, high = (round(cell * config.heatmap_size / 64) for cell in (config.area[0], config.area[1] + 1))
        return functools.partial(ground_false_by_area, sigma=config.sigma, low=low, high=high - 1,
                                 strict_positive=config.strict_positive)
    generator = uniform_false if kind == "uniform" else ground_false_by_others
    return functools.partial(generator, sigma=config.sigma, strict_positive=config.strict_positive)


def _disparity(parts: Parts) -> dict:
    """What regda and dd share: the margin, the coefficient, the weights of target keypoints, what is carried over."""
    config = parts.config
    never = jnp.array([[k not in config.keypoints_never_in_target for k in range(len(parts.points.names))]], jnp.float32)

    def weights(example):
        return never * (example.visible if config.target_weight == "labels" else jnp.ones_like(example.visible))

    return dict(margin=config.margin, trade_off=config.trade_off, target_weights=weights,
                coefficient=functools.partial(warm_start, high=config.coefficient, steps=config.coefficient_steps),
                carried=("backbone", "upsampling") + ("head",) * config.carry_head)


def build_regda(parts: Parts, *, margin: float | None = None, kind: str | None = None, literal: bool = False,
                shallow: bool = False) -> Method:
    """RegDA, with another margin, another kind of ground-false map, the disparity literally maximised in step B, or an
    adversary of one layer."""
    config, settings = parts.config, _adaptation(parts) | _disparity(parts)
    if margin is not None:
        settings["margin"] = margin
    if literal:
        settings["disagree"] = lambda logits, maps, weights: -minimum_disparity(logits, maps, weights)
    if shallow:
        settings["adversary"] = HeatmapHead(len(parts.points.names), 1, dtype=jnp.dtype(config.dtype))
    return regda(parts.two_heads, parts.points, pseudo_maps=_pseudo_maps(config, kind or config.ground_false), **settings)


def build_dd(parts: Parts) -> Method:
    """Disparity discrepancy, which draws no ground-false maps but shares the pseudo-truth."""
    return dd(parts.two_heads, parts.points, pseudo_maps=_pseudo_maps(parts.config, parts.config.ground_false),
              **_adaptation(parts), **_disparity(parts))


def build_mcd(parts: Parts) -> Method:
    """Maximum classifier discrepancy."""
    carried = _disparity(parts)["carried"]
    return mcd(parts.two_heads, parts.points, carried=carried, trade_off=parts.config.trade_off, **_adaptation(parts))


def build_adabn(parts: Parts, *, two_heads: bool = False, in_area: bool = False) -> Method:
    """New BatchNorm statistics for a trained network; `in_area` decodes inside the area of possible points only."""
    config, coding = parts.config, parts.codec
    if in_area:
        low, high = (round(cell * config.heatmap_size / 64) for cell in (config.area[0], config.area[1] + 1))
        inside = np.zeros((1, config.heatmap_size, config.heatmap_size, 1), bool)
        inside[:, low:high, low:high] = True
        coding = coding._replace(decode=lambda heatmaps: parts.codec.decode(jnp.where(inside, heatmaps, -jnp.inf)))
    return adabn(parts.two_heads if two_heads else parts.one_head, parts.points, codec=coding,
                 augment=parts.augment["target"], normalise=imagenet_normalise)


def build_constant_centre(parts: Parts) -> Method:
    """Every keypoint in the middle of every image: what an error means that nothing was found for."""
    def predict(state, example):
        shape = example.keypoints.shape
        return Prediction(jnp.full(shape, (parts.config.image_size - 1) / 2, jnp.float32), jnp.ones(shape[:2]), ())

    return build_supervised(parts, steps=1)._replace(predict=predict)


class Recipe(NamedTuple):
    """How a variant comes about: a method, what it starts from, and what is done with it."""

    build: object  # Parts -> Method
    start: str = "pretraining"  # the stage, or the variant whose result is taken; "" for none
    train: Literal["adaptation", "both stages", "statistics", "nothing"] = "adaptation"


def _whole(config: Config) -> int:
    return config.pretraining_steps + config.steps


RECIPES: dict[str, Recipe] = {
    "source_only": Recipe(lambda p: build_supervised(p, steps=_whole(p.config), stream="source"), "", "both stages"),
    "source_only_mse": Recipe(
        lambda p: build_supervised(p, steps=_whole(p.config), stream="source", mse=True), "", "both stages"),
    "oracle": Recipe(lambda p: build_supervised(p, steps=_whole(p.config)), "", "both stages"),
    "adabn": Recipe(build_adabn, "source_only", "statistics"),
    "adabn_in_area": Recipe(lambda p: build_adabn(p, in_area=True), "adabn", "nothing"),
    "constant_centre": Recipe(build_constant_centre, "", "nothing"),
    "dan": Recipe(lambda p: dan(p.one_head, p.points, **_adaptation(p))),
    "dann": Recipe(lambda p: dann(p.one_head, p.points, **_adaptation(p))),
    "mcd": Recipe(build_mcd),
    "dd": Recipe(build_dd),
    "regda": Recipe(build_regda),
    "regda_adabn": Recipe(lambda p: build_adabn(p, two_heads=True), "regda", "statistics"),
    "no_ground_false": Recipe(lambda p: build_regda(p, literal=True)),
    "area_ground_false": Recipe(lambda p: build_regda(p, kind="area")),
    "uniform_target": Recipe(lambda p: build_regda(p, kind="uniform")),
    "gamma_1": Recipe(lambda p: build_regda(p, margin=1.0)),
    "gamma_2": Recipe(lambda p: build_regda(p, margin=2.0)),
    "gamma_8": Recipe(lambda p: build_regda(p, margin=8.0)),
    "shallow_adversary": Recipe(lambda p: build_regda(p, shallow=True)),
}
VARIANTS: dict[str, Variant] = {
    "regda": Variant("method", "regressive domain adaptation", "RegDA"),
    "source_only": Variant("rival", "no adaptation: heatmap KL on the source, steps of both stages", "source only"),
    "source_only_mse": Variant("rival", "no adaptation: heatmap MSE and Adam", "source only, MSE"),
    "dan": Variant("rival", "pooled features matched by maximum mean discrepancy", "DAN"),
    "dann": Variant("rival", "pooled features matched by a domain discriminator", "DANN"),
    "mcd": Variant("rival", "two heads that disagree on the target", "MCD"),
    "dd": Variant("rival", "disparity discrepancy, a literal min-max game", "DD"),
    "adabn": Variant("control", "source_only with BatchNorm statistics of the target", "AdaBN"),
    "constant_centre": Variant("control", "every point in the middle of the image", "constant centre"),
    "adabn_in_area": Variant("control", "AdaBN, arg-max inside the area of possible points", "AdaBN in area"),
    "regda_adabn": Variant("ablation", "RegDA, then BatchNorm statistics of the target", "RegDA + AdaBN"),
    "no_ground_false": Variant("ablation", "step B maximises the disparity literally"),
    "area_ground_false": Variant("ablation", "ground-false map is an area, not the other keypoints"),
    "uniform_target": Variant("ablation", "ground-false map is uniform"),
    "gamma_1": Variant("ablation", "margin 1"),
    "gamma_2": Variant("ablation", "margin 2"),
    "gamma_8": Variant("ablation", "margin 8"),
    "shallow_adversary": Variant("ablation", "adversary of one layer"),
    "oracle": Variant("bound", "trained on labels of the target, steps of both stages", "oracle"),
}


# Running


def evaluate(method: Method, state, source: Source, config: Config, name: str, *, details: bool = False) -> dict[str, float]:
    """PCK and MAE on a source under `name/`; with details also per keypoint and group, and as the authors count."""
    found = predict_source(method, state, source, batch_size=2 * config.batch_size)
    normaliser = np.full(len(found.index), config.image_size, np.float32)
    pck = metrics.pck(found.keypoints, found.true_keypoints, found.visible, normaliser, threshold=config.pck_threshold)
    mae = metrics.mae(found.keypoints, found.true_keypoints, found.visible, config.mae_unit)
    sprites = config.source.startswith("sprites")
    values = {f"{name}/pck": pck.overall, f"{name}/mae": mae.sum.overall if sprites else mae.mean.overall}
    if details:
        values |= metrics.by_keypoint(f"{name}/pck", pck.per_keypoint, method.points)
        values |= metrics.by_group(f"{name}/pck_group", pck.per_keypoint, method.points)
        stride = config.image_size / config.heatmap_size
        true_cells = np.trunc(found.true_keypoints / stride + 0.5) * found.visible[..., None]
        groups = dict(method.points.groups) or {"all": tuple(range(len(method.points.names)))}
        batchwise = metrics.pck_batchwise(
            (found.keypoints / stride).round(), true_cells.astype(np.float32), map_size=config.heatmap_size, groups=groups)
        values |= {f"{name}/pck_batchwise/{group}": value for group, value in batchwise.items()}
    return values


def identity_of(job: Job) -> dict:
    """What must be the same for a run to go on."""
    return {"variant": job.variant, "seed": job.seed} | strict(asdict(job.config))


def pretrained(job: Job, parts: Parts, source: Splits) -> Trained:
    """The first stage, on the source alone, which all variants of a seed share."""
    config, folder = job.config, preset_folder(job.workdir, "regda", job.preset)
    method = build_supervised(parts, steps=config.pretraining_steps, stream="source")

    def train(place: Path) -> Fitted:
        return run_fit(job, method, {"source": source.train}, config.pretraining_steps, place, "pretraining", {}, source)

    return stage(folder, "pretraining", job.seed, train, config=strict(asdict(config))).trained


def run_fit(job: Job, method: Method, trains: dict[str, Source], steps: int, folder: Path, name: str, start: dict,
            source: Splits, target_test: Source | None = None) -> Fitted:
    """`fit` with this experiment's evaluation and choice of the result."""
    config = job.config
    read_labels = {"source": True, "labelled": True, "target": config.target_weight == "labels"}
    streams = {stream_name: stream(train, batch_size=config.batch_size, seed=job.seed, labelled=read_labels[stream_name],
                                   process_index=jax.process_index(), process_count=jax.process_count())
               for stream_name, train in trains.items()}
    if not start and config.imagenet and name != "statistics":
        example = jnp.zeros((1, config.image_size, config.image_size, 3))
        network = parts_of(config, method.points).one_head
        fresh = jax.jit(functools.partial(network.init, train=False))(jax.random.key(job.seed), example)
        imported = load_imagenet(fresh, config.imagenet)
        print(f"{name}: ImageNet weights: {imported.report}")
        start = {"variables": imported.variables}

    def measure(state):
        values = evaluate(method, state, source.validation, config, "source_validation")
        return values | (evaluate(method, state, target_test, config, "target") if target_test is not None else {})

    select = {"source_validation": Select("source_validation/pck"), "last": None,
              "target_test": Select("target/pck") if target_test is not None else Select("source_validation/pck"),
              }[config.selection]
    return fit(method, streams, steps=steps, key=jax.random.key(job.seed), stage=name, folder=folder, start=start,
               evaluate=measure, evaluate_every=max(1, steps // config.evaluations), select=select,
               config=identity_of(job))


def fit_statistics(job: Job, method: Method, start: dict, source: Splits, goal: Splits, folder: Path) -> Fitted:
    """The best of 60 batches, the whole target set and five passes over it, chosen on source validation data."""
    per_pass = max(1, len(goal.train) // job.config.batch_size)
    tried = []
    for passes in ADABN_PASSES:
        steps = min(passes * per_pass or ADABN_BATCHES, 10 * job.config.steps)
        tried.append(run_fit(job, method, {"target": goal.train}, steps, folder / f"statistics-{passes}-passes",
                             "statistics", start, source))
    return max(tried, key=lambda fitted: fitted.metrics["source_validation/pck"])


def result_of(job: Job) -> Trained:
    """The result of another variant of the same seed, trained now if it is not there yet."""
    run(job)
    return load_trained(run_folder(job, "regda") / "model")


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config, recipe = run_folder(job, "regda"), job.config, RECIPES[job.variant]
    if (folder / "results.json").exists():
        check_identity(read_json(folder / "config.json"), identity_of(job), folder / "config.json")
        print(f"{job.variant}, seed {job.seed}: finished before, in {folder}")
        return
    source, goal = (open_domain(name, config, job.seed, job.data_dir) for name in (config.source, config.target))
    if source.train.skeleton.names != goal.train.skeleton.names:
        raise InputError(f"{config.source} has other keypoints than {config.target}; choose two sets of one skeleton")
    parts = parts_of(config, source.train.skeleton)
    method = recipe.build(parts)
    start = {}
    if recipe.start == "pretraining":
        start = {"variables": pretrained(job, parts, source).variables}
    elif recipe.start:
        start = {"variables": result_of(job._replace(variant=recipe.start)).variables}
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}")
    write_config(folder, identity_of(job))
    write_json(folder / "skeleton.json", asdict(parts.points))
    trains = {"source": source.train, "target": goal.train, "labelled": goal.train}
    if recipe.train == "nothing":
        trained = Trained(start.get("variables", {}), {})
        fitted = Fitted(trained, trained, 0, {}, 0.0, 0.0, 0)
    elif recipe.train == "statistics":
        fitted = fit_statistics(job, method, start, source, goal, folder)
    else:
        steps = config.steps if recipe.train == "adaptation" else _whole(config)
        fitted = run_fit(job, method, {name: trains[name] for name in method.streams}, steps, folder, job.variant, start,
                         source, goal.test)
    values = {f"chosen_by/{name}": value for name, value in fitted.metrics.items() if "validation" in name}
    values |= evaluate(method, fitted.trained, source.test, config, "source", details=True)
    values |= evaluate(method, fitted.trained, goal.test, config, "target", details=True)
    if jax.process_index() == 0:
        save_trained(folder / "model", fitted.trained)
        draw_predictions(method, fitted.trained, goal.test, folder / "pictures" / "target.png")
        write_results(folder, experiment="regda", preset=job.preset, variant=job.variant, seed=job.seed,
                      steps=fitted.steps, metrics=values, images_per_second=fitted.images_per_second,
                      wall_seconds=fitted.wall_seconds, config=asdict(config))
    print(f"{job.variant}, seed {job.seed}: target/pck {values['target/pck']:.3f}, target/mae "
          f"{values['target/mae']:.3f}, source/pck {values['source/pck']:.3f}")


def draw_predictions(method: Method, trained: Trained, test: Source, path: Path, count: int = 16) -> None:
    """Predictions on the first examples of a set, true positions as rings."""
    some = subset(test, np.arange(min(count, len(test))))
    found = predict_source(method, trained, some, batch_size=len(some))
    images = [some[n].image for n in range(len(some))]
    write_png(path, prediction_sheet(images, found.keypoints, found.scores, method.points, true=found.true_keypoints,
                                     visible=found.visible, columns=4))


def predictor(folder: Path) -> tuple[Method, int, Place]:
    """(method, side, place) of a finished run, for predictions on other pictures."""
    stored = read_json(folder / "config.json")
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
              if name not in ("variant", "seed")}
    config = Config(**fields)
    parts = parts_of(config, skeleton_from_json(read_json(folder / "skeleton.json")))
    return RECIPES[stored["variant"]].build(parts), config.image_size, letterbox(config.image_size)


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if config.source.startswith("sprites"):
        return ("source_only", "constant_centre", "adabn", "adabn_in_area", "dd", "regda", "regda_adabn", "oracle")
    return ("source_only", "adabn", "regda", "oracle")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows that make sense for a preset: some need one keypoint in a known area, some several keypoints."""
    only_sprites = ("constant_centre", "adabn_in_area")
    sprites = config.source.startswith("sprites")
    return tuple(name for name in VARIANTS
                 if not (name in only_sprites and not sprites) and not (name == "area_ground_false" and sprites))


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps of adaptation and everything else that counts steps scaled alike."""
    factor = steps / config.steps
    return replace(config, steps=steps, pretraining_steps=max(1, round(config.pretraining_steps * factor)),
                   coefficient_steps=max(1, round(config.coefficient_steps * factor)))


def columns(config: Config) -> tuple[Column, ...]:
    """PCK first, except on sprites, where the paper counts the error."""
    pck = Column("target/pck", f"target PCK at {100 * config.pck_threshold:g} % of the side", "%", 100.0, 1, "higher")
    source = Column("source/pck", "source PCK", "%", 100.0, 1, "higher")
    if config.source.startswith("sprites"):
        return (Column("target/mae", "target MAE, x + y", "", 1.0, 3, "lower"), pck, source)
    error = Column("target/mae", "target MAE", "px", 1.0, 2, "lower")
    return (pck, error, source)


def paper(preset: str, variant: str) -> dict[str, float]:
    """The paper's numbers for a row, where it printed one for this setting."""
    if variant in PCK.get(preset, {}):
        return {"target/pck": PCK[preset][variant]}
    direction = preset.removeprefix("dsprites_").removeprefix("small_")
    if variant in SPRITES_MAE.get(direction, {}):
        return {"target/mae": SPRITES_MAE[direction][variant]}
    return {}


EXPERIMENT = Experiment(
    "regda", "RegDA: unsupervised domain adaptation of keypoints", PRESETS, VARIANTS, short_list, applicable, shortened,
    run, columns, paper)

if __name__ == "__main__":
    main(EXPERIMENT)
