"""Errors of predictions: relative to a reference length, and in original pixels."""

from collections.abc import Sequence

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.evaluation import metrics
from kpjax.evaluation.contours import contour_errors
from kpjax.heatmaps import geometry
from kpjax.training.evaluation import Gathered


def keypoint_errors(
    found: Gathered,
    skeleton: Skeleton,
    name: str,
    *,
    threshold: float,
    pooled: bool = False,
    uncounted: Sequence[str] = (),
    contours: Sequence[str] = (),
    details: bool = False,
) -> dict[str, float]:
    """Computes PCK and NME relative to `scale`, distance and MAE in pixels of the original images,
    under `name/`.

    threshold: of PCK, in units of `scale`; a distance of exactly threshold * scale is a hit.
    pooled: whether means go over all labelled keypoints of all images at once rather than over
    keypoints. uncounted: keypoints that are left out of every mean. contours: groups of the
    skeleton that sample a contour each; the distance between contours (`kpjax.evaluation.contours`)
    is also computed, in units of `scale`. details: PCK and NME by keypoint, too. Raises InputError
    if none of the keypoints would count, or the skeleton has no such group.
    """
    counted = np.array([keypoint not in uncounted for keypoint in skeleton.names], np.float32)
    if not counted.any():
        raise InputError(
            f"{name}: all {len(skeleton.names)} keypoints are left out of the mean; count at least one"
        )
    visible = found.visible * counted
    there = np.asarray(geometry.move_points(found.crop, found.keypoints))
    truth = np.asarray(geometry.move_points(found.crop, found.true_keypoints))
    pck = metrics.pck(
        found.keypoints,
        found.true_keypoints,
        visible,
        found.scale,
        threshold=threshold,
        strict=False,
    )
    nme = metrics.nme(found.keypoints, found.true_keypoints, visible, found.scale)
    unit = np.ones(len(truth), np.float32)
    pixels = metrics.nme(there, truth, visible, unit)
    mae = metrics.mae(there, truth, visible, 1.0).mean
    values = {
        f"{name}/{measure}": result.pooled if pooled else result.overall
        for measure, result in (("pck", pck), ("nme", nme), ("distance", pixels), ("mae", mae))
    }
    if contours:
        unknown = [group for group in contours if group not in skeleton.groups]
        if unknown:
            raise InputError(
                "contours",
                f"{unknown[0]!r} is no group of keypoints; the skeleton has "
                f"{', '.join(skeleton.groups) or 'none'}",
            )
        lines = [skeleton.groups[group] for group in contours]
        values[f"{name}/contour"] = float(
            np.nanmean(
                contour_errors(found.keypoints, found.true_keypoints, visible, found.scale, lines)
            )
        )
    if details:
        for measure, result in (("pck", pck), ("nme", nme)):
            values |= metrics.by_keypoint(f"{name}/{measure}", result.per_keypoint, skeleton)
    return values
