"""Radii in pixels within which the truth lies with a given probability, by split conformal
prediction.

The error of a held-out point is divided by a scale that falls with its score. The radius of a new
point is the scale at its own score times a quantile of those ratios: the ceil((n + 1) level)-th
smallest of n (Vovk et al. 2005; Lei et al. 2018). Whatever the scores mean and however the errors
are distributed, a new point from the same source lies within its radius with at least that
probability, on average over held-out sets, and without ties less than 1 / (n + 1) above.

The scale is fitted to other images than the quantiles, since fitting both to the same ones would
break that promise. A keypoint with enough labels has its own quantile (Vovk et al. 2005, Mondrian
predictors), and the promise holds for that keypoint. The others share the quantile of their points,
or of all where these are too few: it holds for a random one of them, not for each. A keypoint without
any label is none of them, and has no radius.

Points of one image, and images of one recording, resemble each other and share the weight of one
unit, as in hierarchical conformal prediction (Lee, Barber and Willett 2023). A unit is an image, or
a recording where `recordings` are given: then the promise holds for new recordings, not only for
new images of those at hand.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.files import foreign, read_json

LEVELS = (0.5, 0.8, 0.9, 0.95)
# labels from which on a keypoint has its own quantile: fewer make a radius that depends much on
# chance
OWN = 20
SCALE_SHARE = 0.25  # share of the units, for the scale
KNOT = 20  # labels for each knot of the scale, at least
KNOTS = 10  # at most; with fewer than three the score is not used
SMALLEST = 0.01  # share of the mean error, the lowest scale: a radius of 0 could not grow
ROUNDING = 1e-9  # in (n + 1) level, so that 0.9 of 10 is 9
FILE = "radius_table.json"


class RadiusTable(NamedTuple):
    """What `radii` needs to know: quantiles of errors over their scale, and the scale by score."""

    levels: np.ndarray  # (L,) float64 rising, in (0, 1)
    #: (L, K) float64, of error / scale, not falling with the level; inf with too few labels, and of
    #: keypoints without any
    quantiles: np.ndarray
    labels: np.ndarray  # (K,) float64, of each keypoint that the quantiles come from
    all_units: int  # with a label of any keypoint
    unit: str  # image or recording
    scores: np.ndarray  # (B,) float64 rising, knots of the scale; (0,) if the score is not used
    #: (B,) float64 in pixels, not rising; linear between knots and constant beyond
    scale: np.ndarray


def radius_table(
    errors: np.ndarray,
    scores: np.ndarray,
    visible: np.ndarray,
    *,
    recordings: Sequence | np.ndarray | None = None,
    images: Sequence | np.ndarray | None = None,
    levels: Sequence[float] = LEVELS,
) -> RadiusTable:
    """Builds the table of labelled images that were used neither for training nor for choosing the
    network.

    A quarter of the images (or recordings) goes to the scale, if it has 60 labels and the rest is
    enough for the highest level and for 20 images; otherwise all go to the quantiles and the score
    is not used. Hidden points, and those whose error or score is not finite, are left out. The
    result does not depend on the order of the images.

    errors: (N, K) distances of predicted keypoints to their labels, in pixels. scores: (N, K),
    higher is more certain; the scale falls with them. visible: (N, K); keypoints with 0 are left
    out. recordings: (N,) names of the recordings that the images come from; None counts each image
    by itself. images: (N,) their names, where a row is an animal and some have several; None takes
    each row for an image. levels: probabilities in (0, 1), in any order.
    """
    errors, scores = np.asarray(errors, np.float64), np.asarray(scores, np.float64)
    known = (np.asarray(visible) > 0) & np.isfinite(errors) & np.isfinite(scores)
    never = ~known.any(0)
    errors, scores = np.where(known, errors, 0), np.where(known, scores, 0)
    wanted = np.unique(np.asarray(levels, np.float64))
    if recordings is None:
        names = np.arange(len(errors)) if images is None else np.asarray(images).astype(str)
        unit_of_row, rows = (
            np.unique(names, return_inverse=True)[1],
            np.concatenate([errors, scores, known], 1),
        )
        # images with the same content are counted, to be drawn apart
        contents, times = [], Counter()
        for unit in range(unit_of_row.max(initial=-1) + 1):
            content = b"".join(sorted(map(np.ndarray.tobytes, rows[unit_of_row == unit])))
            contents.append(b"%d " % times[content] + content)
            times[content] += 1
    else:
        names, unit_of_row = np.unique(np.asarray(recordings).astype(str), return_inverse=True)
        contents = [name.encode() for name in names.tolist()]
    # A digest draws as if at random, yet alike whatever the order of the images.
    order = sorted(
        np.unique(unit_of_row[known.any(1)]).tolist(),
        key=lambda unit: blake2b(contents[unit]).digest(),
    )
    held = math.ceil(SCALE_SHARE * len(order))
    for_scale = known & np.isin(unit_of_row, order[:held])[:, None]
    enough = len(order) - held >= max(fewest_units(wanted[-1]), OWN if recordings is None else 0)
    knots, scale = np.zeros(0), np.zeros(0)
    if enough and for_scale.sum() >= 3 * KNOT:
        knots, scale = _falling_scale(errors[for_scale], scores[for_scale])
        known = known & ~for_scale

    ratio = errors / _scale_at(knots, scale, scores)
    unit = np.broadcast_to(unit_of_row[:, None], errors.shape)
    shared, all_units = _quantiles(ratio[known], unit[known], wanted)
    # those with quantiles of their own would not make up for these
    rare = known & (known.sum(0) < OWN)
    others, _ = _quantiles(ratio[rare], unit[rare], wanted)
    quantiles = np.tile(
        np.where(np.isfinite(others), others, shared)[:, None], (1, errors.shape[1])
    )
    for keypoint, there in enumerate(known.T):
        if there.sum() >= OWN:
            found, _ = _quantiles(ratio[there, keypoint], unit_of_row[there], wanted)
            quantiles[:, keypoint] = np.where(np.isfinite(found), found, shared)
    quantiles[:, never] = np.inf
    # A keypoint may share the quantile of one level and own that of another: radii must still grow
    # with the level.
    return RadiusTable(
        wanted,
        np.maximum.accumulate(quantiles, axis=0),
        known.sum(0, np.float64),
        all_units,
        "image" if recordings is None else "recording",
        knots,
        scale,
    )


def radii(table: RadiusTable, scores: np.ndarray, *, level: float = 0.9) -> np.ndarray:
    """Returns the radius of each predicted point in pixels, float64 with the shape of the scores.

    The radius is inf where the table had too few labels (`missing`), of keypoints without any, and
    where the score is nan.

    table: of the same network and pixels of the same size. scores: (..., K). level: one of the
    table's.
    """
    scores = np.asarray(scores, np.float64)
    near = int(np.abs(table.levels - level).argmin())
    found = table.quantiles[near] * _scale_at(table.scores, table.scale, scores)
    return np.where(np.isnan(scores), np.inf, found)


def fewest_units(level: float) -> int:
    """Returns the fewest labelled units that give a finite radius: n with ceil((n + 1) level) <=
    n."""
    return math.ceil(level / (1 - level) - ROUNDING / (1 - level))


def missing(table: RadiusTable) -> np.ndarray:
    """Counts further units (images or recordings) that finite radii need: (L,) int64, 0 where they
    are there.

    They are units for the quantiles: those that fit the scale do not count.
    """
    return np.array([max(fewest_units(level) - table.all_units, 0) for level in table.levels])


def without_label(table: RadiusTable) -> np.ndarray:
    """Returns (K,) bool: keypoints without a radius since none of their labels was held out, where
    others have one."""
    known = np.isfinite(table.quantiles).any(0)
    return ~known & known.any()


def read_radius_table(folder: Path) -> RadiusTable | None:
    """Reads the table in a run's folder, None if there is none.

    Raises InputError for a file that is broken.
    """
    path = folder / FILE
    return radius_table_from(read_json(path), str(path)) if path.is_file() else None


def radius_table_from(found: Mapping[str, Any], path: str) -> RadiusTable:
    """Returns the table of a radius_table.json.

    Raises InputError, which names `path`, for a broken one.
    """
    with foreign(path, "delete it and build the table again"):
        numbers = {
            name: np.array(found[name], np.float64)
            for name in ("levels", "quantiles", "labels", "scores", "scale")
        }
        table = RadiusTable(all_units=int(found["all_units"]), unit=str(found["unit"]), **numbers)
        right = (*table.levels.shape, *table.labels.shape) == table.quantiles.shape
        right &= table.scores.shape == table.scale.shape
        right &= bool(
            (table.quantiles >= 0).all()
            and (table.scale > 0).all()
            and (np.diff(table.scores) > 0).all()
            and (np.diff(table.levels) > 0).all()
            and table.unit in ("image", "recording")
        )
        if not right:
            raise ValueError("its numbers do not belong together")
        return table


def _falling_scale(errors: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits the mean error by score, (B,) each: means of classes with equally many points, made to
    fall.

    Isotonic least squares makes them fall. Classes of equal mean score are joined.
    """
    from scipy.optimize import isotonic_regression  # a third of a second, which help need not wait

    classes = np.array_split(np.lexsort((errors, scores)), min(KNOTS, len(errors) // KNOT))
    knots, place = np.unique([scores[members].mean() for members in classes], return_inverse=True)
    weights = np.bincount(place, weights=[len(members) for members in classes])
    sums = np.bincount(place, weights=[errors[members].sum() for members in classes])
    scale = isotonic_regression(sums / weights, weights=weights, increasing=False).x
    return knots, np.maximum(scale, SMALLEST * errors.mean()) if errors.any() else np.ones(
        len(knots)
    )


def _scale_at(knots: np.ndarray, scale: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.interp(scores, knots, scale) if knots.size else np.ones(np.shape(scores))


def _quantiles(ratios: np.ndarray, units: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the conformal quantile (L,) at each level, inf where there are too few units, and
    their number n.

    Each unit weighs 1 / (n + 1), shared by its points, and so does infinity, in the place of the
    new unit.
    """
    _, place, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = np.argsort(ratios)
    reached = np.cumsum(1 / sizes[place[order]]) if len(ratios) else np.zeros(0)
    first = np.searchsorted(reached, levels * (len(sizes) + 1) - ROUNDING)
    return np.append(ratios[order], np.inf)[first], len(sizes)
