"""New keypoints as fixed combinations of those that a network finds: the control of KAMP that trains nothing.

    y_new = sum_p w_p y_p,   sum_p w_p = 1

of the points y_p that the old model finds in an image, so that y_new moves, turns and stretches with them. What KAMP
lets a network learn from images, that new keypoints and old ones determine each other, is taken literally here. Old
keypoints stay as they are. A new one that the old ones do not determine, such as a tool in a hand, has no such w.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError
from kpjax.structures import Example, Prediction, Trained

REACH = 0.1  # of the extent of the known keypoints: distances from which a label counts much less
RIDGES = tuple(10.0**power for power in np.arange(-3, 1.5, 0.5))
ROUNDS = 8  # of reweighting
FOLDS = 10


class Combination(NamedTuple):
    """The weights of one new keypoint."""

    weights: np.ndarray  # (P,) float64, of the known keypoints; they sum to 1
    ridge: float
    missed: float  # mean over labels that a fold left out, of min(distance / (REACH extent), 1)


def fit_combination(known: np.ndarray, labels: np.ndarray) -> Combination:
    """Fits one new keypoint's weights, near the mean of all known keypoints where labels do not tell:

        min over w with sum_p w_p = 1 of   sum_i rho(|sum_p w_p y_ip - t_i| / s_i) + ridge |w - 1/P|²

    s_i is the diagonal of the box around all y_ip, and rho(r) = r² / (1 + (r / REACH)²), so that an image on which the
    network is wrong counts little; minimised by `ROUNDS` of weighted least squares in numpy, float64. The ridge is that
    with which labels are missed least that a fit has not seen: of as many folds as labels, `FOLDS` at most, the i-th
    label in fold i modulo their number. With one label the largest ridge is taken.

    Args:
        known: (N, P, 2), what the network finds in each image, px.
        labels: (N, 2), px of the same frame.

    Raises InputError if there is no label.
    """
    if not len(labels):
        raise InputError("combination", "a new keypoint has no label; label it on some images")
    known, labels = np.asarray(known, np.float64), np.asarray(labels, np.float64)
    middle, extent = known.mean(1), np.linalg.norm(np.ptp(known, axis=1), axis=1)[:, None]
    extent = np.maximum(extent, 1e-6)
    rows, targets = (known - middle[:, None]) / extent[..., None], (labels - middle) / extent

    def solved(some: np.ndarray, ridge: float) -> np.ndarray:
        """Returns w - 1/P: rows sum to 0, so w may be shifted to a sum of 1 without a change."""
        design, target = rows[some].transpose(0, 2, 1), targets[some]
        change = np.zeros(known.shape[1])
        for _ in range(ROUNDS):
            distance = np.linalg.norm(target - design @ change, axis=1)
            trust = 1 / (1 + (distance / REACH) ** 2) ** 2
            normal = np.einsum("ndp,n,ndq->pq", design, trust, design) + ridge * np.eye(len(change))
            change = np.linalg.solve(normal, np.einsum("ndp,n,nd->p", design, trust, target))
        return change - change.mean()

    def missed(ridge: float) -> float:
        folds = np.arange(len(labels)) % min(FOLDS, len(labels))
        return float(np.mean(np.concatenate([np.minimum(np.linalg.norm(
            targets[folds == fold] - rows[folds == fold].transpose(0, 2, 1) @ solved(folds != fold, ridge),
            axis=1) / REACH, 1) for fold in range(folds.max() + 1)])))

    found = [missed(ridge) for ridge in RIDGES] if len(labels) > 1 else [1.0]
    best = int(np.argmin(found)) if len(labels) > 1 else -1
    change = solved(np.ones(len(labels), bool), RIDGES[best])
    return Combination(change + 1 / len(change), RIDGES[best], found[best])


def with_combinations(before: np.ndarray, combinations: Sequence[Combination], *, known: Sequence[int],
                      new: Sequence[int]) -> np.ndarray:
    """Returns the matrix (K, K) from a network's K points to all keypoints, with the rows of the new ones.

    before: the matrix so far, at first the identity; combinations weigh the points after it. known, new: numbers of
    keypoints, in the order of the weights and of the combinations.
    """
    after = np.array(before, np.float32)
    for number, combination in zip(new, combinations, strict=True):
        after[number] = combination.weights @ before[list(known)]
    return after


def combined_predict(predict: Callable[[Trained, Example], Prediction]) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that multiplies keypoints by `frozen["combination"]` (K, K), where that is there.

    The score of a combined keypoint is the mean of the others', by the size of their weights. Its heatmaps are 0.
    """
    def combined(state: Trained, example: Example) -> Prediction:
        found, matrix = predict(state, example), state.frozen.get("combination")
        if matrix is None:
            return found
        sizes = jnp.abs(matrix)
        own = (jnp.diag(sizes) == sizes.sum(1))[None, None, None]
        return Prediction(
            jnp.einsum("kp,bpd->bkd", matrix, found.keypoints, precision="highest"),
            found.scores @ (sizes / sizes.sum(1, keepdims=True)).T,
            jax.tree.map(lambda maps: jnp.where(own, maps, 0) if maps.shape[-1] == own.size else maps, found.heatmaps))

    return combined
