"""Variants of Keypoint Pyramids' tables: the method, its ablations, and the rivals."""

import functools
from collections.abc import Callable
from dataclasses import asdict

from kpjax import Method, Skeleton, methods
from kpjax.losses import Objective
from kpjax.papers.engine import Variant
from kpjax.papers.pyramids.config import Config
from kpjax.papers.pyramids.measures import ORACLE
from kpjax.papers.pyramids.rivals import BOUND, RIVALS
from kpjax.papers.pyramids.stages import (
    as_it_begins,
    discovered,
    network_of,
    shared_options,
    still_of,
    usual_steps,
)


def build_pyramids(
    config: Config,
    joints: Skeleton,
    size: int = 0,
    *,
    change: Callable[[Objective], Objective] | None = None,
    conditioned: bool = True,
) -> Method:
    """Builds Keypoint Pyramids.

    joints, size: of other methods, and not read. change: ablates the objective. conditioned: whether
    the second level reads the first.
    """
    objective = methods.pyramids_objective(**asdict(config.weights))
    return methods.pyramids(
        objective=change(objective) if change else objective,
        network=network_of(config, conditioned=conditioned),
        **asdict(config.rendering),
        **still_of(config),
        **shared_options(config, usual_steps),
    )


def build_all_transport(config: Config, joints: Skeleton, size: int = 0) -> Method:
    """Builds transport by all keypoints in place of the reconstruction."""
    change = functools.partial(methods.all_transport, reduction=config.weights.reduction)
    return build_pyramids(config, joints, change=change)


def build_all_reconstruction(config: Config, joints: Skeleton, size: int = 0) -> Method:
    """Builds a reconstruction for each level in place of its transport."""
    change = functools.partial(methods.all_reconstruction, reduction=config.weights.reduction)
    return build_pyramids(config, joints, change=change)


def ablation(line: str, label: str, build: Callable[..., Method]) -> Variant:
    """Returns the method built otherwise, and trained as it is."""
    return Variant("ablation", line, build, discovered(usual_steps), label=label)


VARIANTS: dict[str, Variant] = {
    "pyramids": Variant(
        "method",
        "two levels by reconstruction, transport and a spring",
        build_pyramids,
        discovered(usual_steps),
        label="Keypoint Pyramids",
    ),
    **RIVALS,
    "untrained": Variant(
        "control",
        "the network that Keypoint Pyramids starts from",
        build_pyramids,
        as_it_begins,
    ),
    "no_reconstruction": ablation(
        "without the reconstruction from all keypoints",
        "No-Reconstruction",
        functools.partial(build_pyramids, change=methods.no_reconstruction),
    ),
    "no_transport": ablation(
        "without transport",
        "No-Transport",
        functools.partial(build_pyramids, change=methods.no_transport),
    ),
    "no_spring": ablation(
        "without the spring",
        "No-Spring",
        functools.partial(build_pyramids, change=methods.no_spring),
    ),
    "all_transport": ablation(
        "transport by all keypoints in place of the reconstruction",
        "All-Transport",
        build_all_transport,
    ),
    "all_reconstruction": ablation(
        "a reconstruction for each level in place of its transport",
        "All-Reconstruction",
        build_all_reconstruction,
    ),
    "unconditioned": ablation(
        "the second level does not read the first",
        "Unconditioned",
        functools.partial(build_pyramids, conditioned=False),
    ),
    ORACLE: BOUND,
}
