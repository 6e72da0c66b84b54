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
from kpjax.papers.engine import Job, Stages, Variant, same_config
from kpjax.papers.regda.config import Config, drops_of
from kpjax.papers.regda.stages import Data, build_kl, own_stage, variant, variant_of_heights


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
    line_of_table = variant_of_heights if mse else variant
    return line_of_table(kind, line, build, learnt_for(length), label=label, changes=changes)


def learnt_for(length: str) -> Callable[[Job, Data], Stages]:
    """Returns the single stage of training for a number of steps of the config, by its name."""

    def stages(job: Job, data: Data) -> Stages:
        return (yield own_stage(job, data, getattr(job.config, length)))

    return stages
