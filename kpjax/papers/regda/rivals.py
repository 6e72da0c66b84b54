"""Rivals and controls of RegDA: other ways of adapting, random colours, statistics of the target,
teachers, and trivial answers.
"""

import functools
from dataclasses import replace
from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax

from kpjax import Method, Prediction, Trained, augment, losses, methods
from kpjax.methods import Setup
from kpjax.papers import engine, source_free
from kpjax.papers.configs import optimizer_of
from kpjax.papers.engine import (
    NOTHING_TRAINED,
    Job,
    Outcome,
    Stage,
    Stages,
    StagesOf,
    Training,
    Variant,
    Work,
    method_of,
)
from kpjax.papers.regda.adversary import (
    area_of,
    carried_parts,
    disparity_options,
    rising,
    two_heads,
)
from kpjax.papers.regda.config import Config, in_strong_colours
from kpjax.papers.regda.labels_alone import alone, build_supervised, learnt_for
from kpjax.papers.regda.stages import (
    Data,
    build_pretraining,
    own_stage,
    pretraining,
    setup_of_heights,
    variant,
    variant_of_heights,
    with_both_domains,
)
from kpjax.training.hosts import agreed

ADABN_BATCHES = 60
ADABN_PASSES = (0, 1, 5)  # over the target domain; 0 stands for 60 batches

# Methods


def build_dd(config: Config, setup: Setup) -> Method:
    """Builds disparity discrepancy, a literal min-max game."""
    return methods.dd(
        two_heads(config, setup),
        margin=config.margin,
        **disparity_options(config, setup, config.dd_coefficient),
    )


def build_dan(config: Config, setup: Setup) -> Method:
    """Builds the match of pooled features by maximum mean discrepancy."""
    return methods.dan(setup)


def build_dann(config: Config, setup: Setup) -> Method:
    """Builds the match of pooled features by a domain discriminator."""
    return methods.dann(setup, coefficient=rising(config, 1.0))


def build_mcd(config: Config, setup: Setup) -> Method:
    """Builds two heads that disagree on the target domain."""
    return methods.mcd(
        two_heads(config, setup), carried=carried_parts(config), trade_off=config.mcd_trade_off
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
    config: Config, setup: Setup, *, of_regda: bool = False, in_area: bool = False
) -> Method:
    """Builds new BatchNorm statistics, of the target domain, for a trained network.

    of_regda: whether the network has the two heads of RegDA. in_area: whether its arg-max is sought only
    where the keypoint of a sprite can lie.
    """
    if of_regda:
        setup = two_heads(config, setup)
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


# Stages


def adapted(job: Job, data: Data) -> Stages:
    """Learns the source domain, then adapts to the target."""
    first = yield pretraining(job, data)
    return (yield own_stage(job, data, job.config.steps, first))


# The first stage of `teacher_adaptation`: labels alone, on restyled images.
build_labels_first = functools.partial(build_teacher_adaptation, phase="labels first")


def adapted_by_a_teacher(job: Job, data: Data) -> Stages:
    """Learns the source domain on restyled images, then from a mean teacher on the target."""
    first = yield pretraining(
        job, data, build=build_labels_first, setup=setup_of_heights, name="pretraining_restyled"
    )
    return (yield own_stage(job, data, job.config.steps, first))


def first_stage_alone(job: Job, data: Data) -> Stages:
    """Learns the source domain in the first stage, and ends there."""
    return kept((yield pretraining(job, data)))


def nothing_learnt(job: Job, data: Data) -> Stages:
    """Learns nothing."""
    yield from ()
    return NOTHING_TRAINED


def kept(before: Outcome) -> Outcome:
    """Returns the network of an earlier run or stage as a result of its own."""
    trained = Trained(before.trained.variables, {})
    return before._replace(trained=trained, images_per_second=0.0)


def read_otherwise(before: str) -> StagesOf:
    """Returns the stages of a variant that reads another one's result in its own way."""

    def stages(job: Job, data: Data) -> Stages:
        return kept((yield from result_of(job, before)))

    return stages


