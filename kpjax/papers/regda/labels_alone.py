"""Training on labels alone: the baselines and upper bounds of RegDA's tables, and its controls in random
colours.
"""

import functools
from collections.abc import Callable
from typing import Literal

import optax

from kpjax import Method, losses, methods
from kpjax.methods import Setup
from kpjax.papers.configs import optimizer_of
from kpjax.papers.engine import Job, Lengths, Outcome, Variant, same_config
from kpjax.papers.regda.config import Config, drops_of
from kpjax.papers.regda.stages import (
    Data,
    Train,
    build_kl,
    train_stage,
    variant,
)


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
    if not mse:
        return build_kl(config, setup, length=length, stream=stream)
    steps = getattr(config, length)
    plain = optax.piecewise_constant_schedule(1e-3, drops_of(steps))
    rates = config.teacher.adaptation_rate(steps) if rates_of == "teacher" else plain
    adam = setup._replace(
        optimizer=optimizer_of(config, optax.scale_by_adam()), learning_rate=rates
    )
    return methods.supervised(adam, loss=losses.heatmap_mse, stream=stream)


def pretraining_alone(job: Job, data: Data, method: Method) -> Outcome:
    """Learns from labels alone, for the steps of the first stage of an adaptation."""
    return train_stage(job, data, method, job.config.pretraining_steps)


def both_stages(job: Job, data: Data, method: Method) -> Outcome:
    """Learns from labels alone, for the steps of both stages of an adaptation."""
    return train_stage(job, data, method, job.config.steps_of_both_stages)


def for_equal_cost(job: Job, data: Data, method: Method) -> Outcome:
    """Learns from labels alone, for as long as `teacher_adaptation` takes."""
    return train_stage(job, data, method, job.config.steps_of_equal_cost)


def pretraining_lengths(config: Config, name: str) -> dict[str, float]:
    """Returns the length of `pretraining_alone`."""
    return {name: config.pretraining_steps}


def both_stages_lengths(config: Config, name: str) -> dict[str, float]:
    """Returns the length of `both_stages`."""
    return {name: config.steps_of_both_stages}


def equal_cost_lengths(config: Config, name: str) -> dict[str, float]:
    """Returns the length of `for_equal_cost`."""
    return {name: config.steps_of_equal_cost}


STAGES: dict[str, tuple[Train, Lengths]] = {
    "pretraining_steps": (pretraining_alone, pretraining_lengths),
    "steps_of_both_stages": (both_stages, both_stages_lengths),
    "steps_of_equal_cost": (for_equal_cost, equal_cost_lengths),
}


def alone(
    kind: str,
    line: str,
    *,
    label: str = "",
    stream: str = "labelled",
    mse: bool = False,
    rates_of: Literal["plain", "teacher"] = "plain",
    length: str = "steps_of_both_stages",
    changes: Callable[[Config], Config] = same_config,
) -> Variant:
    """Returns training on labels alone. stream, mse, rates_of, length: of `build_supervised`."""
    build = functools.partial(
        build_supervised, length=length, stream=stream, mse=mse, rates_of=rates_of
    )
    return variant(kind, line, build, *STAGES[length], label=label, changes=changes, logits=not mse)
