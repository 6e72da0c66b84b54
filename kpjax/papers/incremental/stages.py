"""Stages of incremental learning: step 0, later steps from the network of the step before, and
lines of a table that are made of them.

Only arrays of parameters go from one step to the next: the variables of the network, and for some
rivals importances and anchors of the same shapes.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from kpjax import Method, Skeleton, Trained, losses, methods
from kpjax.files import read_json
from kpjax.input.source import Source
from kpjax.losses import Objective
from kpjax.methods.incremental_family.step_spec import Increment, increment
from kpjax.models import RSN
from kpjax.papers.engine import Job, Lengths, Outcome, Variant, first_variables
from kpjax.papers.incremental.config import Config, Weights
from kpjax.papers.incremental.runs import NOTHING, Data, Known, Run, Setting, setting_of
from kpjax.training.fit import Fitted
from kpjax.training.stages import Stage
from kpjax.training.trees import tree_digest

SCORE_KIND = "mse_peak"

# Networks and what trains them


# (setting, optimizer steps) -> method; of a student of KA-Net, with `association`
Build = Callable[..., Method]


@functools.lru_cache(maxsize=64)
def build_once(build: Build, setting: Setting, *arguments: Any, **options: Any) -> Method:
    """Builds a method once, so that all steps, seeds and weights share what is compiled."""
    return build(setting, *arguments, **options)


def objective_of(setting: Setting) -> Objective:
    """Builds KAMP's objective, equation 4; all levels of an RSN learn the labels."""
    config, side = setting.config, setting.config.heatmaps.heatmap_size
    objective = methods.incremental_objective(setting.setup.codec, reduction=config.reduction)
    if not isinstance(config.network, RSN):
        return objective
    of_levels = methods.coarse_term(
        image_size=(config.data.image_size,) * 2,
        heatmap_size=(side, side),
        grid=config.heatmaps.grid,
    )
    return {**objective, "new_keypoints": of_levels}


def labels_alone(setting: Setting) -> Objective:
    """Builds the objective of the labels of the new keypoints."""
    return losses.without(objective_of(setting), "distillation", "association")


def build_student(
    setting: Setting, steps: int, objective: Objective, *, rate: float = 0.0, **options: Any
) -> Method:
    """Builds the method that learns new keypoints from the old network, for so many steps.

    rate: of learning; 0 is that of later steps. options: of `methods.incremental`.
    """
    optimizer = setting.config.optimizer
    schedule = optimizer.rate_of_stage(rate or optimizer.learning_rate, steps)
    return methods.incremental(
        setting.setup._replace(learning_rate=schedule), objective=objective, **options
    )


def build_finetuning(setting: Setting, steps: int) -> Method:
    """Builds the training of a later step on its labels alone."""
    return build_student(setting, steps, labels_alone(setting))


def build_base(
    setting: Setting, steps: int, *, more: Objective = NOTHING, **options: Any
) -> Method:
    """Builds step 0: the method of later steps with no old keypoint. more: terms beside labels."""
    objective = {**labels_alone(setting), **more}
    rate = setting.config.optimizer.base_learning_rate
    return build_student(setting, steps, objective, rate=rate, **options)


def build_prediction(config: Config, skeleton: Skeleton) -> Method:
    """Builds what predicts for every variant: all are the same network, read in the same way."""
    return build_once(build_base, setting_of(config, skeleton), config.base_steps)


# A run


def run_of(job: Job, data: Data) -> Run:
    """Returns a variant of one seed with what its stages share."""
    setting = setting_of(job.config, data.skeleton, mirrored=data.protocol.mirrored)
    return Run(job, data, setting, build_once(build_base, setting, job.config.base_steps))


# Weights of terms by name in a step, from (the config's weights, the number of old keypoints)
Factors = Callable[[Weights, int], Mapping[str, float]]


