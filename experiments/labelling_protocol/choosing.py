"""What is known of pictures without labels, and which of them a row takes."""
from typing import NamedTuple

import numpy as np
from scipy import stats

from kpjax.structures import Example
from kpjax.suggest import criteria
from kpjax.suggest.equivariance import Predict, predicted_under, turns
from kpjax.suggest.selection import choose, thumbnail
from kpjax.training.evaluation import Gathered

BAD = 0.1  # of the usual diagonal: a picture whose mean error is larger is a bad one


class Seen(NamedTuple):
    """What a criterion may read."""

    labelled: Example  # the first pictures, stacked
    images: np.ndarray  # (N, S, S, 3) uint8, those without labels
    found: Gathered  # what the first network predicts on them
    predict: Predict
    others: np.ndarray | None  # (N, K, 2), what a second network predicts
    diagonal: float  # px, of the labelled pictures


def usual_diagonal(keypoints: np.ndarray, visible: np.ndarray) -> float:
    """The median diagonal of the boxes around the visible keypoints of each picture; (N, K, 2), (N, K) -> px."""
    seen = np.where(visible[..., None] > 0, keypoints, np.nan)[(visible > 0).sum(-1) > 1]
    return float(np.median(np.linalg.norm(np.nanmax(seen, 1) - np.nanmin(seen, 1), axis=-1)))


def picture_errors(found: Gathered) -> np.ndarray:
    """(N,) px: the mean distance of a picture's visible keypoints; nan without one."""
    seen = found.visible > 0
    distance = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    return np.where(seen.any(-1), (distance * seen).sum(-1) / np.maximum(seen.sum(-1), 1), np.nan)


def values_of(criterion: str, seen: Seen) -> np.ndarray:
    """(N,): how much each picture would teach by a criterion. `oracle` alone reads its labels."""
    points = seen.found.keypoints
    if criterion == "score":
        return criteria.low_score(seen.found.scores)
    if criterion == "oracle":
        return picture_errors(seen.found)
    if criterion == "disagreement":
        return criteria.disagreement(np.stack([points, seen.others]), seen.diagonal)
    if criterion == "poses":
        poses = criteria.usual_poses(seen.labelled.keypoints, seen.labelled.visible)
        return np.zeros(len(points)) if poses is None else criteria.unusual_pose(points, poses, seen.diagonal)
    back, counted = predicted_under(seen.predict, seen.images, points, turns(seen.images.shape[1]))
    return criteria.equivariance_error(points, back, counted, seen.diagonal)


def chosen_by(variant: str, seen: Seen, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(numbers of the hidden pictures that a row takes, the values by which it does)."""
    if variant == "random":
        return np.random.default_rng([seed, 1]).permutation(len(seen.images))[:count], None
    features, taken = (np.stack([thumbnail(image) for image in images])
                       for images in (seen.images, seen.labelled.image))
    values = None if variant == "diversity" else values_of(variant.removesuffix("_diverse"), seen)
    return choose(values, features, count, diverse=variant.endswith("_diverse"), taken=taken), values


def measures(seen: Seen, chosen: np.ndarray, values: np.ndarray | None) -> dict[str, float]:
    """How bad the first network was on what was chosen, and how well the criterion knew."""
    errors = picture_errors(seen.found) / seen.diagonal
    judged = np.isfinite(errors)
    picked = errors[chosen][judged[chosen]]
    told = {"hidden/error": float(errors[judged].mean()), "hidden/bad_share": float((errors[judged] > BAD).mean())}
    if len(picked):
        told |= {"chosen/error_ratio": float(picked.mean()) / told["hidden/error"],
                 "chosen/bad_share": float((picked > BAD).mean())}
    if values is not None and np.ptp(errors[known := judged & np.isfinite(values)]) and np.ptp(values[known]):
        told["hidden/spearman"] = float(stats.spearmanr(values[known], errors[known]).statistic)
    return told
