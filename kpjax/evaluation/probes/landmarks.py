"""Evaluation of discovered landmarks against annotated ones: errors of regressors, consistency, and
signs of collapse.

Errors are in percent of a length of each image: the distance of the eyes or of two other landmarks,
or the object's size. A face nearly in profile has eyes that nearly coincide, and one such image can
outweigh hundreds of others; `median` gives every image the set's median length instead.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise
from kpjax.evaluation.degeneracy import median_spread, point_spread, varying_points
from kpjax.evaluation.metrics import distance_between, nme
from kpjax.evaluation.probes.linear import LinearMap, fit_linear
from kpjax.images.boxes import turned_canvas
from kpjax.structures import Skeleton

# annotated (N, M, 2) px, visible (N, M) -> (N,) px
Normaliser = Callable[[ArrayLike, ArrayLike], np.ndarray]
# features (N, F), targets (N, T), both px -> the map
Regressor = Callable[[np.ndarray, np.ndarray], LinearMap]

# centres of five points, outer corners of 68
EYES = (("left_eye", "right_eye"), ("right_eye_0", "left_eye_3"))
RESTING = 1e-12  # squared sides of the square: scatter below which points do not move at all
ALL = None  # in place of a number of labelled images
DEVIATION = 15.0  # deviation of a turn, in degrees
WIDEST = 40.0  # degrees at which the first turn is cut off; the second is not
LEAST_LIVE = 0.8  # share of the landmarks that vary
LEAST_SPREAD = 0.5  # share of the spread of the annotated landmarks


# Lengths that errors are measured in


def between(skeleton: Skeleton, first: str, second: str, *, median: bool = False) -> Normaliser:
    """Builds the normaliser by the distance between two named landmarks of each image, or, with
    `median`, their median.

    The normaliser raises InputError if an image does not show both, or, with `median`, if none
    does. Raises InputError if the skeleton lacks either landmark.
    """
    ends = [skeleton.index(name) for name in (first, second)]

    def lengths(annotated: ArrayLike, visible: ArrayLike) -> np.ndarray:
        shown = (np.asarray(visible)[:, ends] > 0.5).all(1)
        if not shown.any() or not (median or shown.all()):
            without = [f"number {number}" for number in np.flatnonzero(~shown)]
            raise InputError(
                "lengths",
                f"{len(without)} of {len(shown)} images have no annotation of {first} and "
                f"{second}, whose distance errors are measured in ({summarise(without)}); annotate them, "
                "leave these images out or choose another length",
            )
        distances = np.where(shown, distance_between(annotated, *ends), np.nan)
        return _by_set(distances, median)

    return lengths


def between_eyes(skeleton: Skeleton, *, median: bool = False) -> Normaliser:
    """Builds `between` of the eyes, for 68 points of their outer corners.

    Raises InputError without eyes.
    """
    known = [pair for pair in EYES if set(pair) <= set(skeleton.names)]
    if not known:
        raise InputError(
            "lengths",
            f"errors are to be measured in distances between eyes, and the landmarks are "
            f"{summarise(list(skeleton.names), shown=20) or 'none'}; name two of them, or choose the "
            "object's size",
        )
    return between(skeleton, *known[0], median=median)


def object_size(*, median: bool = False) -> Normaliser:
    """Builds the normaliser by the root of the area of the box around the two or more landmarks
    shown.
    """

    def lengths(annotated: ArrayLike, visible: ArrayLike) -> np.ndarray:
        shown = np.asarray(visible) > 0.5
        few = [f"number {number}" for number in np.flatnonzero(shown.sum(1) < 2)]
        if few:
            raise InputError(
                "lengths",
                f"{len(few)} of {len(shown)} images show fewer than two landmarks, whose box "
                f"errors are measured in ({summarise(few)}); leave them out",
            )
        points = np.asarray(annotated, np.float64)
        hidden = ~shown[..., None]
        high = np.where(hidden, -np.inf, points).max(1)
        low = np.where(hidden, np.inf, points).min(1)
        area = (high - low).prod(1)
        return _by_set(np.sqrt(area), median)

    return lengths


def constant(length: float) -> Normaliser:
    """Builds the normaliser by the same length in pixels for all images, for example their side."""

    def lengths(annotated: ArrayLike, visible: ArrayLike) -> np.ndarray:
        return np.full(len(np.asarray(annotated)), float(length))

    return lengths


def _by_set(lengths: np.ndarray, median: bool) -> np.ndarray:
    if not median:
        return lengths
    return np.full(len(lengths), np.nanmedian(lengths))


# Errors of regressors fitted on few images


class Landmarks(NamedTuple):
    """Landmarks of N images beside their annotation, (x, y) in pixels of one square."""

    discovered: ArrayLike  # (N, K, 2)
    annotated: ArrayLike  # (N, M, 2); read where visible
    visible: ArrayLike  # (N, M), above 0.5 where annotated


class LandmarkErrors(NamedTuple):
    """Mean distances in percent of each image's length, of one regressor for each subset of
    labelled images.
    """

    mean: float  # over the subsets
    deviation: float  # over the subsets, population; 0 for a single one
    per_subset: np.ndarray  # (R,) float64
    #: (P,) float64, the mean over subsets of each landmark that was regressed
    per_landmark: np.ndarray
    #: (n,) float64, the mean over subsets and landmarks of each image that was tested
    per_image: np.ndarray
    regressed: np.ndarray  # (n, P, 2) float64, px, by the first subset


def scaled_ridge(side: float, penalty: float = 1e-4) -> Regressor:
    """Builds the paper's regressor: ridge with an intercept, weighted by penalty * the scatter's
    largest entry.

    side: of the square of the coordinates, in their pixels; it only defines which points rest (they
    get no slopes).
    penalty: 1e-4 as in the code's notes; the code's default is 1e-5.
    """
    return partial(_fit_scaled_ridge, side=side, penalty=penalty)


def _fit_scaled_ridge(features, targets, *, side: float, penalty: float) -> LinearMap:
    x = np.asarray(features, np.float64)
    y = np.asarray(targets, np.float64)
    if len(x) == 0:
        return fit_linear(x, y)  # raises
    # The largest entry of a scatter matrix is on its diagonal.
    centred = (x - x.mean(0)) / side
    largest = np.square(centred).sum(0).max()
    if largest < RESTING:
        no_slope = np.zeros((x.shape[1], y.shape[1]))
        return LinearMap(no_slope, y.mean(0))
    return fit_linear(x, y, ridge=penalty * (largest + RESTING) * side**2)


def labelled_subsets(
    total: int, images: int | None, *, repeats: int = 10, seed: int = 0, extra: int = 0
) -> np.ndarray:
    """Draws the labelled images that each regressor is fitted on: (repeats, images + extra) int64.

    The draws are without replacement and depend on seed and repeat only. Those of fewer images are
    contained in those of more, so that all methods and all numbers of images see the same. With
    `images` = ALL the result is (1, total), all of them in order. extra: 1 for the released code,
    which takes one image more than it states. Raises InputError for more images than there are, or
    none.
    """
    if images is ALL:
        return np.arange(total)[None]
    wanted = images + extra
    if images < 1 or repeats < 1:
        raise InputError(
            "regressor",
            f"{images} labelled images and {repeats} repeats are asked for; at least 1 each",
        )
    if wanted > total:
        raise InputError(
            "regressor",
            f"{wanted} labelled images are asked for, there are {total} with every landmark "
            f"annotated; ask for at most {total - extra}, or for all",
        )
    subsets = []
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(total)
        subsets.append(order[:wanted])
    return np.stack(subsets)


def forward_errors(
    fit: Landmarks,
    test: Landmarks,
    normaliser: Normaliser,
    subsets: np.ndarray,
    regressor: Regressor,
) -> LandmarkErrors:
    """Computes errors of the annotated landmarks of `test`, regressed from the discovered ones.

    Images of `test` that hide a landmark are left out. subsets: (R, n) numbers of the images of
    `fit` that show every landmark, as `complete` lists them. Raises InputError where no image is
    left.
    """
    return _errors(fit, test, normaliser, subsets, regressor, forward=True)


def backward_errors(
    fit: Landmarks,
    test: Landmarks,
    normaliser: Normaliser,
    subsets: np.ndarray,
    regressor: Regressor,
) -> LandmarkErrors:
    """Computes errors of the discovered landmarks, regressed from the annotated ones; see
    `forward_errors`.
    """
    return _errors(fit, test, normaliser, subsets, regressor, forward=False)


def both_errors(
    fit: Landmarks,
    test: Landmarks,
    *,
    normaliser: Normaliser,
    regressor: Regressor,
    images: Sequence[int | None] = (10, 50, 100, ALL),
    repeats: int = 10,
    seed: int = 0,
    extra: int = 0,
) -> dict[str, LandmarkErrors]:
    """Computes `forward/<images>` and `backward/<images>` for each number of labelled images, `all`
    where it is ALL.

    Landmarks that no image of either set shows are left out. See `forward_errors` and
    `labelled_subsets`. Raises InputError for more labelled images than there are, and as
    `forward_errors` does.
    """
    total = len(complete(fit, "fitted"))
    drawn = {}
    for count in images:
        name = "all" if count is ALL else str(count)
        drawn[name] = labelled_subsets(total, count, repeats=repeats, seed=seed, extra=extra)
    found = {}
    for count, subsets in drawn.items():
        found[f"forward/{count}"] = forward_errors(fit, test, normaliser, subsets, regressor)
    for count, subsets in drawn.items():
        found[f"backward/{count}"] = backward_errors(fit, test, normaliser, subsets, regressor)
    return found


def complete(landmarks: Landmarks, which: str) -> np.ndarray:
    """Returns the rising numbers of images that show every landmark that any shows.

    Raises InputError for none.
    """
    shown = np.asarray(landmarks.visible) > 0.5
    labelled = shown.any(0) if len(shown) else np.zeros(0, bool)
    rows = np.flatnonzero(shown[:, labelled].all(1)) if labelled.any() else np.zeros(0, np.int64)
    if not len(rows):
        raise InputError(
            "regressor",
            f"none of the {len(shown)} {which} images shows all of its {shown.shape[-1]} "
            f"annotated landmarks; label some, or choose another split",
        )
    return rows


def _errors(
    fit: Landmarks, test: Landmarks, normaliser, subsets, regressor, *, forward: bool
) -> LandmarkErrors:
    for part in (fit, test):
        images, count = np.shape(part.visible)
        chex.assert_shape(part.discovered, (images, None, 2))
        chex.assert_shape(part.annotated, (images, count, 2))
    fitted = _rows(fit, complete(fit, "fitted"))
    tested = _rows(test, complete(test, "test"))
    lengths = normaliser(tested.annotated, tested.visible)
    labelled = fitted.visible.any(0) & tested.visible.any(0)
    x = fitted.discovered
    y = fitted.annotated[:, labelled]
    x_test = tested.discovered
    y_test = tested.annotated[:, labelled]
    if not forward:
        x, y = y, x
        x_test, y_test = y_test, x_test
    all_visible = np.ones(y_test.shape[:2])
    regressed = []
    for rows in subsets:
        map_of_rows = regressor(_flat(x[rows]), _flat(y[rows]))
        regressed.append(map_of_rows(_flat(x_test)).reshape(y_test.shape))
    found = []
    distances = []
    for one in regressed:
        found.append(nme(one, y_test, all_visible, lengths))
        apart = np.linalg.norm(one - y_test, axis=-1)
        distances.append(apart.mean(1))
    means = 100 * np.array([error.overall for error in found])
    distances = np.mean(distances, axis=0)
    return LandmarkErrors(
        float(means.mean()),
        float(means.std()),
        means,
        100 * np.mean([error.per_keypoint for error in found], axis=0),
        100 * distances / lengths,
        regressed[0],
    )


def _rows(landmarks: Landmarks, rows: np.ndarray) -> Landmarks:
    return Landmarks(
        np.asarray(landmarks.discovered, np.float64)[rows],
        np.asarray(landmarks.annotated, np.float64)[rows],
        np.asarray(landmarks.visible)[rows] > 0.5,
    )


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1)


# Consistency: landmarks should follow the image when it is turned


class Turns(NamedTuple):
    """Two angles for each image in degrees, x towards y.

    The first makes the image, which the second then turns.
    """

    first: np.ndarray  # (N,) float64
    second: np.ndarray  # (N,) float64


class Consistency(NamedTuple):
    """Mean distances in pixels between a landmark that is moved and the landmark that is found in
    the moved image.
    """

    mean: float  # mean of all landmarks
    per_landmark: np.ndarray  # (K,) float64
    ascending: np.ndarray  # (K,) float64, `per_landmark` sorted, as the paper's tables show it
    per_image: np.ndarray  # (N,) float64


def draw_turns(count: int, seed: int = 1000) -> Turns:
    """Draws the turns of `count` images.

    Those of number n depend on seed and n only, alike for all methods.
    """
    normal = np.array(
        [np.random.default_rng([seed, number]).standard_normal(2) for number in range(count)]
    )
    first, second = DEVIATION * normal.reshape(-1, 2).T
    return Turns(np.clip(first, -WIDEST, WIDEST), second)


def turn_map(degrees: float, side: int) -> np.ndarray:
    """Builds the map (3, 3) float64 from a square image to itself turned by `degrees` about its
    middle.

    The turned canvas holds the whole image and is scaled back to `side`.
    """
    turned = turned_canvas(side, side, degrees)
    stretch = np.diag([side / turned.width, side / turned.height, 1.0])
    return stretch @ turned.map_


def turn_in_place(degrees: float, side: int) -> np.ndarray:
    """Returns the map (3, 3) float64 of a square image turned about its middle at its size; corners
    are lost.
    """
    map_, width, height = turned_canvas(side, side, degrees)
    shift = np.eye(3)
    shift[0, 2] = (side - width) / 2
    shift[1, 2] = (side - height) / 2
    return shift @ map_


def second_turns(count: int, side: int) -> np.ndarray:
    """Returns the maps (N, 3, 3) float64 from pixels of `turned_once` to those of
    `turned_twice`."""
    return np.array([turn_map(angle, side) for angle in draw_turns(count).second])


def consistency(landmarks: ArrayLike, in_turned: ArrayLike, maps: ArrayLike) -> Consistency:
    """Computes how far landmarks of a turned image are from the turned landmarks of the image.

    It needs no annotation; landmarks that rest in one place fool it.

    Args:
        landmarks: (N, K, 2) px of each image.
        in_turned: (N, K, 2) px, found in the turned one.
        maps: (N, 3, 3), pixels of an image to those of the turned one.
    """
    points = np.asarray(landmarks, np.float64)
    maps = np.asarray(maps, np.float64)
    found = np.asarray(in_turned, np.float64)
    chex.assert_shape(points, (None, None, 2))
    chex.assert_equal_shape([points, found])
    chex.assert_shape(maps, (len(points), 3, 3))
    turned = np.einsum("nij,nkj->nki", maps[:, :2, :2], points)
    moved = turned + maps[:, None, :2, 2]
    distances = np.linalg.norm(moved - found, axis=-1)
    of_landmarks = distances.mean(0)
    return Consistency(
        float(of_landmarks.mean()), of_landmarks, np.sort(of_landmarks), distances.mean(1)
    )


# All measures of a run, and the signs of a collapse beside its errors


def measures(
    errors: Mapping[str, LandmarkErrors], consistency: Consistency, test: Landmarks, *, side: int
) -> dict[str, float]:
    """Returns the measures of one run, by name.

    `forward/<images>` and `backward/<images>` are in percent of the length that errors are measured
    in, each with the standard deviation over subsets under `<name>/deviation`. `consistency` is in
    pixels. `varying_points` counts the discovered landmarks that vary between images.
    `point_spread` and `annotated_spread` are the mean distances between two landmarks of an image
    in pixels, discovered and annotated; `median_spread` and `annotated_median_spread` the medians.
    """
    row = {name: error.mean for name, error in errors.items()}
    row |= {
        f"{name}/deviation": error.deviation
        for name, error in errors.items()
        if len(error.per_subset) > 1
    }
    discovered = jnp.asarray(np.asarray(test.discovered, np.float32))
    rows = complete(test, "test")
    shown = np.asarray(test.visible)[rows].any(0)
    annotated = np.asarray(test.annotated, np.float32)[rows]
    annotated = jnp.asarray(annotated[:, shown])
    return row | {
        "consistency": consistency.mean,
        "varying_points": float(varying_points(discovered, (side, side))),
        "point_spread": float(point_spread(discovered)),
        "annotated_spread": float(point_spread(annotated)),
        "median_spread": float(median_spread(discovered)),
        "annotated_median_spread": float(median_spread(annotated)),
    }


def collapse_reason(row: Mapping[str, float], discovered: int) -> str:
    """Returns why the errors of a run mean nothing, "" if they do: most landmarks rest, or they lie
    in a heap.

    Fewer than 8 in 10 live landmarks, or a spread below half of the annotation's, make low errors a
    sign of collapse.
    """
    reasons = []
    if row["varying_points"] < LEAST_LIVE * discovered:
        reasons.append(f"{row['varying_points']:.0f} of {discovered} landmarks are alive")
    if row["point_spread"] < LEAST_SPREAD * row["annotated_spread"]:
        reasons.append(
            f"landmarks lie {row['point_spread']:.1f} px apart, annotated ones "
            f"{row['annotated_spread']:.1f}"
        )
    return "; ".join(reasons)
