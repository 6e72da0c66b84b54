"""Methods of RegDA's table: functions from the config and the setup that all of them share to a
`Method`.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import optax

from kpjax import InputError, Method, Skeleton, augment, losses, methods
from kpjax.heatmaps import codec, decode_argmax
from kpjax.methods import Setup
from kpjax.systems.configs import changed, network_of, optimizer_of
from kpjax.systems.regda.config import Config, drops_of
from kpjax.systems.system import Variant


@functools.lru_cache(maxsize=8)
def setup_of(config: Config, skeleton: Skeleton, *, logits: bool = True) -> Setup:
    """Builds the setup once per config, so that all seeds share what is compiled: of adaptation,
    with one head.

    logits: whether heatmaps are those of a KL divergence, and not heights, as squared errors learn
    them.
    """
    heatmaps, side, network = config.heatmaps, config.data.image_size, config.network
    coding = heatmaps.codec(side, logits=logits)
    if heatmaps.targets == "official":  # the authors' targets and decoder
        coding = codec(
            image_size=side,
            heatmap_size=heatmaps.heatmap_size,
            sigma=heatmaps.sigma,
            grid=heatmaps.grid,
            decoder=functools.partial(decode_argmax, strict_positive=True),
        )
    if hasattr(network, "head_layers"):
        network = replace(network, head_layers=config.pretraining_head_layers)
    return Setup(
        network_of(replace(config, network=network), len(skeleton.names)),
        skeleton,
        coding,
        optimizer_of(config, config.optimizer.build()),
        config.optimizer.adaptation_rates(config.steps),
        MappingProxyType(config.augment.build(*config.data.loaded(config.augment.reach))),
        config.backbone.normalise,
    )


def _two_heads(config: Config, setup: Setup) -> Setup:
    """Returns the setup with the head of regda, mcd and dd."""
    return setup._replace(model=network_of(config, len(setup.skeleton.names)))


def build_supervised(
    config: Config,
    setup: Setup,
    *,
    length: str = "steps_of_both_stages",
    stream: str = "labelled",
    mse: bool = False,
    rates_of: Literal["plain", "teacher"] = "plain",
) -> Method:
    """Builds heatmap KL and the config's optimizer, or half the MSE and Adam.

    length: the config's number of steps of the whole training. rates_of: of Adam, where `mse`: the
    plain recipe's 1e-3, or those of `teacher_adaptation`.
    """
    steps = getattr(config, length)
    if mse:
        plain = optax.piecewise_constant_schedule(1e-3, drops_of(steps))
        rates = config.teacher.adaptation_rate(steps) if rates_of == "teacher" else plain
        adam = setup._replace(
            optimizer=optimizer_of(config, optax.scale_by_adam()), learning_rate=rates
        )
        return methods.supervised(adam, loss=losses.heatmap_mse, stream=stream)
    return methods.supervised(
        setup._replace(learning_rate=config.optimizer.supervised_rates(steps)), stream=stream
    )


AREA = 16, 48  # first cell of 64 in which the keypoint of a sprite can lie, and the first beyond


def pseudo_maps(config: Config) -> Callable:
    """Builds the generator of ground-truth and ground-false maps. Its sigma is the labels', 2 in
    the paper.

    The authors put a map without a positive logit at (0, 0): that is kept beside their targets, and
    off elsewhere.
    """
    low, high = (round(cell * config.heatmaps.heatmap_size / 64) for cell in AREA)
    kinds = {
        "others": losses.ground_false_by_others,
        "area": functools.partial(losses.ground_false_by_area, low=low, high=high - 1),
    }
    return functools.partial(
        kinds[config.ground_false],
        sigma=config.heatmaps.sigma,
        strict_positive=config.heatmaps.targets == "official",
    )


def _disparity(config: Config, setup: Setup, coefficient: float) -> dict[str, Any]:
    """Options of both regda and dd. Raises InputError for a keypoint that is not there."""
    count = len(setup.skeleton.names)
    if wrong := [k for k in config.keypoints_never_in_target if not 0 <= k < count]:
        raise InputError(
            "keypoints_never_in_target", f"{wrong[0]}; there are {count} keypoints, counted from 0"
        )
    used = [k not in config.keypoints_never_in_target for k in range(count)]

    def weights(example):
        return jnp.array([used], jnp.float32) * jnp.ones_like(example.visible)

    return {
        "target_weights": weights,
        "coefficient": _rising(config, coefficient),
        "carried": _carried(config),
        "pseudo_maps": pseudo_maps(config),
    }


def _rising(config: Config, high: float) -> optax.Schedule:
    return functools.partial(losses.warm_start, high=high, steps=config.coefficient_steps)


def _carried(config: Config) -> tuple[str, ...]:
    return ("backbone", "upsampling", "head") if config.carry_head else ("backbone", "upsampling")


def build_regda(config: Config, setup: Setup) -> Method:
    """Builds RegDA."""
    return methods.regda(
        _two_heads(config, setup),
        objective=methods.regda_objective(margin=config.margin),
        **_disparity(config, setup, config.coefficient),
    )


def build_dd(config: Config, setup: Setup) -> Method:
    """Builds disparity discrepancy, a literal min-max game."""
    return methods.dd(
        _two_heads(config, setup),
        margin=config.margin,
        **_disparity(config, setup, config.dd_coefficient),
    )


def build_teacher_adaptation(
    config: Config,
    setup: Setup,
    *,
    restyled: float = 0.5,
    phase: Literal["labels first", "adaptation", "both"] = "adaptation",
) -> Method:
    """Builds adaptation by a teacher's surer answers.

    phase: before "adaptation" come the labels alone, on restyled images; "both" is these for as
    many steps as cost the same as both. restyled: the probability that a batch is restyled.
    """
    settings, base = config.teacher, setup.augment
    if config.augment.published:  # views turn images and change their colours themselves
        loaded = config.data.loaded(config.augment.reach)
        base = {
            name: augment.random_warp(augment.draw_square_crop(), loaded=one)
            for name, one in zip(("source", "target"), loaded, strict=True)
        }
    objective = methods.teacher_adaptation_objective(setup.codec)
    if phase != "adaptation":
        objective = losses.without(objective, "consistency")
    rates = {
        "labels first": optax.constant_schedule(settings.teacher_learning_rate),
        "adaptation": settings.adaptation_rate(config.steps),
        "both": settings.adaptation_rate(config.steps_of_equal_cost),
    }
    adam = setup._replace(
        augment=base,
        optimizer=optimizer_of(config, optax.scale_by_adam()),
        learning_rate=rates[phase],
    )
    return methods.teacher_adaptation(
        adam,
        objective=objective,
        view=settings.view(),
        decay=settings.teacher_decay,
        sigma=config.heatmaps.sigma,
        restyled=restyled,
        predicts="teacher" if phase == "adaptation" else "student",
    )


def build_source_free(config: Config, setup: Setup) -> Method:
    """Builds adaptation of a finished variant's network to the target alone."""
    loaded = config.data.loaded(config.augment.reach)[1]
    base = (
        augment.random_warp(augment.draw_square_crop(), loaded=loaded)
        if config.augment.published
        else (augment.no_augmentation())
    )
    adam = setup._replace(augment=base, optimizer=optimizer_of(config, optax.scale_by_adam()))
    return config.source_free.build(adam, config.steps_without_source, view=config.teacher.view())


