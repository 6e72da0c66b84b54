"""Animals of a video told apart over time: a Kalman filter for each, and an assignment of animals
on every frame.

The centre of each animal moves with constant velocity but for random accelerations (Kalman 1960);
its points keep their places about the centre. Animals that were found are assigned to tracks so
that the sum of distances is least (Kuhn 1955), as in SORT (Bewley et al. 2016), which compares
boxes where this compares points. A difference between a point and its expected place counts in
units of what is not known of the two: the radius within which the point lies, and the deviation of
the filter.

Positions are (x, y) in pixels of the frame; time is counted in frames.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# frames that an animal may be unseen and still be the same, where their number is not known
GAP = 25
LEVEL = 0.9  # of the radii by which animals are told apart, whatever level is shown
# Of an animal's extent: the deviation of its acceleration in a frame, and what a point without a
# radius may be off.
ACCELERATION, REACH = 0.1, 0.1
GATE = 4.0  # deviations that a centre may be off its expected place
CAP = 6.0  # deviations from which on a point's distance says no more
# deviations by which another assignment must be worse, so that it is no matter of doubt
CLOSE = 1.0
TWICE = 0.1  # share of the extent: two animals of which half of the points lie so close are one
APART = 10  # frames between two entries of one doubt
UNTRACKED = -1


class Found(NamedTuple):
    """Animals that were found on a frame, in any order."""

    points: np.ndarray  # (D, K, 2) float64, nan where unknown
    scores: np.ndarray  # (D, K) float64, higher is more certain
    #: (D, K) float64 px, within which the truth lies with probability LEVEL; nan where unknown
    radii: np.ndarray
    extents: np.ndarray  # (D,) float64 px, the longer side of the animal
    centres: np.ndarray  # (D, 2) float64, where they were found


class Track(NamedTuple):
    """What is known of one animal after the last frame."""

    number: int
    mean: np.ndarray  # (4,) float64: x, y and velocity in px a frame
    covariance: np.ndarray  # (2, 2) float64 of position and velocity, the same along both axes
    shape: np.ndarray  # (K, 2) float64, its points less its centre, nan where never seen
    extent: float  # px
    seen: int  # the last frame on which it was found


class Doubt(NamedTuple):
    """A moment that is worth a look."""

    frame: int
    first: int  # number of a track
    second: int  # the other track, UNTRACKED if there is none
    why: str


class Tracks(NamedTuple):
    """All animals that may be seen again, and how many there have been."""

    tracks: tuple[Track, ...] = ()
    count: int = 0


def follow(
    tracks: Tracks, frame: int, found: Found, *, animals: int | None = None, gap: int = GAP
) -> tuple[Tracks, np.ndarray, tuple[Doubt, ...]]:
    """Assigns the animals of one frame to tracks. The result does not depend on the order of the
    animals.

    Returns the tracks, (D,) the number of each animal's track, UNTRACKED if it has none, and
    doubts. An animal of which half of the points lie on another's was found twice, and the less
    certain one has no track.

    frame: the number of the frame; it rises from call to call, and frames in between have nothing
    to say. animals: their known number. Then there are no more tracks than that, and a track never
    ends. An animal that fits no track starts one while there are fewer, and after that it goes to a
    track that lacks one, however far it is. None lets animals come and go: a track ends after `gap`
    frames without its animal, and one that fits no track starts a track.

    The price: before all animals have been seen, one that jumps is taken for a new one, and so is
    what was found by mistake. An animal that comes later then goes on with the track of the one that
    jumped. Doubts name both moments.
    """
    # takes a second to load, which predictions of one animal need not wait
    from scipy.optimize import linear_sum_assignment

    kept = (
        tracks.tracks
        if animals is not None
        else tuple(track for track in tracks.tracks if frame - track.seen <= gap + 1)
    )
    expected = [_move(track, frame - track.seen) for track in kept]
    numbers, doubts = np.full(len(found.points), UNTRACKED), []
    known = np.isfinite(found.points).all(-1).any(-1)
    centres = np.where(known[:, None], found.centres, np.nan)
    places, twins = _once(found, centres)
    near, cost = _distances(expected, found, centres, places)
    best = linear_sum_assignment(np.where(near, cost, CAP + 2 * GATE))
    pairs = [(int(a), int(b)) for a, b in zip(*best, strict=True) if near[a, b]]
    doubts += _close_calls(frame, kept, pairs, near, cost)
    missing = sorted(set(range(len(kept))) - {row for row, _ in pairs})
    if animals is not None:
        # Whoever is left is new while places are free, and else one of those that are missing. Free
        # places are further rows, which cost nothing.
        rest = sorted(set(range(len(places))) - {column for _, column in pairs})
        free = min(max(animals - tracks.count, 0), len(rest))
        away = np.zeros((len(missing) + free, len(rest)))
        for a, row in enumerate(missing):
            for b, column in enumerate(rest):
                away[a, b] = np.linalg.norm(expected[row].mean[:2] - centres[places[column]])
        returned = [
            (missing[a], rest[b])
            for a, b in zip(*linear_sum_assignment(away), strict=True)
            if a < len(missing)
        ]
        doubts += [
            Doubt(frame, kept[row].number, UNTRACKED, "far from where it was expected")
            for row, _ in returned
        ]
        pairs += returned
        missing = [row for row in missing if row not in dict(returned)]
    after = dict(enumerate(kept))
    for row, column in pairs:
        place = places[column]
        numbers[place] = kept[row].number
        after[row] = _correct(expected[row], found, centres[place], place, frame)
    born, count = [], tracks.count
    for place in [place for place in places if numbers[place] == UNTRACKED]:
        if animals is not None and count >= animals:
            nearest = min(
                (*kept, *born), key=lambda track: np.linalg.norm(track.mean[:2] - centres[place])
            )
            doubts.append(
                Doubt(frame, nearest.number, UNTRACKED, "one animal more than expected, left out")
            )
            continue
        numbers[place] = count
        if animals is not None:  # one that is missing may have jumped here
            doubts += [
                Doubt(frame, kept[row].number, count, "first seen while the other is missing")
                for row in missing
            ]
        # Nothing is known of where it was: its first position is that of the first observation.
        extent = float(found.extents[place])
        new = Track(
            count,
            np.array([*centres[place], 0.0, 0.0]),
            extent**2 * np.diag([1.0, ACCELERATION**2]),
            np.full(found.points.shape[1:], np.nan),
            extent,
            frame,
        )
        born.append(_correct(new, found, centres[place], place, frame))
        count += 1
    doubts += [
        Doubt(
            frame, int(numbers[kept_one]), UNTRACKED, "found twice, the less certain one left out"
        )
        for kept_one in twins
    ]
    return Tracks((*after.values(), *born), count), numbers, tuple(doubts)


def merge_doubts(doubts: Sequence[Doubt]) -> list[Doubt]:
    """Returns doubts without those that repeat one of the frames just before, in the order of
    time."""
    last: dict[tuple[int, int, str], int] = {}
    kept = []
    for doubt in sorted(doubts):
        of = doubt.first, doubt.second, doubt.why
        if doubt.frame - last.get(of, -APART - 1) > APART:
            kept.append(doubt)
        last[of] = doubt.frame
    return kept


def _move(track: Track, frames: int) -> Track:
    """Returns a track some frames later: where it goes with its velocity, and how uncertain that
    is.
    """
    step = np.array([[1.0, frames], [0.0, 1.0]])
    spread = np.array([[frames**3 / 3, frames**2 / 2], [frames**2 / 2, frames]])
    push = (ACCELERATION * track.extent) ** 2 * spread
    mean = np.concatenate([track.mean[:2] + frames * track.mean[2:], track.mean[2:]])
    return track._replace(mean=mean, covariance=step @ track.covariance @ step.T + push)


def _correct(expected: Track, found: Found, centre: np.ndarray, place: int, frame: int) -> Track:
    """Returns a track after its animal was found."""
    # px, of the centre: as far as half of its points may be off
    noise = np.median(_reach(found, place))
    gain = expected.covariance[:, 0] / (expected.covariance[0, 0] + noise**2)
    missed = centre - expected.mean[:2]
    mean = np.concatenate(
        [expected.mean[:2] + gain[0] * missed, expected.mean[2:] + gain[1] * missed]
    )
    covariance = expected.covariance - np.outer(gain, expected.covariance[0])
    here = found.points[place] - centre
    shape = np.where(np.isfinite(here), here, expected.shape)
    return Track(expected.number, mean, covariance, shape, float(found.extents[place]), frame)


def _reach(found: Found, place: int) -> np.ndarray:
    radii = found.radii[place]
    return np.where(np.isfinite(radii), radii, REACH * found.extents[place])


def _once(found: Found, centres: np.ndarray) -> tuple[list[int], list[int]]:
    """Returns the animals that have points, each once, by their places; and those of them that were
    found twice.
    """
    some = np.flatnonzero(np.isfinite(centres).all(-1))
    # By certainty, then by place: the order in which they come must not decide.
    order = sorted(
        some.tolist(), key=lambda place: (-np.nanmean(found.scores[place]), *centres[place])
    )
    kept, twins = [], []
    for place in order:

        def alike(other: int, place: int = place) -> bool:
            apart = np.linalg.norm(found.points[other] - found.points[place], axis=-1)
            known = np.isfinite(apart)
            return known.any() and np.median(apart[known]) < TWICE * min(
                found.extents[other], found.extents[place]
            )

        twin = next(filter(alike, kept), None)
        (kept if twin is None else twins).append(place if twin is None else twin)
    return sorted(kept, key=lambda place: tuple(centres[place])), twins


def _distances(
    expected: Sequence[Track], found: Found, centres: np.ndarray, places: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (T, D) whether an animal is near enough to a track, and how unlike it its points are,
    in deviations.
    """
    near, cost = (
        np.zeros((len(expected), len(places)), bool),
        np.zeros((len(expected), len(places))),
    )
    for row, track in enumerate(expected):
        spread = track.covariance[0, 0]
        for column, place in enumerate(places):
            reach = _reach(found, place)
            off = np.linalg.norm(centres[place] - track.mean[:2])
            near[row, column] = off <= GATE * math.sqrt(
                spread + max(np.median(reach), REACH * track.extent) ** 2
            )
            apart = np.square(found.points[place] - track.mean[:2] - track.shape).sum(-1)
            known = np.isfinite(apart)
            # An animal turns, and its legs move: no point is ever known to less than its share of
            # the extent.
            least = np.maximum(reach, REACH * track.extent) ** 2
            width = spread + least
            central = min(off**2 / np.median(width), CAP**2)
            squares = (
                np.minimum(apart[known] / width[known], CAP**2).mean() if known.any() else central
            )
            # Where two animals touch, the points of one may lie on the other: where it was found
            # counts as much.
            # Twice the logarithm of a Gaussian: a track that may be anywhere by now expects none of
            # its places much.
            cost[row, column] = math.sqrt(
                (squares + central) / 2 + 2 * np.log(width / least).mean()
            )
    return near, cost


def _close_calls(
    frame: int,
    kept: Sequence[Track],
    pairs: Sequence[tuple[int, int]],
    near: np.ndarray,
    cost: np.ndarray,
) -> list[Doubt]:
    """Returns the pairs of tracks whose animals could as well be exchanged, or of which the other
    could be there.
    """
    found, missing = [], set(range(len(kept))) - {row for row, _ in pairs}
    for at, (a, b) in enumerate(pairs):
        for c in missing:
            if near[c, b] and cost[c, b] - cost[a, b] < CLOSE:
                found.append(
                    Doubt(
                        frame,
                        kept[a].number,
                        kept[c].number,
                        "one is missing, either could be the other",
                    )
                )
        for c, d in pairs[at + 1 :]:
            if (
                near[a, d]
                and near[c, b]
                and cost[a, d] + cost[c, b] - cost[a, b] - cost[c, d] < CLOSE
            ):
                first, second = sorted((kept[a].number, kept[c].number))
                found.append(Doubt(frame, first, second, "either could be the other"))
    return found
