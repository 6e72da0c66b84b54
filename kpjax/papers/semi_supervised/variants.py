"""Variants of the semi-supervised paper's tables: the method (equation 5), its ablations, training on
labels alone, and the rivals.
"""

import functools

from kpjax import Method
from kpjax.methods import Setup
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Variant
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.rivals import RIVALS
from kpjax.papers.semi_supervised.stages import (
    build_method,
    build_supervised,
    learnt_from_all_labels,
    variant,
)


def build_affine(config: Config, setup: Setup) -> Method:
    """Builds the method whose g is an affine map."""
    return build_method(replace_fields(config, warp="affine"), setup)


def ablation(line: str, label: str, *left_out: str, **changes: bool) -> Variant:
    """Returns the method without some terms of its objective, or with other options of
    `build_objective`.
    """
    build = functools.partial(build_method, left_out=left_out, **changes)
    return variant("ablation", line, build, label=label)


VARIANTS: dict[str, Variant] = {
    "sskl": variant(
        "method",
        "semantic consistency, equivariance and invariance beside the labels",
        build_method,
        label="ours",
    ),
    "supervised": variant("baseline", "the labels alone", build_supervised, label="HRNet"),
    **RIVALS,
    "no_sc": ablation("without semantic consistency", "TE + TI", "semantic"),
    "no_te": ablation("without equivariance", "TI + SC", "equivariance"),
    "no_ti": ablation("without invariance", "TE + SC", "invariance"),
    "sc_only": ablation(
        "semantic consistency alone beside the labels", "SC", "equivariance", "invariance"
    ),
    "ti_only": ablation("invariance alone beside the labels", "TI", "semantic", "equivariance"),
    "no_ground_truth": ablation(
        "predictions in place of true heatmaps in all unsupervised terms", "", ground_truth=False
    ),
    "te_inverse": ablation(
        "heatmaps moved back, as ELT's, in place of equivariance",
        "inverse TE + TI + SC",
        inverse=True,
    ),
    "affine": variant("ablation", "affine maps in place of perspective ones", build_affine),
    "all_labels": variant(
        "oracle",
        "all training images labelled, steps of both stages",
        functools.partial(build_supervised, stage="both"),
        learnt_from_all_labels,
        label="HRNet, 100 %",
    ),
}
