"""Methods of RegDA's table: functions from the parts that all of them share to a `Method`."""
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from experiments.configs import network_of, optimizer_of
from experiments.regda_presets import Config, drops_of
from kpjax import InputError, Method, Prediction, Skeleton, augment, losses, methods
from kpjax.augment import Augment
from kpjax.heatmaps import Codec, codec, decode_argmax
from kpjax.models import HeatmapHead, KeypointNetwork


class Parts(NamedTuple):
    """Parts of all methods of a preset."""

    config: Config
    skeleton: Skeleton
    one_head: KeypointNetwork  # with the head of the pretraining
    two_heads: KeypointNetwork  # with the head of regda, mcd and dd
    codec: Codec
    augment: Mapping[str, Augment]  # by stream


@functools.lru_cache(maxsize=8)
def parts_of(config: Config, skeleton: Skeleton, *, logits: bool = True) -> Parts:
    """Builds the parts once per config, so that all seeds share what is compiled.

    logits: whether heatmaps are those of a KL divergence, and not heights, as squared errors learn them.
    """
    heatmaps, side, first = config.heatmaps, config.data.image_size, config.network
    coding = heatmaps.codec(side, logits=logits)
    if heatmaps.targets == "official":  # the authors' targets and decoder
        coding = codec(image_size=side, heatmap_size=heatmaps.heatmap_size, sigma=heatmaps.sigma, grid=heatmaps.grid,
                       decoder=functools.partial(decode_argmax, strict_positive=config.strict_positive))
    if hasattr(first, "head_layers"):
        first = replace(first, head_layers=config.pretraining_head_layers)
    one, two = (network_of(replace(config, network=network), len(skeleton.names))
                for network in (first, config.network))
    return Parts(config, skeleton, one, two, coding, MappingProxyType(
        config.augment.build(*config.data.loaded(config.augment.reach))))


def build_supervised(parts: Parts, *, steps: int | None = None, stream: str = "labelled", mse: bool = False) -> Method:
    """Builds heatmap KL and the config's optimizer, or the plain recipe: half MSE and Adam at 1e-3.

    steps: of the whole training; those of both stages if not given.
    """
    config = parts.config
    steps = steps or config.steps_of_both_stages
    optimizer, rates, loss = config.optimizer.build(), config.optimizer.supervised_rates(steps), losses.heatmap_kl
    if mse:
        rates = optax.piecewise_constant_schedule(1e-3, drops_of(steps))
        optimizer, loss = optax.scale_by_adam(), losses.heatmap_mse
    return methods.supervised(
        parts.one_head, parts.skeleton, codec=parts.codec, optimizer=optimizer_of(config, optimizer),
        learning_rate=rates, loss=loss, augment=parts.augment[stream], normalise=config.backbone.normalise,
        stream=stream)


def adaptation_options(parts: Parts) -> dict[str, Any]:
    """Returns the options that all methods of adaptation share."""
    config = parts.config
    rates = config.optimizer.adaptation_rates(config.steps, config.adaptation_share)
    return {"codec": parts.codec, "optimizer": optimizer_of(config, config.optimizer.build()), "augment": parts.augment,
            "learning_rate": rates, "normalise": config.backbone.normalise}


def area(config: Config) -> list[int]:
    """Returns the first cell in which a keypoint can lie, and the first beyond."""
    return [round(cell * config.heatmaps.heatmap_size / 64) for cell in (config.area[0], config.area[1] + 1)]


def _pseudo_maps(config: Config, kind: str = "") -> Callable:
    """Builds the generator of ground-truth and ground-false maps. Its sigma is the labels', 2 in the paper."""
    low, high = area(config)
    kinds = {"others": losses.ground_false_by_others, "uniform": losses.uniform_false,
             "area": functools.partial(losses.ground_false_by_area, low=low, high=high - 1)}
    return functools.partial(kinds[kind or config.ground_false], sigma=config.heatmaps.sigma,
                             strict_positive=config.strict_positive)


def _disparity(parts: Parts) -> dict[str, Any]:
    """Options of both regda and dd. Raises InputError for a keypoint that is not there."""
    config, count = parts.config, len(parts.skeleton.names)
    if wrong := [k for k in config.keypoints_never_in_target if not 0 <= k < count]:
        raise InputError(f"keypoints_never_in_target: {wrong[0]}; there are {count} keypoints, counted from 0")
    used = [k not in config.keypoints_never_in_target for k in range(count)]

    def weights(example):
        # Labels outside the map have no weight, as in the authors' code.
        seen = parts.codec.encode(example)[1] if config.target_weight == "labels" else jnp.ones_like(example.visible)
        return jnp.array([used], jnp.float32) * seen

    return {"target_weights": weights, "coefficient": _rising(config, config.coefficient), "carried": _carried(config)}


def _rising(config: Config, high: float) -> optax.Schedule:
    return functools.partial(losses.warm_start, high=high, steps=config.coefficient_steps)


def _carried(config: Config) -> tuple[str, ...]:
    return ("backbone", "upsampling", "head") if config.carry_head else ("backbone", "upsampling")


def build_regda(parts: Parts, *, kind: str = "", shallow: bool = False, **changes: Any) -> Method:
    """Builds RegDA, with another kind of ground-false map, an adversary of one layer, or changes of its objective."""
    config, settings = parts.config, adaptation_options(parts) | _disparity(parts)
    if shallow:
        settings["adversary"] = HeatmapHead(len(parts.skeleton.names), 1, dtype=jnp.dtype(config.network.dtype))
    objective = methods.regda_objective(**{"margin": config.margin, "trade_off": config.trade_off} | changes)
    return methods.regda(parts.two_heads, parts.skeleton, objective=objective,
                         pseudo_maps=_pseudo_maps(config, kind), **settings)


