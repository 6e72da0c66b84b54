"""Stages of semi-supervised learning: the warm start that all variants of a seed share, learning
from labels and images without, and labels that a teacher gives.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import optax

from kpjax import Method, Skeleton, methods
from kpjax.augment import compose_augmentations, on_half, random_warp
from kpjax.input.source import Source
from kpjax.losses import Objective, without
from kpjax.methods import Setup
from kpjax.papers.configs import config_as_json, network_of, optimizer_of
from kpjax.papers.engine import (
    Job,
    Outcome,
    Shared,
    Stage,
    Stages,
    StagesOf,
    Training,
    Variant,
    Work,
    batches,
    built_on,
    method_of,
)
from kpjax.papers.keypoint_errors import keypoint_errors
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.left_to_learn import has_learnt
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Select

SCORE_KIND = "mse_peak"
CHOOSING = Select("validation/pck")
StageOf = Literal["warm start", "method", "both"]
Build = Callable[[Config, Setup], Method]


class Data(NamedTuple):
    """Images of one seed."""

    labelled: Source
    unlabelled: Source  # labels stripped
    everything: Source  # all training images with labels
    validation: Source
    test: Source
    #: the digest of the labelled subset, `labelled_digest`, and those of what else is opened
    identity: Mapping[str, str]
    plain_unlabelled: Source | None = None  # as evaluation sees them, if training loads them larger
    plain_labelled: Source | None = None

    @property
    def skeleton(self) -> Skeleton:
        return self.labelled.skeleton

    @property
    def sources(self) -> dict[str, Source]:
        """The images of a method's streams."""
        return {"labelled": self.labelled, "unlabelled": self.unlabelled}

    @property
    def poses(self) -> Source:
        """The labelled images whose poses a run keeps."""
        return self.labelled

    @property
    def summary(self) -> str:
        return f"{len(self.labelled)} of {len(self.everything)} training images labelled, {len(self.unlabelled)} not"


# Networks and what trains them


@functools.lru_cache(maxsize=4)
def setup_of(config: Config, skeleton: Skeleton) -> Setup:
    """Builds the setup once per config, so that all seeds share what is compiled."""
    return Setup(
        network_of(config, len(skeleton.names)),
        skeleton,
        config.heatmaps.codec(config.data.image_size, flip=skeleton.flip),
        optimizer_of(config, optax.scale_by_adam()),
        config.rate("method"),
        config.augment.build(skeleton, loaded=config.data.loaded(config.augment.reach)),
        config.backbone.normalise,
    )


def warped_setup(config: Config, setup: Setup) -> Setup:
    """Returns the setup with the method's warp on every other image of a batch, after the
    augmentation.
    """
    warp = on_half(random_warp(config.weights.draw_map()))
    return setup._replace(augment=compose_augmentations(setup.augment, warp))


def build_objective(
    config: Config, setup: Setup, *, ground_truth: bool = True, inverse: bool = False
) -> Objective:
    """Builds equation 5 in the form of the config.

    ground_truth: see `semi_supervised_objective`. inverse: whether heatmaps of g(x) are moved back,
    as in Honari et al. 2018, in place of equation 2.
    """
    weights, streams = config.weights, config.data.streams
    of_terms = weights.of_terms(config.heatmaps, len(setup.skeleton.names))
    objective = methods.semi_supervised_objective(
        setup.codec,
        streams=streams,
        ground_truth=ground_truth,
        unit=weights.unit,
        reduction=weights.reduction,
        **of_terms,
    )
    if not inverse:
        return objective
    moved_back = methods.equivariance_term(
        setup.codec, of_terms["equivariance"], streams, ground_truth=ground_truth, inverse=True
    )
    return {**objective, "equivariance": moved_back}


def build_method(
    config: Config,
    setup: Setup,
    *,
    objective: Objective | None = None,
    left_out: Sequence[str] = (),
    warped: bool = False,
    stage: StageOf = "method",
    **changes: Any,
) -> Method:
    """Builds the method: its terms without those left out, with changes; or another objective."""
    weights, base = config.weights, warped_setup(config, setup) if warped else setup
    if objective is None:
        objective = without(build_objective(config, setup, **changes), *left_out)
    return methods.semi_supervised(
        base._replace(learning_rate=config.rate(stage)),
        objective=objective,
        draw_map=weights.draw_map(),
        feature_width=weights.feature_width,
        one_scale=weights.one_scale,
        head_map=weights.head_map,
        warped_pass=weights.warped_pass,
    )


# The supervised term alone: heatmap MSE.
build_supervised = functools.partial(
    build_method, left_out=("semantic", "equivariance", "invariance")
)
build_warm_start = functools.partial(build_supervised, stage="warm start")


# Stages


