"""Scores from which predicted keypoints are shown, one for each keypoint.

A predicted point should be shown if the keypoint is there and the point lies near it. It should be
hidden if the keypoint is absent, or the point is elsewhere. Labelled frames have both kinds: points
near their labels, and points far off or in cells that the labeller left empty. A cutoff is chosen
such that the share of wrong points that it hides, less that of right ones, is largest (the index of
Youden 1950), among those that hide few right points.

A keypoint often has few of either kind. Both shares are therefore estimated with those of all
keypoints together as a prior that weighs as much as some points of its own (the mean of a beta
distribution): with n points of which h are hidden, and a share p of all, (h + pool p) / (n + pool).
A keypoint with many labels decides for itself, one with none has the cutoff of all, and one whose
scores are lower than those of the others is not hidden, as soon as its own labels say so.
"""

import numpy as np

HIDDEN = 0.1  # share of the right points, at most
POOL = 10.0  # points of its own that weigh as much as those of all keypoints


def keypoint_cutoffs(
    scores: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
    *,
    hidden: float | np.ndarray = HIDDEN,
    pool: float = POOL,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Chooses the score (K,) float64 from which each keypoint is shown; -inf of all with too few right
    points.

    A cutoff lies half-way between two scores. Below the lowest score of a right point of any
    keypoint nothing is shown: the next lower score of a wrong one is hidden, and without one the
    lowest itself is the cutoff: that hides one of n + 1 new points, so that there must be enough.
    Of equally good cutoffs it is the lowest.

    Args:
        scores: (N, K), of predictions on labelled animals that trained nothing, higher is more
            certain. Those that are not finite count nowhere.
        right: (N, K) bool, predictions near their labels.
        wrong: (N, K) bool, predictions far from their labels, and those of keypoints that are absent. What is
            neither counts nowhere.
        hidden: the largest share of a keypoint's right points that may be hidden; or (K,).
        pool: how many points of its own the shares of all keypoints weigh.
        weights: (N,) of the animals in all shares, less for those that trained; 1 for each if None.
    """
    scores = np.asarray(scores, np.float64)
    finite = np.isfinite(scores)
    right = np.asarray(right, bool) & finite
    wrong = np.asarray(wrong, bool) & finite
    known = np.unique(scores[right | wrong])
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    of_each = np.broadcast_to(hidden, scores.shape[1:])
    counted = float((right * weight[:, None]).sum())
    lowest_right = scores[right].min(initial=np.inf)
    lowest = int(np.searchsorted(known, lowest_right))
    too_few = (counted + 1) * of_each.min() < 1 - 1e-9
    if not counted or (lowest == 0 and too_few):
        return np.full(scores.shape[1], -np.inf)
    halfway = (known[1:] + known[:-1]) / 2
    tried = np.concatenate([known[:1], halfway])[lowest:]

    def hidden_by(of_kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (K, T) the share of each keypoint's points of a kind that lies below each tried
        cutoff, and the same with those of all keypoints as a prior.
        """
        below = []
        for column, there in zip(scores.T, of_kind.T, strict=True):
            order = np.argsort(column[there], kind="stable")
            summed = np.concatenate([[0.0], np.cumsum(weight[there][order])])
            below.append(summed[np.searchsorted(column[there][order], tried)])
        below = np.stack(below)
        counts = (of_kind * weight[:, None]).sum(0)[:, None]
        of_all = below.sum(0) / max(counts.sum(), 1)
        own = below / np.maximum(counts, 1)
        pooled = (below + pool * of_all) / (counts + pool)
        return own, pooled

    own, right_hidden = hidden_by(right)
    _, wrong_hidden = hidden_by(wrong)
    few = np.maximum(own, right_hidden) <= of_each[:, None]
    cost = np.where(few, right_hidden - wrong_hidden, np.inf)
    return tried[cost.argmin(1)]
