"""Variants of RegDA's tables: the method, its ablations, training on labels alone, and the rivals.

The paper's two stages (`adapted`): a network learns the source domain from labels; then features
and head learn with both domains against an adversary.
"""

import functools
from typing import Any, Literal

from kpjax import InputError, Method, losses, methods
from kpjax.methods import Setup
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job, Stages, Variant
from kpjax.papers.regda.adversary import disparity_options, two_heads
from kpjax.papers.regda.config import Config, in_strong_colours
from kpjax.papers.regda.labels_alone import alone
from kpjax.papers.regda.rivals import RIVALS, adapted
from kpjax.papers.regda.stages import Data, own_stage, pretraining, variant


def build_regda(
    config: Config,
    setup: Setup,
    *,
    without: tuple[str, ...] = (),
    maximise: Literal["ground false", "literally"] = "ground false",
    shallow: bool = False,
) -> Method:
    """Builds RegDA.

    without: terms that are left out. maximise: how step B drives f' from f on the target: towards
    the ground-false map, or by the negative of its disparity from f's own prediction. shallow:
    whether f' is a single 1x1 convolution.
    """
    objective = methods.regda_objective(margin=config.margin)
    if maximise == "literally":
        objective = methods.regda_objective(margin=config.margin, disagree=_literal_maximum)
    objective = losses.without(objective, *without)
    setup = two_heads(config, setup)
    if shallow and not hasattr(setup.model.head, "layers"):
        raise InputError(
            "network",
            f"the head of {config.network.name} has no layers to leave out; choose another",
        )
    return methods.regda(
        setup,
        objective=objective,
        adversary=setup.model.head.clone(layers=1) if shallow else None,
        **disparity_options(config, setup, config.coefficient),
    )


def _literal_maximum(adversary_logits, maps, weights):
    """Computes the negative of the disparity from the main regressor, which is then minimised."""
    return -losses.minimum_disparity(adversary_logits, maps, weights)


# Stages


def adapted_in_colours(job: Job, data: Data) -> Stages:
    """Learns the source domain in strong random colours, then adapts in them."""
    config = in_strong_colours(job.config)
    first = yield pretraining(job, data, config=config, name="pretraining_augmented")
    return (yield own_stage(job, data, job.config.steps, first))


def ablation(line: str, *, of_config: dict[str, Any] | None = None, **options: Any) -> Variant:
    """Returns RegDA with other fields of the config in its second stage, or other options of
    `build_regda`.
    """
    return variant(
        "ablation",
        line,
        functools.partial(build_regda, **options),
        adapted,
        changes=lambda config: replace_fields(config, **(of_config or {})),
    )


# RegDA less all that reads the adversary: a control that differs from it in nothing else.
build_without_adversary = functools.partial(
    build_regda, without=("source_disparity", "target_false", "target_truth")
)

# The table

VARIANTS: dict[str, Variant] = {
    "regda": variant(
        "method",
        "regressive domain adaptation",
        build_regda,
        adapted,
        label="RegDA",
    ),
    "regda_augmented": variant(
        "method",
        "RegDA with the random colours, blur and noise of source_only_augmented in both stages",
        build_regda,
        adapted_in_colours,
        label="RegDA, augmented",
        changes=in_strong_colours,
    ),
    "no_adversary": variant(
        "control",
        "RegDA without its adversary: the source's labels, in the same two stages",
        build_without_adversary,
        adapted,
        label="RegDA without adversary",
    ),
    "no_adversary_augmented": variant(
        "control",
        "regda_augmented without its adversary: the source's labels, in the same two stages",
        build_without_adversary,
        adapted_in_colours,
        label="RegDA without adversary, augmented",
        changes=in_strong_colours,
    ),
    "source_only": alone(
        "baseline",
        "no adaptation: heatmap KL on the source domain, steps of both stages",
        label="source only",
        stream="source",
    ),
    **RIVALS,
    "no_ground_false": ablation(
        "the adversary maximises its disparity from the main regressor literally, "
        "without a ground-false map",
        maximise="literally",
    ),
    "no_target_false": ablation(
        "the adversary is not driven away on the target: no step B",
        without=("target_false",),
    ),
    "uniform_target": ablation(
        "ground-false map is uniform", of_config={"ground_false": "uniform"}
    ),
    "area_ground_false": ablation(
        "ground-false map is an area, not the other keypoints", of_config={"ground_false": "area"}
    ),
    "unclipped_ground_false": ablation(
        "ground-false map is the sum of the other keypoints' maps, not their union",
        of_config={"ground_false": "sum"},
    ),
    "clipped_ground_false": ablation(
        "ground-false map is the union of the area's maps, not their sum",
        of_config={"ground_false": "area_union"},
    ),
    "gamma_1": ablation("margin gamma 1 in place of 4", of_config={"margin": 1.0}),
    "gamma_2": ablation("margin gamma 2 in place of 4", of_config={"margin": 2.0}),
    "gamma_8": ablation("margin gamma 8 in place of 4", of_config={"margin": 8.0}),
    "shallow_adversary": ablation("adversary of one layer", shallow=True),
    "oracle": alone(
        "oracle",
        "trained on labels of the target domain, steps of both stages",
        label="oracle",
    ),
    "oracle_mse": alone(
        "oracle",
        "source_only_mse with labels of the target domain",
        label="oracle, MSE",
        mse=True,
        length="pretraining_steps",
    ),
}