# The first stage: heatmap KL on the source domain.
build_pretraining = functools.partial(build_supervised, length="pretraining_steps", stream="source")

# Variants

ADABN_BATCHES = 60
Build = Callable[[Config, Setup], Method]


class Recipe(NamedTuple):
    """Construction of a variant: a method, its start, and its training."""

    build: Build = build_regda
    start: str = "pretraining"  # the stage, or the variant whose result is taken; "" for none
    train: Literal[
        "adaptation", "both stages", "equal cost", "statistics", "nothing", "further"
    ] = "adaptation"
    changes: Mapping[str, Any] = MappingProxyType({})  # of the config's fields
    pretrain: Build = build_pretraining  # of the stage, where it starts from one
    #: whether heatmaps are those of a KL divergence, and not heights, as squared errors learn them
    logits: bool = True

    def steps(self, config: Config) -> int:
        """Returns the steps of its own training."""
        return {
            "nothing": 0,
            "adaptation": config.steps,
            "both stages": config.steps_of_both_stages,
            "equal cost": config.steps_of_equal_cost,
            "further": config.steps_without_source,
            "statistics": ADABN_BATCHES,
        }[self.train]

    def config(self, config: Config) -> Config:
        """Returns the config that the variant is built by."""
        coloured = {"augmentation": "regda_colour" if config.augment.published else "colour"}
        return changed(
            config, **self.changes, **coloured if "colour_matrix" in self.changes else {}
        )


def _alone(*, mse: bool = False, equal_cost: bool = False, **options: Any) -> Recipe:
    length = "steps_of_equal_cost" if equal_cost else "steps_of_both_stages"
    return Recipe(
        functools.partial(build_supervised, mse=mse, length=length, **options),
        "",
        "equal cost" if equal_cost else "both stages",
        logits=not mse,
    )


def _in_random_colours(**options: Any) -> Recipe:
    return _alone(stream="source", **options)._replace(changes=STRONG_COLOURS)


def _in_views(*, restyled: float = 0.5) -> Recipe:
    return Recipe(
        functools.partial(build_teacher_adaptation, phase="both", restyled=restyled),
        "",
        "equal cost",
        logits=False,
    )


