"""The rows of RegDA's tables: each is an ordinary function that builds a Method from parts that all of them share."""
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from experiments.command_line import Variant
from experiments.decoding import decoder
from experiments.networks import heatmap_network
from experiments.own.project import is_own
from experiments.regda.config import Config
from kpjax.augment.augmentations import (
    Augment,
    compose_augmentations,
    no_augmentation,
    random_blur,
    random_colour_matrix,
    random_noise,
    regda_augmentation,
)
from kpjax.errors import InputError
from kpjax.heatmaps import Codec, codec, decode_argmax
from kpjax.losses.adversarial import (
    ground_false_by_area,
    ground_false_by_others,
    minimum_disparity,
    uniform_false,
    warm_start,
)
from kpjax.losses.heatmap import heatmap_kl, heatmap_mse
from kpjax.methods.domain_adaptation.batch_statistics import adabn
from kpjax.methods.domain_adaptation.feature_matching import dan, dann
from kpjax.methods.domain_adaptation.regda import regda
from kpjax.methods.domain_adaptation.two_regressors import dd, mcd
from kpjax.methods.forward import imagenet_normalise
from kpjax.methods.supervised_learning import supervised
from kpjax.models.network import HeatmapHead, KeypointNetwork
from kpjax.structures import Method, Prediction, Skeleton


class Parts(NamedTuple):
    """What all methods of a preset are built from."""

    config: Config
    skeleton: Skeleton
    one_head: KeypointNetwork  # with the head of the pretraining
    two_heads: KeypointNetwork  # with the head of regda, mcd and dd
    codec: Codec
    augment: dict[str, Augment]  # by stream


@functools.lru_cache(maxsize=4)
def parts_of(config: Config, skeleton: Skeleton) -> Parts:
    """Built once per config, so that all seeds share what is compiled."""
    network = functools.partial(
        heatmap_network, config.network, len(skeleton.names), stride=config.image_size // config.heatmap_size,
        widths=config.widths, depth=config.depth, head_width=config.head_width, dtype=config.dtype)

    sizes = {"image_size": config.image_size, "heatmap_size": config.heatmap_size, "sigma": config.sigma}
    if is_own(config):
        coding = codec(**sizes, grid="half_pixel", rounded=False, window=None,
                       decoder=decoder(config.decoder, sigma=config.sigma, logits=True))
    else:
        coding = codec(**sizes, decoder=functools.partial(decode_argmax, strict_positive=config.strict_positive))
    change = {"regda": lambda: regda_augmentation(config.rotation), "none": no_augmentation,
              "colour": lambda: compose_augmentations(
                  random_colour_matrix(config.colour_matrix, about=config.colour_pivot),
                  random_blur((0.0, config.blur)), random_noise(config.noise))}[config.augmentation]()
    augment = {"source": change, "labelled": change, "target": change if config.augment_target else no_augmentation()}
    return Parts(config, skeleton, network(head_layers=config.pretraining_head_layers),
                 network(head_layers=config.head_layers), coding, augment)


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Without its learning rate. SGD decays all weights and looks ahead, as the authors' does."""
    if config.optimizer == "adam":
        return optax.scale_by_adam()
    return optax.chain(optax.add_decayed_weights(config.weight_decay), optax.trace(0.9, nesterov=True))


def steps_of_both_stages(config: Config) -> int:
    """What `source_only` and `oracle` get: as many steps as a method has seen in both of its stages."""
    return config.pretraining_steps + config.steps


def supervised_rates(config: Config, steps: int) -> dict[str, optax.Schedule]:
    """SGD drops tenfold at 44/70 and 59/70 of the steps, and the backbone moves slower; Adam decays to zero."""
    if config.optimizer == "adam":
        rate = optax.cosine_decay_schedule(config.learning_rate, steps)
        return dict.fromkeys(("backbone", "upsampling", "head"), rate)
    drops = {int(steps * 44 / 70): 0.1, int(steps * 59 / 70): 0.1}
    fast = optax.piecewise_constant_schedule(config.learning_rate, drops)
    slow = optax.piecewise_constant_schedule(config.learning_rate * config.feature_factor, drops)
    return {"backbone": slow, "upsampling": fast, "head": fast}


def adaptation_rates(config: Config) -> dict[str, optax.Schedule]:
    """SGD: 0.1 (1 + 1e-4 i)^-0.75 for the heads, a tenth for all features; Adam decays to zero."""
    if config.optimizer == "adam":
        return dict.fromkeys(("features", "head", "adversary"),
                             optax.cosine_decay_schedule(config.learning_rate, config.steps))

    def rate(factor):
        return lambda step: factor * config.learning_rate * (1 + 1e-4 * step) ** -0.75

    return {"features": rate(config.feature_factor), "head": rate(1.0), "adversary": rate(1.0)}


# Variants: each builds a Method from the parts