def with_target_statistics(before: str) -> StagesOf:
    """Returns the stages of a variant that gives another one's result BatchNorm statistics of the
    target.

    They are the best of those of 60 batches, of the whole target set and of five passes over it,
    chosen on validation images of the source.
    """

    def stages(job: Job, data: Data) -> Stages:
        earlier = yield from result_of(job, before)
        per_pass = yield Work(lambda: max(1, len(data.target.train) // job.config.batch_size), 0)
        start, tried = {"variables": earlier.trained.variables}, []
        for passes in ADABN_PASSES:
            steps = min(passes * per_pass or ADABN_BATCHES, 10 * job.config.steps)
            folder = job.folder / f"statistics-{passes}-passes"

            def training(steps: int = steps) -> Training:
                method = method_of(job, data)
                return with_both_domains(job, data, method, steps, start, tested=False)

            tried.append((yield Stage("statistics", steps, training, earlier, folder=folder)))
        # a validation part without labels has nan throughout, and the first is taken
        best = max(tried, key=lambda one: np.nan_to_num(one.evaluation["validation/pck"], nan=-1))
        return best._replace(steps=earlier.steps)

    return stages


def without_the_source(before: str) -> StagesOf:
    """Returns the stages of a variant that adapts another one's result to the target alone.

    All that it knows of the source is what a run keeps: statistics of poses.
    """

    def stages(job: Job, data: Data) -> Stages:
        config = job.config
        earlier = kept((yield from result_of(job, before)))

        def training() -> Training:
            method = method_of(job, data)
            learnt, _ = source_free.split_target(data.target.train)
            start = source_free.start_of(
                earlier.trained.variables, source_free.poses_of(data.poses)
            )
            return with_both_domains(
                job, data, method, config.steps_without_source, start, target=learnt, check=check
            )

        check = yield Work(
            lambda: source_free.check_of(
                method_of(job, data),
                earlier.trained,
                source_free.split_target(data.target.as_evaluated)[1],
                batch_size=2 * config.batch_size,
                least=config.source_free.least_agreement,
            )
        )
        adaptation = Stage(job.variant, config.steps_without_source, training, earlier)
        return (yield from source_free.adapted_or_start(adaptation, job.title))

    return stages


def result_of(job: Job, variant: str) -> Stages:
    """Returns the result of another run, trained now if it is not there yet."""
    other = yield Work(functools.partial(job_of, job, variant), job._replace(variant=variant))
    return (yield other)


def job_of(job: Job, variant: str) -> Job:
    """Returns the job that another one starts from.

    A finished one may differ in what adapting it further reads.
    """
    other = job._replace(variant=variant)
    if not agreed(f"whether {other.title} is finished", (other.folder / "results.json").exists):
        return other
    made = engine.stored_run(job.paper, other.folder).config
    return other._replace(
        config=replace(
            job.config, source_free=made.source_free, source_free_share=made.source_free_share
        )
    )


# The table


def in_views(line: str, *, restyled: float) -> Variant:
    """Returns training on labelled source images in the views of `teacher_adaptation`, for as long
    as that takes.
    """
    build = functools.partial(build_teacher_adaptation, phase="both", restyled=restyled)
    return variant_of_heights("control", line, build, learnt_for("steps_of_equal_cost"))


RIVALS: dict[str, Variant] = {
    "pretrained": variant(
        "baseline",
        "no adaptation: the first stage alone, from which regda starts; fewer steps",
        build_pretraining,
        first_stage_alone,
    ),
    "source_only_mse": alone(
        "baseline",
        "no adaptation: heatmap MSE and Adam, steps of the first stage, as the authors' code",
        label="source only, MSE",
        stream="source",
        mse=True,
        length="pretraining_steps",
    ),
    "dan": variant(
        "baseline",
        "pooled features matched by maximum mean discrepancy",
        build_dan,
        adapted,
        label="DAN",
    ),
    "dann": variant(
        "baseline",
        "pooled features matched by a domain discriminator",
        build_dann,
        adapted,
        label="DANN",
    ),
    "mcd": variant(
        "baseline",
        "two heads that disagree on the target domain",
        build_mcd,
        adapted,
        label="MCD",
    ),
    "dd": variant(
        "baseline",
        "disparity discrepancy, a literal min-max game",
        build_dd,
        adapted,
        label="DD",
    ),
    "teacher_adaptation": variant_of_heights(
        "baseline",
        "a mean teacher's surer answers on target images, both domains restyled",
        build_teacher_adaptation,
        adapted_by_a_teacher,
        label="UDAPE",
    ),
    "source_only_restyled_long": in_views(
        "no adaptation: heatmap MSE on source images in the colours of target images, for as long "
        "as teacher_adaptation takes",
        restyled=0.5,
    ),
    "source_only_views_long": in_views(
        "source images turned, sheared, resized and recoloured as by teacher_adaptation, for as "
        "long as it takes; no target image",
        restyled=0.0,
    ),
    "source_free": variant_of_heights(
        "baseline",
        "source_only_augmented_mse, then a mean teacher on target images, without the source's "
        "images or labels",
        build_source_free,
        without_the_source("source_only_augmented_mse"),
    ),
    "source_free_views": variant_of_heights(
        "baseline",
        "source_only_views_long, then the same",
        build_source_free,
        without_the_source("source_only_views_long"),
    ),
    "source_only_augmented": alone(
        "control",
        "source_only with random colours, blur and noise",
        label="source only, augmented",
        stream="source",
        changes=in_strong_colours,
    ),
    "source_only_augmented_mse": alone(
        "control",
        "source_only_augmented with the squared errors and the rates of teacher_adaptation",
        stream="source",
        changes=in_strong_colours,
        mse=True,
        rates_of="teacher",
    ),
    "source_only_augmented_mse_long": alone(
        "control",
        "the same for as long as teacher_adaptation takes",
        stream="source",
        changes=in_strong_colours,
        mse=True,
        rates_of="teacher",
        length="steps_of_equal_cost",
    ),
    "adabn": variant(
        "control",
        "source_only with BatchNorm statistics of the target domain",
        build_adabn,
        with_target_statistics("source_only"),
        label="AdaBN",
    ),
    "adabn_augmented": variant(
        "control",
        "source_only_augmented with BatchNorm statistics of the target domain",
        build_adabn,
        with_target_statistics("source_only_augmented"),
        label="AdaBN, augmented",
        changes=in_strong_colours,
    ),
    "adabn_in_area": variant(
        "control",
        "AdaBN, arg-max inside the area of possible keypoints",
        functools.partial(build_adabn, in_area=True),
        read_otherwise("adabn"),
        label="AdaBN in area",
    ),
    "constant_centre": variant(
        "control",
        "every keypoint in the middle of the image",
        build_constant_centre,
        nothing_learnt,
        label="constant centre",
    ),
    "regda_adabn": variant(
        "ablation",
        "RegDA, then BatchNorm statistics of the target domain",
        functools.partial(build_adabn, of_regda=True),
        with_target_statistics("regda"),
        label="RegDA + AdaBN",
    ),
}
