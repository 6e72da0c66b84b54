"""Linear probes: the part of the annotated pose that is a linear function of discovered keypoints.

A linear probe flatters: any few dozen numbers that move with the image fit joints to some degree.
Compare its error with those of an untrained network, of `mean_pose` and of `image_moments`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np
import scipy  # its modules are loaded where they are first used
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise
from kpjax.evaluation.probes.splits import Split

# Directions in which features vary less than this share of their strongest are rounding noise of
# float32 coordinates, for example of points that do not move. They get no slope.
RESOLUTION = 1e-6


class LinearMap(NamedTuple):
    """features @ slope + offset."""

    slope: np.ndarray  # (F, T) float64
    offset: np.ndarray  # (T,) float64, 0 without an intercept

    def __call__(self, features: ArrayLike) -> np.ndarray:
        """Maps (N, F) to (N, T) float64."""
        return np.asarray(features, np.float64) @ self.slope + self.offset


def fit_linear(
    features: ArrayLike, targets: ArrayLike, *, intercept: bool = True, ridge: float = 0.0
) -> LinearMap:
    """Fits least squares in float64: features (N, F) to targets (N, T).

    Where the solution is not unique it is the one of least norm.

    Args:
        intercept: without one the result depends on the origin of coordinates (IMM's code fits
            without one in pixels, BKinD's in [-1, 1]).
        ridge: weight of the squared slopes beside the sum of squared errors (scikit-learn's
            `alpha`); an intercept is not penalised.

    Raises:
        InputError: for no example, and for a negative ridge.
    """
    x = np.asarray(features, np.float64)
    y = np.asarray(targets, np.float64)
    chex.assert_rank([x, y], 2)
    chex.assert_equal_shape([x, y], dims=0)
    if len(x) == 0:
        raise InputError("linear probe: there is no example to fit; give it some")
    if not ridge >= 0:
        raise InputError(f"linear probe: ridge is {ridge:g}; must be at least 0")
    centre, level = (
        (x.mean(0), y.mean(0)) if intercept else (np.zeros(x.shape[1]), np.zeros(y.shape[1]))
    )
    if x.shape[1] == 0:
        return LinearMap(np.zeros((0, y.shape[1])), level)
    rows = x - centre
    goals = y - level
    if ridge:  # as more examples, whose condition is the root of that of the normal equations
        ridge_rows = np.sqrt(ridge) * np.eye(x.shape[1])
        ridge_goals = np.zeros((x.shape[1], y.shape[1]))
        rows = np.concatenate([rows, ridge_rows])
        goals = np.concatenate([goals, ridge_goals])
    slope, *_ = scipy.linalg.lstsq(rows, goals, cond=RESOLUTION)
    return LinearMap(slope, level - centre @ slope)


def linear_probe(
    features: ArrayLike,
    true: ArrayLike,
    visible: ArrayLike,
    split: Split,
    *,
    intercept: bool = True,
    ridge: float = 0.0,
) -> np.ndarray:
    """Predicts joints (N, J, 2) float64 of all examples, linear in the features, fitted on one side
    of the split.

    Source: Keypoint Pyramids (Qian et al. 2022), section 4, after Thewlis et al. 2017.

    Args:
        features: (N, F), or discovered points (N, K, 2), in any unit.
        true: (N, J, 2), (x, y); the result is in its unit.
        visible: (N, J), above 0.5 where a joint is labelled; others are not read, and each joint is
            fitted on the examples that show it.
        intercept, ridge: see `fit_linear`.

    Raises:
        InputError: for features that are not finite, and for a joint that no fitted example shows.
    """
    features = np.asarray(features, np.float64)
    chex.assert_rank(features, {2, 3})
    true = np.asarray(true, np.float64)
    shown = np.asarray(visible) > 0.5
    chex.assert_shape(true, (len(features), None, 2))
    chex.assert_shape(shown, true.shape[:2])
    features = features.reshape(len(features), -1)
    finite = np.isfinite(features).all(1)
    wrong = [f"example {number}" for number in np.flatnonzero(~finite)]
    if wrong:
        raise InputError(
            f"linear probe: the features of {len(wrong)} examples are not finite ({summarise(wrong)}); "
            "leave them out"
        )
    fitted_joints = shown[split.fit].any(0)
    hidden = [f"joint {joint}" for joint in np.flatnonzero(~fitted_joints)]
    if hidden:
        raise InputError(
            f"linear probe: no fitted example shows {summarise(hidden)}; choose another split or leave "
            "these joints out"
        )
    predicted = np.empty_like(true)
    # Joints that the same examples show are fitted together: all of them at once where every joint
    # is labelled.
    patterns, kind = np.unique(shown[split.fit], axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        joints = np.flatnonzero(kind == number)
        rows = split.fit[pattern]
        fitted = fit_linear(
            features[rows],
            true[rows][:, joints].reshape(len(rows), -1),
            intercept=intercept,
            ridge=ridge,
        )
        coordinates = fitted(features)
        predicted[:, joints] = coordinates.reshape(len(true), len(joints), 2)
    return predicted


def best_ridge(
    features: ArrayLike,
    true: ArrayLike,
    visible: ArrayLike,
    fit: np.ndarray,
    groups: ArrayLike,
    ridges: Sequence[float],
) -> float:
    """Chooses the ridge with which `linear_probe` misses groups least that it was not fitted on; of
    equals the first.

    Each group of the fitted side is left out once, so that no example of the tested side is read.
    Joints count in a group where the others show them.

    Args:
        features, true, visible: as for `linear_probe`.
        fit: the numbers of the examples on the fitted side.
        groups: (N,), the group of each example, for example its video.
        ridges: to choose from.

    Raises:
        InputError: for no ridge, for fewer than two groups, and for features that are not finite.
    """
    groups = np.asarray(groups)
    names = np.unique(groups[fit])
    if not ridges or len(names) < 2:
        raise InputError(
            f"linear probe: {len(ridges)} ridges and {len(names)} groups to choose by; give at least one "
            "and two"
        )
    true = np.asarray(true, np.float64)
    shown = np.asarray(visible) > 0.5
    chex.assert_shape(groups, true.shape[:1])

    def missed(ridge: float) -> float:
        squares = 0.0
        for name in names:
            left_out = fit[groups[fit] == name]
            others = fit[groups[fit] != name]
            joints = shown[others].any(0)
            if not joints.any():
                continue
            goals = true[:, joints]
            labelled = shown[:, joints]
            guess = linear_probe(features, goals, labelled, Split(others, left_out), ridge=ridge)
            errors = np.square(guess - goals)[left_out]
            squares += float(errors[labelled[left_out]].sum())
        return squares

    return ridges[int(np.argmin([missed(ridge) for ridge in ridges]))]


def mean_pose(true: ArrayLike, visible: ArrayLike, split: Split) -> np.ndarray:
    """Returns the mean position of every joint on the fitted side, for all examples: (N, J, 2)
    float64.

    It is `linear_probe` without features, so its error shows the spread of the poses alone.
    """
    no_features = np.zeros((len(np.asarray(true)), 0))
    return linear_probe(no_features, true, visible, split)
