"""Methods of RegDA's table: functions from the config and the setup that all of them share to a
`Method`.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from kpjax import InputError, Method, Prediction, Skeleton, augment, losses, methods
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


def area_of(config: Config) -> tuple[int, int]:
    """Returns the first cell of a heatmap in which the keypoint of a sprite can lie, and the first
    beyond, in both axes.
    """
    low, high = (round(cell * config.heatmaps.heatmap_size / 64) for cell in AREA)
    return low, high


def pseudo_maps(config: Config) -> Callable:
    """Builds the generator of ground-truth and ground-false maps. Its sigma is the labels', 2 in
    the authors' code.

    The authors put a map without a positive logit at (0, 0): that is kept beside their targets, and
    off elsewhere.
    """
    low, beyond = area_of(config)
    by_area = functools.partial(losses.ground_false_by_area, low=low, high=beyond - 1)
    kinds = {
        "others": losses.ground_false_by_others,
        "sum": functools.partial(losses.ground_false_by_others, clip=False),
        "area": by_area,
        "area_union": functools.partial(by_area, clip=True),
        "uniform": losses.ground_false_uniform,
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


def build_regda(
    config: Config,
    setup: Setup,
    *,
    maximise: Literal["ground false", "literally", "nothing"] = "ground false",
    shallow: bool = False,
) -> Method:
    """Builds RegDA.

    maximise: how step B drives f' from f on the target: towards the ground-false map, by the
    negative of its disparity from f's own prediction, or not at all. shallow: whether f' is a
    single 1x1 convolution.
    """
    objective = methods.regda_objective(margin=config.margin)
    if maximise == "literally":
        objective = methods.regda_objective(margin=config.margin, disagree=_literal_maximum)
    if maximise == "nothing":
        objective = losses.without(objective, "target_false")
    setup = _two_heads(config, setup)
    return methods.regda(
        setup,
        objective=objective,
        adversary=setup.model.head.clone(layers=1) if shallow else None,
        **_disparity(config, setup, config.coefficient),
    )


def _literal_maximum(adversary_logits, maps, weights):
    """Computes the negative of the disparity from the main regressor, which is then minimised."""
    return -losses.minimum_disparity(adversary_logits, maps, weights)


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


def build_adabn(
    config: Config, setup: Setup, *, two_heads: bool = False, in_area: bool = False
) -> Method:
    """Builds new BatchNorm statistics, of the target domain, for a trained network.

    two_heads: whether the network is one of regda. in_area: whether its arg-max is sought only
    where the keypoint of a sprite can lie.
    """
    if two_heads:
        setup = _two_heads(config, setup)
    if in_area:
        size, (low, beyond) = config.heatmaps.heatmap_size, area_of(config)
        inside = np.zeros((1, size, size, 1), bool)
        inside[:, low:beyond, low:beyond] = True
        whole = setup.codec.decode

        def decode(heatmaps):
            return whole(jnp.where(inside, heatmaps, -jnp.inf))

        setup = setup._replace(codec=setup.codec._replace(decode=decode))
    return methods.adabn(setup)


def build_constant_centre(config: Config, setup: Setup) -> Method:
    """Builds the answer that every keypoint is in the middle of the image, without a network."""
    middle = (config.data.image_size - 1) / 2

    def predict(state, example):
        shape = example.keypoints.shape
        return Prediction(jnp.full(shape, middle, jnp.float32), jnp.ones(shape[:2]), ())

    return build_supervised(config, setup)._replace(predict=predict)


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


def _ablation(line: str, **options: Any) -> Variant:
    return Variant("ablation", line, recipe=Recipe(functools.partial(build_regda, **options)))


def _of_config(line: str, **changes: Any) -> Variant:
    return Variant("ablation", line, recipe=Recipe(changes=changes))


# Chosen on tuning seed 100 of the demo: the controls gain from stronger colours about a random
# grey.
STRONG_COLOURS = {"colour_matrix": 1.0, "colour_pivot": (0.0, 1.0)}

VARIANTS: dict[str, Variant] = {
    "regda": Variant("method", "regressive domain adaptation", "RegDA", Recipe()),
    "regda_augmented": Variant(
        "method",
        "RegDA with the random colours, blur and noise of source_only_augmented in both stages",
        "RegDA, augmented",
        Recipe(start="pretraining_augmented", changes=STRONG_COLOURS),
    ),
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
    "adabn": Variant(
        "control",
        "source_only with BatchNorm statistics of the target domain",
        "AdaBN",
        Recipe(build_adabn, "source_only", "statistics"),
    ),
    "adabn_augmented": Variant(
        "control",
        "source_only_augmented with BatchNorm statistics of the target domain",
        "AdaBN, augmented",
        Recipe(build_adabn, "source_only_augmented", "statistics", STRONG_COLOURS),
    ),
    "adabn_in_area": Variant(
        "control",
        "AdaBN, arg-max inside the area of possible keypoints",
        "AdaBN in area",
        Recipe(functools.partial(build_adabn, in_area=True), "adabn", "nothing"),
    ),
    "constant_centre": Variant(
        "control",
        "every keypoint in the middle of the image",
        "constant centre",
        Recipe(build_constant_centre, "", "nothing"),
    ),
    "regda_adabn": Variant(
        "ablation",
        "RegDA, then BatchNorm statistics of the target domain",
        "RegDA + AdaBN",
        Recipe(functools.partial(build_adabn, two_heads=True), "regda", "statistics"),
    ),
    "no_ground_false": _ablation(
        "the adversary maximises its disparity from the main regressor literally, "
        "without a ground-false map",
        maximise="literally",
    ),
    "no_target_false": _ablation(
        "the adversary is not driven away on the target: no step B", maximise="nothing"
    ),
    "uniform_target": _of_config("ground-false map is uniform", ground_false="uniform"),
    "area_ground_false": _of_config(
        "ground-false map is an area, not the other keypoints", ground_false="area"
    ),
    "unclipped_ground_false": _of_config(
        "ground-false map is the sum of the other keypoints' maps, not their union",
        ground_false="sum",
    ),
    "clipped_ground_false": _of_config(
        "ground-false map is the union of the area's maps, not their sum",
        ground_false="area_union",
    ),
    "gamma_1": _of_config("margin gamma 1 in place of 4", margin=1.0),
    "gamma_2": _of_config("margin gamma 2 in place of 4", margin=2.0),
    "gamma_8": _of_config("margin gamma 8 in place of 4", margin=8.0),
    "shallow_adversary": _ablation("adversary of one layer", shallow=True),
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
