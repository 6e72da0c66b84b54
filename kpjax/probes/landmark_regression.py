"""How much discovered landmarks say about annotated ones and the other way round, by regressors fitted on few images.

Forward errors are of the annotation regressed from the discovered landmarks: they stay low as long as a few of these
follow the object. Backward errors are of the discovered landmarks regressed from the annotation: they rise with every
one that jumps about, and fall to 0 where all rest on one spot. So neither is shown without the other, nor without the
signs of a collapse (`kpjax.probes.landmark_measures`).

Source: "Object landmark discovery through unsupervised adaptation" (NeurIPS 2019), section 4, and its code.
"""
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError
from kpjax.metrics import nme
from kpjax.probes.landmark_lengths import Normaliser
from kpjax.probes.linear import LinearMap, fit_linear

Regressor = Callable[[np.ndarray, np.ndarray], LinearMap]  # features (N, F), targets (N, T), both px -> the map

RESTING = 1e-12  # squared sides of the square: scatter below which points do not move at all
ALL = None  # in place of a number of labelled images


class Landmarks(NamedTuple):
    """Landmarks of N images beside their annotation, (x, y) in pixels of one square."""

    discovered: ArrayLike  # (N, K, 2)
    annotated: ArrayLike  # (N, M, 2); read where visible
    visible: ArrayLike  # (N, M), above 0.5 where annotated


class LandmarkErrors(NamedTuple):
    """Mean distances in percent of each image's length, of one regressor for each subset of labelled images."""

    mean: float  # over the subsets
    deviation: float  # over the subsets, population; 0 for a single one
    per_subset: np.ndarray  # (R,) float64
    per_landmark: np.ndarray  # (P,) float64, the mean over subsets of each landmark that was regressed


def scaled_ridge(side: float, penalty: float = 1e-4) -> Regressor:
    """The paper's regressor: ridge with an intercept, its weight `penalty` times the largest entry of the scatter.

    side: of the square that coordinates are in, in their pixels; it only says what counts as resting (no slopes then).
    penalty: 1e-4 as in the code's notes; its default is 1e-5.
    """
    return partial(_fit_scaled_ridge, side=side, penalty=penalty)


def _fit_scaled_ridge(features, targets, *, side: float, penalty: float) -> LinearMap:
    x, y = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    if len(x) == 0:
        return fit_linear(x, y)  # which says what is wrong
    # The largest entry of a scatter matrix is on its diagonal.
    largest = np.square((x - x.mean(0)) / side).sum(0).max()
    if largest < RESTING:
        return LinearMap(np.zeros((x.shape[1], y.shape[1])), y.mean(0))
    return fit_linear(x, y, ridge=penalty * (largest + RESTING) * side ** 2)


def without_intercept() -> Regressor:
    """IMM's regressor (Jakab et al. 2018): least squares through the origin, the centre of the top-left pixel."""
    return partial(fit_linear, intercept=False)


def labelled_subsets(total: int, images: int | None, *, repeats: int = 10, seed: int = 0, extra: int = 0) -> np.ndarray:
    """Which of `total` labelled images each regressor is fitted on: (repeats, images + extra) int64, drawn without
    replacement; (1, total), all of them in order, for `images` = ALL.

    The draws depend on seed and repeat only, and those of fewer images are contained in those of more, so that all
    methods and all numbers of images see the same. extra: 1 for the released code, which takes one image more than it
    says. Raises InputError for more images than there are, or none.
    """
    if images is ALL:
        return np.arange(total)[None]
    wanted = images + extra
    if images < 1 or repeats < 1:
        raise InputError(f"regressor: {images} labelled images and {repeats} repeats are asked for; at least 1 each")
    if wanted > total:
        raise InputError(f"regressor: {wanted} labelled images are asked for, there are {total} with every landmark "
                         f"annotated; ask for at most {total - extra}, or for all")
    return np.stack([np.random.default_rng([seed, repeat]).permutation(total)[:wanted] for repeat in range(repeats)])


