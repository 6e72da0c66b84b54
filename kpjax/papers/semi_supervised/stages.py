"""Stages of semi-supervised learning: the warm start that all variants of a seed share, learning
from labels and images without, and labels that a teacher gives.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import optax

from kpjax import Method, Skeleton, methods
from kpjax.augment import compose_augmentations, on_half, random_warp
from kpjax.input.source import Source
from kpjax.losses import Objective, without
from kpjax.methods import Setup
from kpjax.papers import engine
from kpjax.papers.configs import config_as_json, network_of, optimizer_of
from kpjax.papers.engine import Job, Lengths, Outcome, Variant, method_variant, same_config
from kpjax.papers.keypoint_errors import keypoint_errors
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.left_to_learn import has_learnt
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted, Select, other_choices

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


@functools.lru_cache(maxsize=64)
def build_once(build: Build, config: Config, skeleton: Skeleton) -> Method:
    """Builds a method once, so that all seeds share what is compiled."""
    return build(config, setup_of(config, skeleton))


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


def warm_start(job: Job, data: Data) -> Outcome | None:
    """Learns from the labels alone, once for all variants of a seed; None without such steps."""
    config = job.config
    if not config.warm_start_steps:
        return None
    supervised = job._replace(variant="supervised")
    method = build_once(build_warm_start, config, data.skeleton)

    def train(folder) -> Fitted:
        sources = {"labelled": data.labelled}
        steps = config.warm_start_steps
        return fit_images(supervised, method, sources, shared_data, steps, folder, "warm start", {})

    # Variants share it, whatever else of the data they open.
    digests = {name: one for name, one in data.identity.items() if name == "labelled_digest"}
    shared_data = data._replace(identity=digests)
    identity = config_as_json(config) | digests
    shared = job.stage("warm_start", train, config=identity)
    return Outcome(
        method,
        shared.trained,
        config.warm_start_steps,
        wall_seconds=shared.wall_seconds,
        images=shared.images,
    )


def train_stage(
    job: Job,
    data: Data,
    method: Method,
    sources: Mapping[str, Source],
    steps: int,
    before: Outcome | None,
    *,
    start: Mapping[str, Any] | None = None,
    taught: bool = False,
) -> Outcome:
    """Trains a variant's own stage from a warm start, where there is one, in as many rounds as labelled
    images need to be learnt, at most those of the config.

    A table compares variants of equal training, so the steps of the warm start count. start: more
    trees to start from. taught: see `fit_images`.
    """
    warm = {"variables": before.trained.variables} if before else {}
    config, fitted = job.config, None
    codec = setup_of(config, data.skeleton).codec
    labelled = data.plain_labelled or data.labelled
    before = before or Outcome(None, None, 0)
    outcome = before
    for number in range(1, config.rounds + 1):
        more = number > 1
        if more and (job.plan or has_learnt(job, method, codec, fitted, labelled)):
            break
        fitted = fit_images(
            job,
            method,
            sources,
            data,
            steps,
            job.folder / f"round-{number}" if more else job.folder,
            f"{job.variant}, round {number}" if more else job.variant,
            {**warm, **(start or {})},
            patience=config.patience,
            taught=taught,
        )
        warm = {"variables": fitted.trained.variables}
        outcome = Outcome(
            method,
            fitted.trained,
            outcome.steps + fitted.steps,
            fitted.images_per_second,
            fitted.wall_seconds + outcome.wall_seconds,
            other_choices(fitted.evaluations, {"best_validation": CHOOSING}),
            images=fitted.images + outcome.images,
        )
    return outcome


def learnt(job: Job, data: Data, method: Method, *, times: int = 1) -> Outcome:
    """Learns from labels, and images without where the method reads them, after the warm start.

    times: the steps of the config, of which it takes so many times as many.
    """
    sources = {"labelled": data.labelled, "unlabelled": data.unlabelled}
    steps = times * job.config.steps
    return train_stage(job, data, method, sources, steps, warm_start(job, data))


def learnt_from_all_labels(job: Job, data: Data, method: Method) -> Outcome:
    """Learns from all training images with their labels, for the steps of both stages."""
    sources = {"labelled": data.everything, "unlabelled": data.unlabelled}
    return train_stage(job, data, method, sources, job.config.steps_of_both_stages, None)


def fit_images(
    job: Job,
    method: Method,
    sources: Mapping[str, Source],
    data: Data,
    steps: int,
    folder,
    stage: str,
    start: Mapping[str, Any],
    *,
    patience: int = 0,
    taught: bool = False,
) -> Fitted:
    """`fit` with half of a batch for each stream, and the choice of the result on validation
    images, which with a patience also end the training.

    taught: whether images without labels have those of a teacher. Where no warm start comes before,
    the backbone starts from its weights.
    """
    config = job.config
    if "variables" not in start:
        start = {
            **engine.first_variables(
                job, setup_of(config, data.skeleton).model, data.skeleton.names
            ),
            **start,
        }

    def evaluate(state) -> dict[str, float]:
        batch_size = 2 * config.batch_size
        found = predict_source(method, state, data.validation, batch_size=batch_size)
        return errors(found, method.skeleton, config, "validation")

    return engine.fit_sources(
        job,
        method,
        sources,
        batch_size=config.batch_size // len(method.streams),
        steps=steps,
        stage=stage,
        folder=folder,
        start=start,
        unlabelled=() if taught else ("unlabelled",),
        evaluate=(max(1, steps // config.evaluations), evaluate),
        select=CHOOSING._replace(patience=patience) if config.selection == "validation" else None,
        config=job.identity(**data.identity),
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


# Variants as lines of a table: a method, its stages, and how long they are

# (job, data, the variant's method) -> its stages, one after the other
Train = Callable[[Job, Data, Method], Outcome]


def usual_lengths(config: Config, name: str) -> dict[str, float]:
    """Returns the lengths of the warm start and of a variant's own stage."""
    return {"warm start": config.warm_start_steps, name: config.rounds * config.steps}


def variant(
    kind: str,
    line: str,
    build: Build,
    train: Train = learnt,
    lengths: Lengths = usual_lengths,
    *,
    label: str = "",
    changes: Callable[[Config], Config] = same_config,
    score_kind: str = SCORE_KIND,
) -> Variant:
    """Returns a line of the table.

    Args:
        build: builds the method that learns last, and predicts.
        train: trains it, with the stages before.
        changes: what is different in the config by which `build` builds.
    """

    def method(config: Config, skeleton: Skeleton) -> Method:
        return build_once(build, changes(config), skeleton)

    return method_variant(method, train, kind, line, label, lengths, lambda config: score_kind)
