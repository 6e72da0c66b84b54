"""Stages of incremental learning: step 0, later steps from the network of the step before, and
lines of a table that are made of them.

Only arrays of parameters go from one step to the next: the variables of the network, and for some
rivals importances and anchors of the same shapes.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kpjax import Method, Trained, losses, methods
from kpjax.input.source import Source
from kpjax.losses import Objective
from kpjax.methods.incremental_family.step_spec import Increment, increment
from kpjax.models import RSN
from kpjax.papers.engine import (
    NOTHING_TRAINED,
    Outcome,
    Stage,
    Stages,
    Variant,
    Work,
    built,
    method_of,
)
from kpjax.papers.incremental.config import Config, Weights
from kpjax.papers.incremental.runs import NOTHING, Beside, Run, Setting, setting_of
from kpjax.training.trees import tree_digest

SCORE_KIND = "mse_peak"

# Networks and what trains them

# (setting, optimizer steps) -> method; of a student of KA-Net, with `association`
Build = Callable[..., Method]


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


def build_prediction(config: Config, setting: Setting) -> Method:
    """Builds what predicts for every variant: all are the same network, read in the same way."""
    return built(build_base, setting, config.base_steps)


# A run


# Weights of terms by name in a step, from (the config's weights, the number of old keypoints)
Factors = Callable[[Weights, int], Mapping[str, float]]


def no_factors(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weights of labels alone, which are none."""
    del weights, old
    return NOTHING


def increment_at(
    run: Run, step: int, factors: Factors, triples: Sequence[Sequence[int]] = ()
) -> Work:
    """Returns the increment of a step. triples: (old, new, new) numbers of keypoints."""

    def of_data() -> Increment:
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

    return Work(of_data, of_data)


# Step 0


def learn_base(
    run: Run,
    *,
    name: str = "base",
    build: Build = build_base,
    factors: Factors = no_factors,
    beside: Callable[[], Beside] | None = None,
) -> Stages:
    """Learns the keypoints of step 0, unless the data bring a network that knows them.

    name: of the stage; variants with the same one share it. factors: of terms beside the labels,
    which then belong to the variant, as does the stage. beside: of `Run.stage`.
    """
    steps, shared = run.config.base_steps, factors is no_factors
    first = yield increment_at(run, 0, factors)

    def given(*, of_shapes: bool = False) -> Outcome:
        base = run.data.base
        digest = "" if of_shapes else tree_digest(base)
        return Outcome(None, Trained(base, {"increment": first}), steps, digest=digest)

    if run.config.data.brings_base:
        known = yield Work(given, functools.partial(given, of_shapes=True))
        return known or NOTHING_TRAINED  # where stages are counted, no data are open
    return (
        yield run.stage(
            "step 0",
            steps,
            run.kept(name, of_base=shared),
            lambda: built(build, run.setting, steps),
            lambda: run.training_images(0),
            {"increment": first},
            fresh=True,
            beside=beside,
        )
    )


# Later steps


def student(
    run: Run,
    known: Outcome,
    step: int,
    taught: Increment,
    build: Callable[[], Method],
    steps: int,
    *,
    images: Callable[[], Source] | None = None,
    before: Outcome | None = None,
    start: Mapping[str, Any] = NOTHING,
    parents: Mapping[str, str] = NOTHING,
    **more: Any,
) -> Stage:
    """Learns a later step's keypoints, from the network of the step before, which is the teacher.

    Args:
        run: the variant and its data.
        known: the outcome of the step before.
        step: its number, from 1.
        taught: the keypoints, triples and weights of the step.
        build: builds the method of the student.
        steps: the optimizer steps.
        images: the labelled ones; the step's own if None.
        before: the outcome whose account goes on, if not `known`.
        start: further entries, such as KA-Net's variables.
        parents: digests of further stages that it starts from.
        more: of `Run.stage`.
    """
    return run.stage(
        f"step {step}",
        steps,
        run.kept(f"{run.job.variant}_step_{step}", {"before": known.digest, **parents}),
        build,
        images or (lambda: run.training_images(step)),
        {"teacher": known.trained.variables, "increment": taught, **start},
        before or known,
        **more,
    )


def with_predictions(run: Run, known: Outcome, step: int) -> Stages:
    """Returns the outcome of a step with predictions of the evaluation images: a row of the paper's
    matrix.
    """
    found = yield Work(
        lambda: run.predicted(method_of(run.job, run.data), known, run.data.evaluation)
    )
    return known._replace(predictions={**known.predictions, f"step_{step}": found})


# Triples of a step: (run, what is known, None in a plan, step) -> (old, new, new) numbers of keypoints
Choose = Callable[[Run, Outcome | None, int], Sequence[tuple[int, ...]]]


def chosen(run: Run, known: Outcome, step: int, choose: Choose, factors: Factors) -> Stages:
    """Returns the triples of a step, and its increment."""
    triples = yield Work(
        functools.partial(choose, run, known, step), functools.partial(choose, run, None, step)
    )
    return triples, (yield increment_at(run, step, factors, triples))


def whole_step(config: Config) -> int:
    """Returns the optimizer steps of a later step: with KA-Net's, where there is one."""
    return config.steps


def student_step(config: Config) -> int:
    """Returns the optimizer steps that a later step leaves KA-Net's student."""
    return config.steps - config.association_steps


def variant(kind: str, line: str, learn: Callable[[Run], Stages], *, label: str = "") -> Variant:
    """Returns a line of the table. learn: its stages, one after the other."""
    return Variant(
        kind,
        line,
        build_prediction,
        lambda job, data: learn(Run(job, data)),
        label,
        setup=setting_of,
        score_kind=SCORE_KIND,
    )
