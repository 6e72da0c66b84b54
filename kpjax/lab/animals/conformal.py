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

Points of one image resemble each other and share its weight, as in hierarchical conformal prediction
(Lee, Barber and Willett 2023). The promise is one for new images of the recordings at hand.

For new recordings radii are stretched. Each recording in turn is left out, the radii of the others
are put to its points, and the stretch of a level is that which would have held its share of all of
them, each recording weighing the same. What few recordings cannot show is taken from others
(`BETWEEN`): of a single one stretches of time are left out, and new ones differ from it as those did.
Radii never shrink by this. Their coverage is measured, not promised: see `left_out_coverage`.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.files import foreign, read_json

LEVELS = (0.5, 0.8, 0.9, 0.95)
# labels from which on a keypoint has its own quantile: fewer make a radius that depends much on
# chance
OWN = 20
SCALE_SHARE = 0.25  # share of the images, for the scale
KNOT = 20  # labels for each knot of the scale, at least
KNOTS = 10  # at most; with fewer than three the score is not used
SMALLEST = 0.01  # share of the mean error, the lowest scale: a radius of 0 could not grow
BLOCKS = 5  # stretches of time of a single recording
# Standard deviation of the logarithm of the errors of recordings, which few of them cannot show. That of
# mean errors was 0.29 on 25 recordings of lips and on 23 of tongues; with 0.3 radii of 90 % from one
# recording of tongues held 86 % on the others, with 0.4 they held 89 %.
BETWEEN = 0.4
ROUNDING = 1e-9  # in (n + 1) level, so that 0.9 of 10 is 9
FILE = "radius_table.json"


class RadiusTable(NamedTuple):
    """What `radii` needs to know: quantiles of errors over their scale, and the scale by score."""

    levels: np.ndarray  # (L,) float64 rising, in (0, 1)
    #: (L, K) float64, of error / scale, not falling with the level; inf with too few labels, and of
    #: keypoints without any
    quantiles: np.ndarray
    labels: np.ndarray  # (K,) float64, of each keypoint that the quantiles come from
    images: int  # with a label of any keypoint
    scores: np.ndarray  # (B,) float64 rising, knots of the scale; (0,) if the score is not used
    #: (B,) float64 in pixels, not rising; linear between knots and constant beyond
    scale: np.ndarray
    recordings: int = 0  # by which radii of images were stretched; 0 where they were not

    @property
    def holds_on(self) -> str:
        """In words, the images on which so many points lie within their radii."""
        if not self.recordings:
            return "images like those held out"
        if self.recordings == 1:
            return "new recordings, if they differ from the one held out as others do"
        return f"new recordings, as far as the {self.recordings} held out show how these differ"


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

    It is that of `exchangeable_table`, stretched to hold for recordings that were left out. Of a
    single recording the rows stand in the order of time.

    recordings: (N,) names of the recordings that the images come from; None where nothing is known
    of them: then radii hold for images that are exchangeable. The others are as of
    `exchangeable_table`.
    """
    table = exchangeable_table(errors, scores, visible, images=images, levels=levels)
    known = (np.asarray(visible) > 0).any(1)
    if recordings is None or not known.any():
        return table
    names = np.asarray(recordings).astype(str)
    of_images = np.arange(len(names)) if images is None else np.asarray(images)
    given = map(np.asarray, (errors, scores, visible))
    stretch = _stretch(table.levels, *given, names, of_images)
    return table._replace(
        quantiles=np.maximum.accumulate(table.quantiles * stretch[:, None], axis=0),
        recordings=len(np.unique(names[known])),
    )


def _parts(names: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns (N,) the number of the part to which an image belongs: its recording, or its stretch of
    time of the only one. known: (N,) bool, images with a label."""
    if len(np.unique(names[known])) > 1:
        return np.unique(names, return_inverse=True)[1]
    return BLOCKS * np.cumsum(known) // (known.sum() + 1)


