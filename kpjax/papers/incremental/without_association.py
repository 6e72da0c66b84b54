"""The stages of variants without KA-Net: step 0, then the student alone in each later step."""

from collections.abc import Callable, Sequence

from kpjax.input.source import Source
from kpjax.methods.incremental_family.step_spec import Increment
from kpjax.papers.incremental.config import Config
from kpjax.papers.incremental.runs import Known, Run
from kpjax.papers.incremental.stages import (
    Build,
    Choose,
    Factors,
    build_once,
    evaluate_step,
    increment_at,
    learn_base,
    learn_student,
    no_factors,
    whole_step,
)


def no_triples(run: Run, known: Known, step: int) -> Sequence[tuple[int, ...]]:
    """Returns none."""
    del run, known, step
    return ()


def own_images(run: Run, step: int, planned: Increment) -> Source:
    """Returns the images of a step, labelled with its own keypoints only."""
    del planned
    return run.training_images(step)


def learn_without_association(
    run: Run,
    *,
    build: Build,
    factors: Factors = no_factors,
    choose: Choose = no_triples,
    length: Callable[[Config], int] = whole_step,
    images: Callable[[Run, int, Increment], Source] = own_images,
) -> Known:
    """Learns step 0; then in each later step the student alone.

    build: of the student. factors: the weights of its terms. choose: the triples, which some terms
    read. length: config -> a step's optimizer steps. images: (run, step, increment) -> the labelled
    images.
    """
    steps = length(run.config)
    known = learn_base(run)
    for step in run.later_steps:
        known = evaluate_step(run, known, step - 1)
        planned = increment_at(run, step, factors, choose(run, known, step))
        method = build_once(build, run.setting, steps)
        source = images(run, step, planned)
        known = learn_student(run, known, step, planned, source, method, steps)
    return known