def build_supervised(
    parts: Parts, *, steps: int | None = None, stream: str = "labelled", mse: bool = False
) -> Method:
    """Heatmap KL and the config's optimizer, or the plain recipe: half MSE and Adam at 1e-3.

    steps: of the whole training; those of both stages if not given.
    """
    config = parts.config
    steps = steps or steps_of_both_stages(config)
    optimizer, rates, loss = optimizer_of(config), supervised_rates(config, steps), heatmap_kl
    if mse:
        drops = {int(steps * 44 / 70): 0.1, int(steps * 59 / 70): 0.1}
        optimizer, rates, loss = optax.scale_by_adam(), optax.piecewise_constant_schedule(1e-3, drops), heatmap_mse
    return supervised(parts.one_head, parts.skeleton, codec=parts.codec, optimizer=optimizer, learning_rate=rates,
                      augment=parts.augment[stream], normalise=imagenet_normalise, loss=loss, stream=stream)


def _adaptation(parts: Parts) -> dict:
    return {"codec": parts.codec, "optimizer": optimizer_of(parts.config), "augment": parts.augment,
            "learning_rate": adaptation_rates(parts.config), "normalise": imagenet_normalise}


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
    if wrong := [k for k in config.keypoints_never_in_target if not 0 <= k < len(parts.skeleton.names)]:
        raise InputError(f"--keypoints-never-in-target: {wrong[0]}; there are {len(parts.skeleton.names)} keypoints, "
                         "counted from 0")
    used = [k not in config.keypoints_never_in_target for k in range(len(parts.skeleton.names))]

    def weights(example):
        seen = example.visible if config.target_weight == "labels" else jnp.ones_like(example.visible)
        return jnp.array([used], jnp.float32) * seen

    return {"margin": config.margin, "trade_off": config.trade_off, "target_weights": weights,
            "coefficient": functools.partial(warm_start, high=config.coefficient, steps=config.coefficient_steps),
            "carried": ("backbone", "upsampling") + ("head",) * config.carry_head}


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
        settings["adversary"] = HeatmapHead(len(parts.skeleton.names), 1, dtype=jnp.dtype(config.dtype))
    settings["pseudo_maps"] = _pseudo_maps(config, kind or config.ground_false)
    return regda(parts.two_heads, parts.skeleton, **settings)


def build_dd(parts: Parts) -> Method:
    """Disparity discrepancy, which draws no ground-false maps but shares the pseudo-truth."""
    return dd(parts.two_heads, parts.skeleton, pseudo_maps=_pseudo_maps(parts.config, parts.config.ground_false),
              **_adaptation(parts), **_disparity(parts))


def build_mcd(parts: Parts) -> Method:
    """Maximum classifier discrepancy."""
    carried = _disparity(parts)["carried"]
    return mcd(parts.two_heads, parts.skeleton, carried=carried, trade_off=parts.config.mcd_trade_off,
               **_adaptation(parts))


def build_adabn(parts: Parts, *, two_heads: bool = False, in_area: bool = False) -> Method:
    """New BatchNorm statistics for a trained network; `in_area` decodes inside the area of possible points only."""
    config, coding = parts.config, parts.codec
    if in_area:
        low, high = (round(cell * config.heatmap_size / 64) for cell in (config.area[0], config.area[1] + 1))
        inside = np.zeros((1, config.heatmap_size, config.heatmap_size, 1), bool)
        inside[:, low:high, low:high] = True
        coding = coding._replace(decode=lambda heatmaps: parts.codec.decode(jnp.where(inside, heatmaps, -jnp.inf)))
    return adabn(parts.two_heads if two_heads else parts.one_head, parts.skeleton, codec=coding,
                 augment=parts.augment["target"], normalise=imagenet_normalise)


def build_constant_centre(parts: Parts) -> Method:
    """Every keypoint in the middle of every image: what an error means that nothing was found for."""
    def predict(state, example):
        shape = example.keypoints.shape
        return Prediction(jnp.full(shape, (parts.config.image_size - 1) / 2, jnp.float32), jnp.ones(shape[:2]), ())

    return build_supervised(parts)._replace(predict=predict)


class Recipe(NamedTuple):
    """How a variant comes about: a method, what it starts from, and what is done with it."""

    build: Callable[[Parts], Method]
    start: str = "pretraining"  # the stage, or the variant whose result is taken; "" for none
    train: Literal["adaptation", "both stages", "statistics", "nothing"] = "adaptation"


RECIPES: dict[str, Recipe] = {
    "source_only": Recipe(lambda p: build_supervised(p, stream="source"), "", "both stages"),
    "source_only_mse": Recipe(lambda p: build_supervised(p, stream="source", mse=True), "", "both stages"),
    "oracle": Recipe(build_supervised, "", "both stages"),
    "adabn": Recipe(build_adabn, "source_only", "statistics"),
    "adabn_in_area": Recipe(lambda p: build_adabn(p, in_area=True), "adabn", "nothing"),
    "constant_centre": Recipe(build_constant_centre, "", "nothing"),
    "dan": Recipe(lambda p: dan(p.one_head, p.skeleton, **_adaptation(p))),
    "dann": Recipe(lambda p: dann(p.one_head, p.skeleton, **_adaptation(p))),
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


@functools.lru_cache(maxsize=32)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """The method of a variant; built once, so that all seeds share what is compiled."""
    return RECIPES[variant].build(parts_of(config, skeleton))


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