def warm_start(job: Job, data: Data) -> Stages:
    """Learns from the labels alone, once for all variants of a seed; None without such steps."""
    config = job.config
    if not config.warm_start_steps:
        return None
    supervised = job._replace(variant="supervised")

    def digests() -> dict[str, Any]:  # variants share it, whatever else of the data they open
        return {name: one for name, one in data.identity.items() if name == "labelled_digest"}

    def training() -> Training:
        method = built_on(setup_of, build_warm_start, config, data.skeleton)
        return on_images(
            supervised,
            data,
            method,
            {"labelled": data.labelled},
            config.warm_start_steps,
            config=lambda: supervised.identity(**digests()),
        )

    shared = Shared("warm_start", lambda: config_as_json(config) | digests())
    return (yield Stage("warm start", config.warm_start_steps, training, shared=shared))


def own_stage(
    job: Job,
    data: Data,
    sources: Callable[[], Mapping[str, Source]],
    steps: int,
    before: Outcome | None = None,
    *,
    start: Mapping[str, Any] = MappingProxyType({}),
    taught: bool = False,
) -> Stages:
    """Trains a variant's method from a warm start, where there is one, in as many rounds as labelled
    images need to be learnt, at most those of the config.

    sources: the images of its streams. start: more trees to start from. taught: whether images
    without labels have those of a teacher.
    """
    config = job.config

    def learnt(before: Outcome) -> bool:
        method, labelled = method_of(job, data), data.plain_labelled or data.labelled
        codec = setup_of(config, data.skeleton).codec
        return has_learnt(job, method, codec, before.trained, labelled)

    for number in range(1, config.rounds + 1):
        name, folder = job.variant, job.folder
        if number > 1:
            if (yield Work(functools.partial(learnt, before))):
                break
            name, folder = f"{name}, round {number}", folder / f"round-{number}"

        def training(before: Outcome | None = before) -> Training:
            return on_images(
                job,
                data,
                method_of(job, data),
                sources(),
                steps,
                ({"variables": before.trained.variables} if before else {}) | dict(start),
                patience=config.patience,
                taught=taught,
            )

        before = yield Stage(name, steps, training, before, folder=folder)
    return before


def learnt(job: Job, data: Data, *, times: int = 1) -> Stages:
    """Learns from labels, and images without where the method reads them, after the warm start.

    times: the steps of the config, of which it takes so many times as many.
    """
    before = yield from warm_start(job, data)
    steps = times * job.config.steps
    return (yield from own_stage(job, data, lambda: data.sources, steps, before))


def learnt_from_all_labels(job: Job, data: Data) -> Stages:
    """Learns from all training images with their labels, for the steps of both stages."""
    steps = job.config.steps_of_both_stages
    return (
        yield from own_stage(job, data, lambda: data.sources | {"labelled": data.everything}, steps)
    )


def on_images(
    job: Job,
    data: Data,
    method: Method,
    sources: Mapping[str, Source],
    steps: int,
    start: Mapping[str, Any] = MappingProxyType({}),
    *,
    patience: int = 0,
    taught: bool = False,
    config: Callable[[], Mapping[str, Any]] | None = None,
) -> Training:
    """Returns what fits a method with half of a batch for each stream, and chooses the result on
    validation images, which with a patience also end the training.

    taught: whether images without labels have those of a teacher. config: all that must stay the
    same for it to be resumed. Where no warm start comes before, the backbone starts from its weights.
    """
    settings = job.config

    def evaluate(state) -> dict[str, float]:
        batch_size = 2 * settings.batch_size
        found = predict_source(method, state, data.validation, batch_size=batch_size)
        return errors(found, method.skeleton, settings, "validation")

    by_validation = settings.selection == "validation"
    return Training(
        method,
        batches(
            job,
            method,
            sources,
            batch_size=settings.batch_size // len(method.streams),
            unlabelled=() if taught else ("unlabelled",),
        ),
        config or (lambda: job.identity(**data.identity)),
        start,
        fresh=None
        if "variables" in start
        else (setup_of(settings, data.skeleton).model, data.skeleton.names),
        more={
            "evaluate": (max(1, steps // settings.evaluations), evaluate),
            "select": CHOOSING._replace(patience=patience) if by_validation else None,
        },
    )


def errors(
    found: Gathered, skeleton: Skeleton, config: Config, name: str, *, details: bool = False
) -> dict[str, float]:
    """Computes PCK (a distance of exactly the threshold is a hit, each point weighs the same) and
    errors.
    """
    return keypoint_errors(
        found,
        skeleton,
        name,
        threshold=config.pck_threshold,
        pooled=True,
        uncounted=config.uncounted_keypoints,
        contours=config.data.contours,
        details=details,
    )


def variant(
    kind: str,
    line: str,
    build: Build,
    stages: StagesOf = learnt,
    *,
    score_kind: str = SCORE_KIND,
    **more: Any,
) -> Variant:
    """Returns a line of the table, as `Variant` does."""
    return Variant(kind, line, build, stages, setup=setup_of, score_kind=score_kind, **more)