# Chosen on tuning seed 100 of the demo: the controls gain from stronger colours about a random
# grey.
STRONG_COLOURS = {"colour_matrix": 1.0, "colour_pivot": (0.0, 1.0)}

VARIANTS: dict[str, Variant] = {
    "regda": Variant("method", "regressive domain adaptation", "RegDA", Recipe()),
    "source_only": Variant(
        "baseline",
        "no adaptation: heatmap KL on the source domain, steps of both stages",
        "source only",
        _alone(stream="source"),
    ),
    "pretrained": Variant(
        "baseline",
        "no adaptation: the first stage alone, from which regda starts; fewer steps",
        "",
        Recipe(build_pretraining, "pretraining", "nothing"),
    ),
    "source_only_mse": Variant(
        "baseline",
        "no adaptation: heatmap MSE and Adam",
        "source only, MSE",
        _alone(stream="source", mse=True),
    ),
    "dan": Variant(
        "baseline",
        "pooled features matched by maximum mean discrepancy",
        "DAN",
        Recipe(lambda config, setup: methods.dan(setup)),
    ),
    "dann": Variant(
        "baseline",
        "pooled features matched by a domain discriminator",
        "DANN",
        Recipe(lambda config, setup: methods.dann(setup, coefficient=_rising(config, 1.0))),
    ),
    "mcd": Variant(
        "baseline",
        "two heads that disagree on the target domain",
        "MCD",
        Recipe(
            lambda config, setup: methods.mcd(
                _two_heads(config, setup), carried=_carried(config), trade_off=config.mcd_trade_off
            )
        ),
    ),
    "dd": Variant(
        "baseline", "disparity discrepancy, a literal min-max game", "DD", Recipe(build_dd)
    ),
    "teacher_adaptation": Variant(
        "baseline",
        "a mean teacher's surer answers on target images, both domains restyled",
        "UDAPE",
        Recipe(
            build_teacher_adaptation,
            "pretraining_restyled",
            pretrain=functools.partial(build_teacher_adaptation, phase="labels first"),
            logits=False,
        ),
    ),
    "source_only_restyled_long": Variant(
        "control",
        "no adaptation: heatmap MSE on source images in the colours of target images, for as long as "
        "teacher_adaptation takes",
        "",
        _in_views(),
    ),
    "source_only_views_long": Variant(
        "control",
        "source images turned, sheared, resized and recoloured as by teacher_adaptation, for as long as it "
        "takes; no target image",
        "",
        _in_views(restyled=0.0),
    ),
    "source_free": Variant(
        "baseline",
        "source_only_augmented_mse, then a mean teacher on target images, without the source's images or "
        "labels",
        "",
        Recipe(build_source_free, "source_only_augmented_mse", "further", logits=False),
    ),
    "source_free_views": Variant(
        "baseline",
        "source_only_views_long, then the same",
        "",
        Recipe(build_source_free, "source_only_views_long", "further", logits=False),
    ),
    "source_only_augmented": Variant(
        "control",
        "source_only with random colours, blur and noise",
        "source only, augmented",
        _in_random_colours(),
    ),
    "source_only_augmented_mse": Variant(
        "control",
        "source_only_augmented with the squared errors and the rates of teacher_adaptation",
        "",
        _in_random_colours(mse=True, rates_of="teacher"),
    ),
    "source_only_augmented_mse_long": Variant(
        "control",
        "the same for as long as teacher_adaptation takes",
        "",
        _in_random_colours(mse=True, rates_of="teacher", equal_cost=True),
    ),
    "adabn_augmented": Variant(
        "control",
        "source_only_augmented with BatchNorm statistics of the target domain",
        "AdaBN, augmented",
        Recipe(
            lambda config, setup: methods.adabn(setup),
            "source_only_augmented",
            "statistics",
            STRONG_COLOURS,
        ),
    ),
    "oracle": Variant(
        "oracle", "trained on labels of the target domain, steps of both stages", "oracle", _alone()
    ),
    "oracle_mse": Variant(
        "oracle",
        "the same with the squared errors and the rates of teacher_adaptation",
        "oracle, MSE",
        _alone(mse=True, rates_of="teacher"),
    ),
}


@functools.lru_cache(maxsize=32)
def build(config: Config, skeleton: Skeleton, variant: str) -> Method:
    """Builds the method of a variant once, so that all seeds share what is compiled."""
    recipe = VARIANTS[variant].recipe
    config = recipe.config(config)
    return recipe.build(config, setup_of(config, skeleton, logits=recipe.logits))


@functools.lru_cache(maxsize=8)
def build_first(config: Config, skeleton: Skeleton, pretrain: Build, logits: bool) -> Method:
    """Builds the method of a first stage once, likewise.

    config, pretrain, logits: of a variant that starts from it.
    """
    return pretrain(config, setup_of(config, skeleton, logits=logits))
