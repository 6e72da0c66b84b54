"""The errors of predictions that experiments report: relative to a reference length, and in original pixels."""
from collections.abc import Sequence

import numpy as np

from kpjax import geometry, metrics
from kpjax.errors import InputError
from kpjax.structures import Skeleton
from kpjax.training.evaluation import Gathered


def box_side(points: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The longer side (N,) of the tight box around the visible points (N, K, 2), 1 for an image without any."""
    there = (np.asarray(visible) > 0)[..., None]
    highest = np.where(there, points, -np.inf).max(1, initial=-np.inf)
    lowest = np.where(there, points, np.inf).min(1, initial=np.inf)
    return np.where(there.any((1, 2)), (highest - lowest).max(-1, initial=0.0, where=np.isfinite(highest)), 1.0)


def keypoint_errors(
    found: Gathered, points: Skeleton, name: str, *, threshold: float, lengths: np.ndarray | None = None,
    strict: bool = True, pooled: bool = False, uncounted: Sequence[str] = (), details: bool = False,
) -> dict[str, float]:
    """PCK and NME relative to a length, distance and MAE in pixels of the original pictures, under `name/`.

    lengths: (N,) px of the source's images; the examples' `scale` if not given. strict: whether a distance of exactly
    threshold * length is a miss. pooled: the mean over all points rather than over keypoints. uncounted: keypoints
    that are left out of every mean. details: PCK and NME also per keypoint and per group of keypoints.
    Raises InputError if none of the keypoints would count.
    """
    lengths = found.scale if lengths is None else lengths
    counted = np.array([keypoint not in uncounted for keypoint in points.names], np.float32)
    if not counted.any():
        raise InputError(f"{name}: all {len(points.names)} keypoints are left out of the mean; count at least one")
    visible = found.visible * counted
    there, truth = (np.asarray(geometry.move_points(found.crop, keypoints))
                    for keypoints in (found.keypoints, found.true_keypoints))
    pck = metrics.pck(found.keypoints, found.true_keypoints, visible, lengths, threshold=threshold, strict=strict)
    nme = metrics.nme(found.keypoints, found.true_keypoints, visible, lengths)
    pixels = metrics.nme(there, truth, visible, np.ones(len(truth), np.float32))
    mae = metrics.mae(there, truth, visible, 1.0).mean
    values = {f"{name}/{measure}": result.pooled if pooled else result.overall
              for measure, result in (("pck", pck), ("nme", nme), ("distance", pixels), ("mae", mae))}
    if details:
        for measure, result in (("pck", pck), ("nme", nme)):
            values |= metrics.by_keypoint(f"{name}/{measure}", result.per_keypoint, points)
            values |= metrics.by_group(f"{name}/{measure}_group", result.per_keypoint, points)
    return values
