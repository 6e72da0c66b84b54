"""Measures of RegDA: PCK and errors in both domains, and the columns of the table."""

from collections.abc import Mapping

import jax
import numpy as np

from kpjax import Skeleton
from kpjax.evaluation import metrics
from kpjax.evaluation.contours import contour_errors
from kpjax.heatmaps import keypoint_cells
from kpjax.papers.regda.config import Config
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered

# beside the last
CHOICES = {"best_validation": "best validation step", "best_target": "best test step"}
HAND_GROUPS, BODY_GROUPS = (
    ("all", "MCP", "PIP", "DIP", "fingertip"),
    ("all", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
)
# in the paper, by source
PRINTED_GROUPS = {"rhd": HAND_GROUPS, "freihand": HAND_GROUPS, "surreal": BODY_GROUPS}

_cells = jax.jit(keypoint_cells, static_argnames=("image_size", "heatmap_size", "grid"))


def errors(
    predictions: Mapping[str, Gathered],
    skeleton: Skeleton,
    config: Config,
    *,
    details: bool = False,
) -> dict[str, float]:
    """Computes PCK and MAE of each set, and PCK as the authors count it; with details also per
    keypoint and group.
    """
    side, size, values = config.data.image_size, config.heatmaps.heatmap_size, {}
    for name, found in predictions.items():
        over = (
            found.scale
            if config.pck_over == "scale"
            else np.full(len(found.index), side, np.float32)
        )
        pck = metrics.pck(
            found.keypoints,
            found.true_keypoints,
            found.visible,
            over,
            threshold=config.pck_threshold,
        )
        mae = metrics.mae(found.keypoints, found.true_keypoints, found.visible, config.mae_unit)
        predicted, true = (
            np.asarray(
                _cells(
                    points,
                    image_size=(side, side),
                    heatmap_size=(size, size),
                    grid=config.heatmaps.grid,
                )
            )
            for points in (found.keypoints, found.true_keypoints)
        )
        cells = {
            "map_size": size,
            "predicted_cells": predicted,
            "true_cells": true * (found.visible[..., None] > 0),
        }
        groups = {"all": tuple(range(len(skeleton.names))), **skeleton.groups}
        batchwise = metrics.pck_batchwise(
            **cells, groups=groups if details else {"all": groups["all"]}
        )
        values |= {
            f"{name}/pck": pck.overall,
            f"{name}/mae": mae.sum.overall if config.data.sprites else mae.mean.overall,
            **{f"{name}/pck_batchwise/{group}": value for group, value in batchwise.items()},
        }
        if config.contours:
            lines = [skeleton.groups[group] for group in config.contours]
            values[f"{name}/contour"] = float(
                np.nanmean(
                    contour_errors(
                        found.keypoints, found.true_keypoints, found.visible, over, lines
                    )
                )
            )
        if details:
            values |= metrics.by_keypoint(f"{name}/pck", pck.per_keypoint, skeleton)
    return values


def columns(config: Config) -> tuple[Column, ...]:
    """Returns PCK first, except on sprites, where the paper counts the error."""
    length = {"side": "the side", "scale": "the reference length"}[config.pck_over]
    over = f"PCK at {100 * config.pck_threshold:g} % of {length}"
    pck, source = (
        Column("target/pck", f"target {over}", "%", 100.0),
        Column("source/pck", "source PCK", "%", 100.0),
    )
    error = Column("target/mae", "target MAE", "px", 1.0, 2, "lower")
    first, *others = (
        (error._replace(title="target MAE, x + y", unit="", decimals=3), pck)
        if config.data.sprites
        else (
            pck,
            *(
                [
                    Column(
                        "target/contour",
                        "target distance of contours, reference length",
                        "%",
                        100.0,
                        2,
                        "lower",
                    )
                ]
                if config.contours
                else []
            ),
            error,
        )
    )
    heading = "MAE" if config.data.sprites else "PCK"
    return (
        first,
        *others,
        source,
        *(
            first._replace(metric=f"{name}/{first.metric}", title=f"{heading}, {words}")
            for name, words in CHOICES.items()
        ),
        *(
            Column(f"target/pck_batchwise/{group}", f"{group}, as the authors count", "%", 100.0)
            for group in PRINTED_GROUPS.get(config.data.source, ())
        ),
    )