def no_factors(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weights of labels alone, which are none."""
    del weights, old
    return NOTHING


def increment_at(
    run: Run, step: int, factors: Factors, triples: Sequence[Sequence[int]] = ()
) -> Increment:
    """Returns the increment of a step. triples: (old, new, new) numbers of keypoints."""
    introduced = run.data.introduced
    old = np.flatnonzero(introduced < step)
    return increment(
        len(introduced),
        old=old,
        new=np.flatnonzero(introduced == step),
        triples=triples,
        slots=run.config.association.triples,
        weights=factors(run.config.weights, len(old)),
        by_points=old if run.data.by_points else (),
    )


# Step 0


def learn_base(
    run: Run,
    *,
    name: str = "base",
    build: Build = build_base,
    factors: Factors = no_factors,
    keep: Callable[[Any], Any] | None = None,
) -> Known:
    """Learns the keypoints of step 0, unless the data bring a network that knows them.

    name: of the stage; variants with the same one share it. factors: of terms beside the labels,
    which then belong to the variant, as does the stage. keep: see `Run.fit`.
    """
    data, steps = run.data, run.config.base_steps
    first = increment_at(run, 0, factors)
    if data.base is not None:
        digest = "" if run.job.plan else tree_digest(data.base)
        trained = Trained(data.base, {"increment": first})
        return Known(Stage(trained, digest, 0, {}, 0.0, 0.0, 0), steps, 0.0, 0)
    method, source = build_once(build, run.setting, steps), run.training_images(0)
    shared = factors is no_factors
    return learn_first(run, name, first, method, source, steps, shared=shared, keep=keep)


def learn_first(
    run: Run,
    name: str,
    first: Increment,
    method: Method,
    source: Source,
    steps: int,
    *,
    shared: bool = False,
    keep: Callable[[Any], Any] | None = None,
) -> Known:
    """Trains a first network, which no other comes before.

    first: the keypoints that it learns. shared: whether variants with a stage of this name share
    it. keep: see `Run.fit`.
    """

    def train(folder: epath.Path, identity: Mapping[str, Any]) -> Fitted:
        model, names = run.setting.setup.model, run.data.skeleton.names
        start = {"increment": first} | first_variables(run.job, model, names)
        return run.fit(method, source, steps, folder, identity, "step 0", start, keep)

    found = run.stage(name, train, of_base=shared)
    return Known(found, steps, found.wall_seconds, found.images)


# Later steps

# Trains a student by `fit(start)`, which has `keep` and `between` of `Run.fit`: (run, step, fit,
# start) -> what `fit` returns
Training = Callable[[Run, int, Callable[..., Fitted], Mapping[str, Any]], Fitted]


def fit_student(
    run: Run, step: int, fit: Callable[..., Fitted], start: Mapping[str, Any]
) -> Fitted:
    """Trains a student that keeps nothing beside its parameters."""
    del run, step
    return fit(start)


def learn_student(
    run: Run,
    known: Known,
    step: int,
    planned: Increment,
    source: Source,
    method: Method,
    steps: int,
    *,
    start: Mapping[str, Any] = NOTHING,
    parents: Mapping[str, str] = NOTHING,
    training: Training = fit_student,
) -> Known:
    """Learns a later step's keypoints, from the network of the step before, which is the teacher.

    Args:
        run: the variant and its data.
        known: what is there after the step before.
        step: its number, from 1.
        planned: the keypoints, triples and weights of the step.
        source: the labelled images.
        method: trains the student.
        steps: the optimizer steps.
        start: further entries, such as KA-Net's variables.
        parents: digests of further stages that it starts from.
        training: see `Training`.
    """
    given = {"teacher": known.trained.variables, "increment": planned, **known.memory, **start}

    def train(folder: epath.Path, identity: Mapping[str, Any]) -> Fitted:
        fit = functools.partial(run.fit, method, source, steps, folder, identity, f"step {step}")
        return training(run, step, fit, given)

    name = f"{run.job.variant}_step_{step}"
    found = run.stage(name, train, {"before": known.network.digest, **parents})
    return known.and_trained(found, steps)._replace(network=found)


def evaluate_step(run: Run, known: Known, step: int) -> Known:
    """Predicts the evaluation images after a step: a row of the paper's matrix."""
    found = run.predicted(known, run.data.evaluation)
    return known._replace(predictions={**known.predictions, f"step_{step}": found})


# Triples of a step: (run, what is known, step) -> (old, new, new) numbers of keypoints
Choose = Callable[[Run, Known, int], Sequence[tuple[int, ...]]]


def whole_step(config: Config) -> int:
    """Returns the optimizer steps of a later step: with KA-Net's, where there is one."""
    return config.steps


def student_step(config: Config) -> int:
    """Returns the optimizer steps that a later step leaves KA-Net's student."""
    return config.steps - config.association_steps


# Variants as lines of a table: the stages, and how long they are


def later_steps(config: Config) -> int:
    """Returns the number of steps after step 0 in the config's protocol."""
    return len(read_json(config.data.protocol_path())["steps"]) - 1


def lengths(
    config: Config,
    name: str,
    *,
    base: str = "base",
    of_step: Callable[[Config], int] = whole_step,
) -> dict[str, float]:
    """Returns the steps of step 0, which variants share, and of all later ones together."""
    return {base: config.base_steps, name: of_step(config) * later_steps(config)}


def variant(
    kind: str,
    line: str,
    learn: Callable[[Run], Known],
    *,
    label: str = "",
    lengths: Lengths = lengths,
) -> Variant:
    """Returns a line of the table. learn: its stages, one after the other."""

    def train(job: Job, data: Data) -> Outcome:
        run = run_of(job, data)
        known = learn(run)
        return Outcome(
            run.evaluation_method,
            known.trained,
            known.steps,
            known.network.images_per_second,
            known.wall_seconds,
            known.metrics,
            known.predictions,
            known.images,
        )

    return Variant(
        kind,
        line,
        label,
        train=train,
        method=build_prediction,
        lengths=lengths,
        score_kind=lambda config: SCORE_KIND,
    )