def _stretch(
    levels: Sequence[float],
    errors: np.ndarray,
    scores: np.ndarray,
    visible: np.ndarray,
    names: np.ndarray,
    images: np.ndarray,
) -> np.ndarray:
    """Computes (L,) by how much the radii of some recordings must grow to hold on another one."""
    known = (visible > 0) & np.isfinite(errors) & np.isfinite(scores)
    parts = _parts(names, known.any(1))
    # by how much a new recording may differ beyond what these show, in equally likely steps
    count = len(np.unique(names[known.any(1)]))
    beyond = math.sqrt(2) if count == 1 else 1 / math.sqrt(count)
    normal = statistics.NormalDist(0, BETWEEN * beyond)
    spread = np.exp([normal.inv_cdf(share) for share in (np.arange(9) + 0.5) / 9])
    ratios, weights = [], []
    for part in np.unique(parts[known.any(1)]):
        left, rest = parts == part, parts != part
        table = exchangeable_table(
            errors[rest], scores[rest], visible[rest], images=images[rest], levels=levels
        )
        reach = _all_radii(table, scores[left])[:, known[left]]
        ratios.append((errors[left][known[left]] / np.maximum(reach, 1e-9))[..., None] * spread)
        weights.append(np.full(ratios[-1][0].shape, 1 / known[left].sum()))
    joined, weight = np.concatenate(ratios, 1), np.concatenate(weights).ravel()
    stretch = []
    for level, ratio in zip(levels, joined.reshape(len(levels), -1), strict=True):
        there = ratio > 0  # of an infinite radius it is 0
        order = np.argsort(ratio[there])
        reached = np.cumsum(weight[there][order])
        place = np.searchsorted(reached, level * reached[-1:].sum() - ROUNDING)
        stretch.append(max([1.0, *ratio[there][order][place : place + 1]]))
    return np.array(stretch)


def _all_radii(table: RadiusTable, scores: np.ndarray) -> np.ndarray:
    """Returns (L, ...) the radii of points at each level."""
    return np.stack([radii(table, scores, level=level) for level in table.levels])


def left_out_coverage(
    errors: np.ndarray,
    scores: np.ndarray,
    visible: np.ndarray,
    *,
    recordings: Sequence | np.ndarray,
    images: Sequence | np.ndarray,
    levels: Sequence[float] = LEVELS,
) -> np.ndarray:
    """Computes (P, L) the share of points of each recording within the radii that all others give;
    of a single recording those of its stretches of time. Parts where none has a radius are left out,
    and so are points without one. The arguments are those of `radius_table`.
    """
    names, images = np.asarray(recordings).astype(str), np.asarray(images)
    known = (visible > 0) & np.isfinite(errors) & np.isfinite(scores)
    parts = _parts(names, known.any(1))
    shares = []
    for part in np.unique(parts[known.any(1)]):
        left, rest = parts == part, parts != part
        given = {"recordings": names[rest], "images": images[rest], "levels": levels}
        table = radius_table(errors[rest], scores[rest], visible[rest], **given)
        reach = _all_radii(table, scores[left])
        there = known[left] & np.isfinite(reach).all(0)
        if there.any():
            shares.append((errors[left] <= reach)[:, there].mean(1))
    return np.array(shares).reshape(len(shares), len(levels))


