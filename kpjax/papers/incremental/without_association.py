"""The stages of variants without KA-Net: step 0, then the student alone in each later step."""

import functools
from collections.abc import Callable, Sequence

from kpjax.input.source import Source
from kpjax.methods.incremental_family.step_spec import Increment
from kpjax.papers.engine import Outcome, Stages, built
from kpjax.papers.incremental.config import Config
from kpjax.papers.incremental.runs import Run
from kpjax.papers.incremental.stages import (
    Build,
    Choose,
    Factors,
    chosen,
    learn_base,
    no_factors,
    student,
    whole_step,
    with_predictions,
)


def no_triples(run: Run, known: Outcome, step: int) -> Sequence[tuple[int, ...]]:
    """Returns none."""
    del run, known, step
    return ()


def learn_without_association(
    run: Run,
    *,
    build: Build,
    factors: Factors = no_factors,
    choose: Choose = no_triples,
    length: Callable[[Config], int] = whole_step,
    images: Callable[[Run, int, Increment], Source] | None = None,
) -> Stages:
    """Learns step 0; then in each later step the student alone.

    build: of the student. factors: the weights of its terms. choose: the triples, which some terms
    read. length: config -> a step's optimizer steps. images: (run, step, increment) -> the labelled
    images; a step's own if None.
    """
    steps = length(run.config)
    known = yield from learn_base(run)
    for step in run.later_steps:
        known = yield from with_predictions(run, known, step - 1)
        _, taught = yield from chosen(run, known, step, choose, factors)
        known = yield student(
            run,
            known,
            step,
            taught,
            lambda: built(build, run.setting, steps),
            steps,
            images=images and functools.partial(images, run, step, taught),
        )
    return known
