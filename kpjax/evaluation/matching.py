"""Several animals in a frame: which of them were found, found twice, and kept their tracks."""

from typing import NamedTuple

import chex
import numpy as np

NEAR = 0.5  # share of an animal's extent, the farthest centre that is that animal's


class Matched(NamedTuple):
    """The animals of one frame, by their centres."""

    #: (A,) int, the number of each true animal's prediction; -1 if it was not found
    predicted: np.ndarray
    twice: int  # further predictions of animals that were found
    others: int  # predictions of no animal


class AnimalsOverTime(NamedTuple):
    """Counts over all frames of a video."""

    frames: int
    swaps: int  # frames on which an animal goes on with a track that was another animal's
    fragments: int  # times that an animal goes on with a track that was nobody's
    matched: np.ndarray  # (T, A) int, the track of each animal; -1 where it was not found


def middles_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the middle (..., 2) and the longer side (...) of the box of known points (..., K, 2);
    nan without any.
    """
    chex.assert_shape(points, (..., None, 2))
    known = np.isfinite(points).all(-1, keepdims=True)
    some = known.any(-2)
    low = np.where(known, points, np.inf).min(-2)
    high = np.where(known, points, -np.inf).max(-2)
    low = np.where(some, low, np.nan)
    high = np.where(some, high, np.nan)
    middles = (low + high) / 2
    sides = (high - low).max(-1)
    return middles, sides


def known_extents(extents: np.ndarray) -> np.ndarray:
    """Returns extents (...) in which that of an animal with one known point, 0, is the median of
    those above 0; nan without any.
    """
    extents = np.asarray(extents)
    positive = extents[extents > 0]
    usual = np.median(positive) if positive.size else np.nan
    return np.where(extents == 0, usual, extents)


def match_by_centre(
    true: np.ndarray, extents: np.ndarray, predicted: np.ndarray, apart: np.ndarray | None = None
) -> Matched:
    """Matches predicted centres (D, 2) to true ones (A, 2) so that the sum of distances over
    extents is least.

    A prediction is an animal's if it lies within `NEAR` of that animal's extent (A,) in px, which
    is that of `known_extents`; nan is no animal. A further one within an animal that was found has
    found it twice.

    apart: (A, D) px, distances that decide between animals that lie so near; those of the centres
    if None.
    """
    chex.assert_shape([true, predicted], (None, 2))
    chex.assert_shape(extents, true.shape[:1])
    if apart is not None:
        chex.assert_shape(apart, (len(true), len(predicted)))
    # a third of a second, which help need not wait
    from scipy.optimize import linear_sum_assignment

    unit = known_extents(extents)[:, None]
    differences = true[:, None] - predicted[None]
    distances = np.linalg.norm(differences, axis=-1)
    away = distances / unit
    away = np.where(np.isfinite(away), away, np.inf)
    within = away <= NEAR
    if apart is not None:
        away = np.where(np.isfinite(apart), apart / unit, away)
    # An impossible pair costs more than all possible ones together.
    largest = np.where(within, away, 0).max(initial=0)
    impossible = largest * (1 + min(away.shape, default=0)) + 1.0
    cost = np.where(within, away, impossible)
    found = np.full(len(true), -1)
    for a, b in zip(*linear_sum_assignment(cost), strict=True):
        if within[a, b]:
            found[a] = b
    twice = 0
    others = 0
    for b in range(len(predicted)):
        if b in found or not np.isfinite(predicted[b]).all():
            continue
        if within[found >= 0, b].any():
            twice += 1
        else:
            others += 1
    return Matched(found, twice, others)


def animals_over_time(
    true: np.ndarray, predicted: np.ndarray, extents: np.ndarray | None = None
) -> AnimalsOverTime | None:
    """Counts what became of the animals of a video; None if no extent of any animal is known, by
    which predictions are near or far.

    An animal's track is that of its prediction; frames on which it was not found change nothing.
    Where centres lie close, the mean distance of the points decides whose prediction it is.

    true: (T, A, K, 2), the labelled points of A animals, each in its own place on all frames; nan
    where unknown.
    predicted: (T, I, K, 2), the points of I tracks; nan where one is not on a frame.
    extents: (T, A) px, of animals of which one point is labelled, such as those of their boxes; nan
    where unknown. Such animals have the median extent of all others.
    """
    chex.assert_shape(true, (None, None, None, 2))
    frames, count, points, _ = true.shape
    chex.assert_shape(predicted, (frames, None, points, 2))
    matched = np.full(true.shape[:2], -1)
    last = np.full(count, -1)  # the last track of each animal
    owner = {}  # the last animal of each track
    middles, sides = middles_of(true)
    if extents is not None:
        chex.assert_shape(extents, sides.shape)
        sides = np.where((sides == 0) & (extents > 0), extents, sides)
    sides = known_extents(sides)
    if not (sides > 0).any():
        return None
    guesses, _ = middles_of(predicted)
    swaps = 0
    fragments = 0
    for row in range(len(true)):
        differences = true[row][:, None] - predicted[row][None]
        away = np.linalg.norm(differences, axis=-1)
        known = np.isfinite(away)
        known_points = np.where(known.any(-1), known.sum(-1), np.nan)
        sums = np.where(known, away, 0).sum(-1)
        apart = sums / known_points
        found = match_by_centre(middles[row], sides[row], guesses[row], apart=apart)
        matched[row] = found.predicted
        swapped = False
        for animal in np.flatnonzero(matched[row] >= 0):
            track = matched[row, animal]
            if last[animal] not in (-1, track):
                swapped |= owner.get(track, animal) != animal
                fragments += track not in owner
            last[animal] = track
        swaps += swapped
        for animal, track in enumerate(matched[row]):
            if track >= 0:
                owner[int(track)] = animal
    return AnimalsOverTime(len(true), swaps, fragments, matched)