def exchangeable_table(
    errors: np.ndarray,
    scores: np.ndarray,
    visible: np.ndarray,
    *,
    images: Sequence | np.ndarray | None = None,
    levels: Sequence[float] = LEVELS,
) -> RadiusTable:
    """Builds the table of images that a new one is like.

    A quarter of the images goes to the scale, if it has 60 labels and the rest is enough for the
    highest level and for 20 images; otherwise all go to the quantiles and the score is not used.
    Hidden points, and those whose error or score is not finite, are left out. The result does not
    depend on the order of images that have names.

    errors: (N, K) distances of predicted keypoints to their labels, in pixels. scores: (N, K),
    higher is more certain; the scale falls with them. visible: (N, K); keypoints with 0 are left
    out. images: (N,) their names, where a row is an animal and some have several; None takes each
    row for an image. levels: probabilities in (0, 1), in any order.
    """
    errors, scores = np.asarray(errors, np.float64), np.asarray(scores, np.float64)
    known = (np.asarray(visible) > 0) & np.isfinite(errors) & np.isfinite(scores)
    never = ~known.any(0)
    errors, scores = np.where(known, errors, 0), np.where(known, scores, 0)
    wanted = np.unique(np.asarray(levels, np.float64))
    names = np.arange(len(errors)) if images is None else np.asarray(images).astype(str)
    image_of_row = np.unique(names, return_inverse=True)[1]
    # alike whatever the order of images that have names
    order = np.random.default_rng(0).permutation(np.unique(image_of_row[known.any(1)]))
    held = math.ceil(SCALE_SHARE * len(order))
    for_scale = known & np.isin(image_of_row, order[:held])[:, None]
    enough = len(order) - held >= max(fewest_images(wanted[-1]), OWN)
    knots, scale = np.zeros(0), np.zeros(0)
    if enough and for_scale.sum() >= 3 * KNOT:
        knots, scale = _falling_scale(errors[for_scale], scores[for_scale])
        known = known & ~for_scale

    ratio = errors / _scale_at(knots, scale, scores)
    of_point = np.broadcast_to(image_of_row[:, None], errors.shape)
    shared, count = _quantiles(ratio[known], of_point[known], wanted)
    # those with quantiles of their own would not make up for these
    rare = known & (known.sum(0) < OWN)
    others, _ = _quantiles(ratio[rare], of_point[rare], wanted)
    quantiles = np.tile(
        np.where(np.isfinite(others), others, shared)[:, None], (1, errors.shape[1])
    )
    for keypoint, there in enumerate(known.T):
        if there.sum() >= OWN:
            found, _ = _quantiles(ratio[there, keypoint], image_of_row[there], wanted)
            quantiles[:, keypoint] = np.where(np.isfinite(found), found, shared)
    quantiles[:, never] = np.inf
    # A keypoint may share the quantile of one level and own that of another: radii must still grow
    # with the level.
    return RadiusTable(
        wanted,
        np.maximum.accumulate(quantiles, axis=0),
        known.sum(0, np.float64),
        count,
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


def fewest_images(level: float) -> int:
    """Returns the fewest labelled images that give a finite radius: n with ceil((n + 1) level) <=
    n."""
    return math.ceil(level / (1 - level) - ROUNDING / (1 - level))


def missing(table: RadiusTable) -> np.ndarray:
    """Counts further images that finite radii need: (L,) int64, 0 where they are there.

    They are images for the quantiles: those that fit the scale do not count.
    """
    return np.array([max(fewest_images(level) - table.images, 0) for level in table.levels])


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
        table = RadiusTable(
            # earlier tables counted recordings, too
            images=int(found["images" if "images" in found else "all_units"]),
            recordings=int(found.get("recordings", 0)),
            **numbers,
        )
        right = (*table.levels.shape, *table.labels.shape) == table.quantiles.shape
        right &= table.scores.shape == table.scale.shape
        right &= bool(
            (table.quantiles >= 0).all()
            and (table.scale > 0).all()
            and (np.diff(table.scores) > 0).all()
            and (np.diff(table.levels) > 0).all()
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


def _quantiles(
    ratios: np.ndarray, images: np.ndarray, levels: np.ndarray
) -> tuple[np.ndarray, int]:
    """Returns the conformal quantile (L,) at each level, inf where there are too few images, and
    their number n.

    Each image weighs 1 / (n + 1), shared by its points, and so does infinity, in the place of the
    new one.
    """
    _, place, sizes = np.unique(images, return_inverse=True, return_counts=True)
    order = np.argsort(ratios)
    reached = np.cumsum(1 / sizes[place[order]]) if len(ratios) else np.zeros(0)
    first = np.searchsorted(reached, levels * (len(sizes) + 1) - ROUNDING)
    return np.append(ratios[order], np.inf)[first], len(sizes)