def forward_errors(
    fit: Landmarks, test: Landmarks, normaliser: Normaliser, subsets: np.ndarray, regressor: Regressor
) -> LandmarkErrors:
    """Errors of the annotated landmarks of `test`, regressed from the discovered ones.

    fit: the labelled images; subsets: (R, n) numbers of these, counting only the images that show every landmark, as
    `complete` gives them. normaliser: the length that an image's errors are percent of (see
    `kpjax.probes.landmark_lengths`). Images of `test` that hide a landmark take no part. Raises InputError where none
    is left.
    """
    return _errors(fit, test, normaliser, subsets, regressor, forward=True)


def backward_errors(
    fit: Landmarks, test: Landmarks, normaliser: Normaliser, subsets: np.ndarray, regressor: Regressor
) -> LandmarkErrors:
    """Errors of the discovered landmarks of `test`, regressed from the annotated ones. See `forward_errors`."""
    return _errors(fit, test, normaliser, subsets, regressor, forward=False)


def both_errors(
    fit: Landmarks, test: Landmarks, *, normaliser: Normaliser, regressor: Regressor,
    images: Sequence[int | None] = (10, 50, 100, ALL), repeats: int = 10, seed: int = 0, extra: int = 0,
) -> dict[str, LandmarkErrors]:
    """`forward/<images>` and `backward/<images>` for each number of labelled images, `all` where it is ALL.

    Landmarks that no image of either set shows are left out. repeats, seed, extra: see `labelled_subsets`.
    Raises InputError for more labelled images than there are, and as `forward_errors` does.
    """
    total = len(complete(fit, "fitted"))
    drawn = {"all" if count is ALL else str(count):
             labelled_subsets(total, count, repeats=repeats, seed=seed, extra=extra) for count in images}
    return {f"{name}/{count}": errors(fit, test, normaliser, subsets, regressor)
            for name, errors in (("forward", forward_errors), ("backward", backward_errors))
            for count, subsets in drawn.items()}


def complete(landmarks: Landmarks, which: str) -> np.ndarray:
    """The numbers of the images that show every landmark that any of them shows, rising.

    which: what the set is called in messages. Raises InputError if there is none.
    """
    shown = np.asarray(landmarks.visible) > 0.5
    labelled = shown.any(0) if len(shown) else np.zeros(0, bool)
    rows = np.flatnonzero(shown[:, labelled].all(1)) if labelled.any() else np.zeros(0, np.int64)
    if not len(rows):
        raise InputError(f"regressor: none of the {len(shown)} {which} images shows all of its {shown.shape[-1]} "
                         f"annotated landmarks; label some, or choose another split")
    return rows


def _errors(fit: Landmarks, test: Landmarks, normaliser, subsets, regressor, *, forward: bool) -> LandmarkErrors:
    fitted, tested = _rows(fit, complete(fit, "fitted")), _rows(test, complete(test, "test"))
    lengths = normaliser(tested.annotated, tested.visible)
    labelled = fitted.visible.any(0) & tested.visible.any(0)
    pairs = [(part.discovered, part.annotated[:, labelled]) for part in (fitted, tested)]
    (x, y), (x_test, y_test) = pairs if forward else [pair[::-1] for pair in pairs]
    found = []
    for rows in subsets:
        regressed = regressor(_flat(x[rows]), _flat(y[rows]))(_flat(x_test)).reshape(y_test.shape)
        found.append(nme(regressed, y_test, np.ones(y_test.shape[:2]), lengths))
    means = 100 * np.array([error.overall for error in found])
    return LandmarkErrors(float(means.mean()), float(means.std()), means,
                          100 * np.mean([error.per_keypoint for error in found], axis=0))


def _rows(landmarks: Landmarks, rows: np.ndarray) -> Landmarks:
    return Landmarks(np.asarray(landmarks.discovered, np.float64)[rows],
                     np.asarray(landmarks.annotated, np.float64)[rows], np.asarray(landmarks.visible)[rows] > 0.5)


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1)