def build_dd(parts: Parts) -> Method:
    """Builds disparity discrepancy, a literal min-max game."""
    config, settings = parts.config, adaptation_options(parts) | _disparity(parts)
    return methods.dd(parts.two_heads, parts.skeleton, pseudo_maps=_pseudo_maps(config), margin=config.margin,
                      trade_off=config.trade_off,
                      **settings | {"coefficient": _rising(config, config.baselines.dd_coefficient)})


def build_dd_regression(parts: Parts) -> Method:
    """Builds disparity discrepancy between two regressors of coordinates."""
    settings = {name: value for name, value in adaptation_options(parts).items() if name != "codec"}
    return methods.dd_regression(
        parts.one_head, parts.skeleton, **settings,
        coefficient=_rising(parts.config, parts.config.baselines.dd_coefficient))


def build_dan(parts: Parts) -> Method:
    """Builds pooled features that are matched by maximum mean discrepancy."""
    return methods.dan(parts.one_head, parts.skeleton, trade_off=parts.config.baselines.dan_trade_off,
                       **adaptation_options(parts))


def build_dann(parts: Parts) -> Method:
    """Builds pooled features that are matched by a domain discriminator."""
    return methods.dann(parts.one_head, parts.skeleton, trade_off=parts.config.baselines.dann_trade_off,
                        coefficient=_rising(parts.config, 1.0), **adaptation_options(parts))


def build_mcd(parts: Parts) -> Method:
    """Builds two heads that disagree on the target domain."""
    return methods.mcd(parts.two_heads, parts.skeleton, carried=_carried(parts.config),
                       trade_off=parts.config.baselines.mcd_trade_off, **adaptation_options(parts))


def build_teacher_adaptation(
    parts: Parts, *, phase: Literal["labels first", "adaptation", "both"] = "adaptation",
    follow: Callable | None = None, **changes: Any
) -> Method:
    """Builds adaptation by a teacher's surer answers.

    phase: before "adaptation" come the labels alone, on restyled images; "both" is these for the steps of both stages.
    follow: in place of the consistency with surer answers, see `follow_heatmaps`. changes: of the settings.
    """
    config, settings, base = parts.config, replace(parts.config.teacher, **changes), parts.augment
    if config.augment.augmentation == "regda":  # views turn images and change their colours themselves
        loaded = config.data.loaded(config.augment.reach)
        base = {name: augment.random_warp(augment.draw_square_crop(), loaded=one)
                for name, one in zip(("source", "target"), loaded, strict=True)}
    objective = methods.teacher_adaptation_objective(
        parts.codec, consistency=settings.consistency, left_out=settings.left_out, valid_mask=settings.view_valid_mask)
    if follow:
        objective = losses.replaced(objective, consistency=follow)
    if phase != "adaptation":
        objective = losses.without(objective, "consistency")
    rates = {"labels first": optax.constant_schedule(settings.teacher_learning_rate),
             "adaptation": settings.adaptation_rate(config.steps),
             "both": settings.adaptation_rate(config.steps_of_both_stages)}
    return methods.teacher_adaptation(
        parts.one_head, parts.skeleton, objective=objective, codec=parts.codec, augment=base, view=settings.view(),
        optimizer=optimizer_of(config, optax.scale_by_adam()), learning_rate=rates[phase],
        normalise=config.backbone.normalise, decay=settings.teacher_decay, sigma=config.heatmaps.sigma,
        restyled=settings.restyled, hide=settings.hide(config.data.image_size), hidden_from=settings.hidden_from,
        predicts="teacher" if phase == "adaptation" else "student")


def build_on_target(parts: Parts) -> Method:
    """Builds semi-supervised learning with labelled source images, pseudo-labels of the target's, and equivariance."""
    config, settings = parts.config, adaptation_options(parts)
    objective = methods.pseudo_label_objective(parts.codec) | {
        "equivariance": methods.equivariance_term(parts.codec, streams=("unlabelled",))}
    augment = {"labelled": settings["augment"]["source"], "unlabelled": settings["augment"]["target"]}
    rates = config.teacher.adaptation_rate(config.steps)
    return methods.semi_supervised(parts.one_head, parts.skeleton, objective=objective, **settings | {
        "augment": augment, "learning_rate": rates, "optimizer": optimizer_of(config, optax.scale_by_adam())})


def build_adabn(parts: Parts, *, two_heads: bool = False, in_area: bool = False) -> Method:
    """Builds new BatchNorm statistics for a trained network; `in_area` decodes in the area of possible keypoints."""
    coding, size = parts.codec, parts.config.heatmaps.heatmap_size
    if in_area:
        low, high = area(parts.config)
        inside = np.zeros((1, size, size, 1), bool)
        inside[:, low:high, low:high] = True
        coding = coding._replace(decode=lambda heatmaps: parts.codec.decode(jnp.where(inside, heatmaps, -jnp.inf)))
    return methods.adabn(parts.two_heads if two_heads else parts.one_head, parts.skeleton, codec=coding,
                         augment=parts.augment["target"], normalise=parts.config.backbone.normalise)


def build_constant_centre(parts: Parts) -> Method:
    """Puts every keypoint in the middle of every image: the error where nothing was found."""
    def predict(state, example):
        shape = example.keypoints.shape
        return Prediction(jnp.full(shape, (parts.config.data.image_size - 1) / 2, jnp.float32), jnp.ones(shape[:2]), ())

    return build_supervised(parts)._replace(predict=predict)


def build_pretraining(parts: Parts, mse: bool = False) -> Method:
    """Builds the first stage: heatmap KL, or MSE, on the source domain."""
    return build_supervised(parts, steps=parts.config.pretraining_steps, stream="source", mse=mse)
