"""Parts that RegDA and its closest rivals share: the second head, its maps and the weight of the
adversary.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from kpjax import InputError, losses
from kpjax.methods import Setup
from kpjax.papers.configs import network_of
from kpjax.papers.regda.config import Config


def two_heads(config: Config, setup: Setup) -> Setup:
    """Returns the setup with the head of regda, mcd and dd."""
    return setup._replace(model=network_of(config, len(setup.skeleton.names)))


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


def disparity_options(config: Config, setup: Setup, coefficient: float) -> dict[str, Any]:
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
        "coefficient": rising(config, coefficient),
        "carried": carried_parts(config),
        "pseudo_maps": pseudo_maps(config),
    }


def rising(config: Config, high: float) -> optax.Schedule:
    """Returns the schedule of a coefficient that grows from 0 to `high`."""
    return functools.partial(losses.warm_start, high=high, steps=config.coefficient_steps)


def carried_parts(config: Config) -> tuple[str, ...]:
    """Returns the parts of the first stage's network from which the second goes on."""
    return ("backbone", "upsampling", "head") if config.carry_head else ("backbone", "upsampling")
