"""Keypoints that are one point in predictions and not in labels: a sign of a network that does not tell
two of them apart, such as the left and the right paw seen from the side.

Mean errors do not show it, and a picture hides one dot behind the other. Two points are one where they
lie within `ONE_POINT` of the animal's size of each other. Labels say how often that is so in truth.
Arithmetic is in float64, on the host.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import numpy as np

from kpjax.errors import InputError, count_text
from kpjax.evaluation.metrics import Lengths, Points, Visible
from kpjax.files import foreign

FILE = "label_distances.json"
# Share of an animal's size. Of a mouse of 508 px whose left and right hind paws were one point on a video, half
# of the frames had them within 0.1 px, and the shares within 3, 5 and 10 px were all 100 %.
ONE_POINT = 0.01
SHARE = 0.05  # share of the animals, from which a pair of keypoints that is one point is named
# Share of the animals; a pair of keypoints that labels show as one point less often is worth a look on
# each frame on which it is
RARE = 0.5
SURE = 1.96  # standard deviations, by which that share is above the one in labels


class LabelDistances(NamedTuple):
    """How near labelled keypoints of one animal come to each other, of each pair of K keypoints."""

    names: tuple[str, ...]  # K
    animals: np.ndarray  # (K, K) int64, on which both are labelled
    one_point: np.ndarray  # (K, K) int64, those of them on which both are one point
    #: (K, K) float64, the smallest distance over the animal's size; inf where no animal has both
    closest: np.ndarray
    #: px of the network's images, the median size of an animal there; nan where it is not known
    size: float = float("nan")


class Coinciding(NamedTuple):
    """Two keypoints that are one point in predictions far more often than in labels."""

    first: int
    second: int
    animals: int  # on which both are shown and one point
    of: int  # animals on which both were looked at
    labelled: int  # animals on which both are labelled
    labelled_as_one: int  # those of them on which labels are one point, too
    closest: float  # the smallest distance of labels over the animal's size

    @property
    def share(self) -> float:
        """Of the animals that were looked at, 0 to 1."""
        return self.animals / self.of


def label_distances(
    keypoints: Points,
    visible: Visible,
    sizes: Lengths,
    names: Sequence[str],
    *,
    size: float = float("nan"),
) -> LabelDistances:
    """Measures labels.

    Args:
        keypoints: (N, K, 2), (x, y) in any pixels; not read where `visible` is 0.
        visible: (N, K), above 0 where a keypoint is labelled.
        sizes: (N,) of the animals in the same pixels, such as the diagonal of the labelled body. One
            whose size is not positive tells nothing.
        size: see `LabelDistances`.
    """
    chex.assert_shape(keypoints, (None, len(names), 2))
    chex.assert_shape([visible, sizes], [keypoints.shape[:2], keypoints.shape[:1]])
    keypoints = np.asarray(keypoints)
    sizes = np.asarray(sizes)
    known = (np.asarray(visible) > 0) & (sizes > 0)[:, None]
    pairs = (len(names), len(names))
    animals = np.zeros(pairs, np.int64)
    together = np.zeros(pairs, np.int64)
    closest = np.full(pairs, np.inf)
    for part in _parts(len(known)):
        apart, both = _apart(keypoints[part], known[part], sizes[part])
        animals += both.sum(0)
        together += (apart <= ONE_POINT).sum(0)
        closest = np.minimum(closest, apart.min(0))
    return LabelDistances(tuple(names), animals, together, closest, size)


def _parts(count: int) -> list[slice]:
    """Returns the numbers of a few animals at a time: the distances of all at once may be gigabytes."""
    return [slice(start, start + 256) for start in range(0, count, 256)]


def _apart(points, known, sizes) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distances (N, K, K) of two different known points of an animal over its size, inf of
    all others, and which are known."""
    points = np.asarray(points, np.float64)
    points = np.where(known[..., None], points, 0.0)
    different = ~np.eye(points.shape[1], dtype=bool)
    both = known[:, :, None] & known[:, None] & different
    differences = points[:, :, None] - points[:, None]
    distances = np.linalg.norm(differences, axis=-1)
    sizes = np.where(known.any(1), np.asarray(sizes, np.float64), 1.0)
    relative = distances / sizes[:, None, None]
    return np.where(both, relative, np.inf), both


def suspicious(known: LabelDistances, share: float | np.ndarray) -> np.ndarray:
    """Returns (K, K) bool, the pairs for which a share of animals on which they are one point is more
    than labels allow: at least `SHARE`, and above what may be true by the labels.

    What may be true is the upper end of Wilson's interval of the labels' share. It is 1 where no animal
    has labels of both, and 0.28 where ten have and never as one point. Source: Wilson 1927.
    """
    count = np.maximum(known.animals, 1)
    found = known.one_point / count
    square = SURE**2
    middle = found + square / (2 * count)
    variance = found * (1 - found) / count
    correction = square / (4 * count**2)
    reach = SURE * np.sqrt(variance + correction)
    wilson = (middle + reach) / (1 + square / count)
    upper = np.where(known.animals > 0, wilson, 1.0)
    share = np.asarray(share)
    return (share >= SHARE) & (share > upper)


def one_point(
    points: Points,
    sizes: Lengths,
    shown: Visible,
) -> np.ndarray:
    """Returns (N, K, K) bool, the pairs of different keypoints that are one point, both being shown.

    points: (N, K, 2), (x, y) px; those that are not finite are not shown. sizes: (N,) of the animals
    in the same pixels; nan or 0 of one that is not known, of which no pair is one point. shown: (N, K).
    """
    finite = np.isfinite(points).all(-1)
    known_size = (np.asarray(sizes) > 0)[:, None]
    shown = np.asarray(shown) & finite & known_size
    apart, _ = _apart(points, shown, sizes)
    return apart <= ONE_POINT


def coinciding(
    points: Points,
    sizes: Lengths,
    known: LabelDistances,
    *,
    scores: np.ndarray | None = None,
    cutoff: float | np.ndarray = -np.inf,
) -> list[Coinciding]:
    """Returns the pairs of keypoints that are one point in predictions far more often than in labels
    (`suspicious`), the most frequent first.

    Args:
        points: (N, K, 2) predictions, (x, y) px; an animal on which one of a pair is not finite was not
            looked at for that pair.
        sizes: (N,) of the animals in the same pixels; nan or 0 of one that is not known, which was not
            looked at for any pair.
        known: of labels of the same keypoints.
        scores: (N, K); points below `cutoff`, one number or (K,), are not shown.
    """
    chex.assert_shape(points, (None, len(known.names), 2))
    points = np.asarray(points)
    sizes = np.asarray(sizes)
    there = np.isfinite(points).all(-1) & (sizes > 0)[:, None]
    shown = there if scores is None else np.asarray(scores) >= cutoff
    count = np.zeros(known.animals.shape, np.int64)
    of = there.astype(np.int64).T @ there
    for part in _parts(len(points)):
        together = one_point(points[part], sizes[part], shown[part])
        count += together.sum(0)
    share = count / np.maximum(of, 1)
    pairs = np.argwhere(np.triu(suspicious(known, share))).tolist()
    return sorted(
        (
            Coinciding(
                a,
                b,
                int(count[a, b]),
                int(of[a, b]),
                int(known.animals[a, b]),
                int(known.one_point[a, b]),
                float(known.closest[a, b]),
            )
            for a, b in pairs
        ),
        key=lambda pair: -pair.animals,
    )


def sentences(
    found: Sequence[Coinciding],
    names: Sequence[str],
    *,
    length: float = float("nan"),
    of: str = "frame",
    most: int = 3,
) -> list[str]:
    """Says which keypoints are one point, a sentence each, the first `most` of them by name.

    length: px, the size of an animal, by which the labels' smallest distance is told in pixels.
    of: what the animals are called that were looked at, such as "held-out frame".
    """

    def said(pair: Coinciding) -> str:
        share = (
            f"{100 * pair.share:.0f} % of {pair.of:,} {of}s"
            if pair.of >= 20
            else f"{pair.animals} of {count_text(pair.of, of)}"
        )
        if length > 0:
            where = f"{pair.closest * length:.0f} px"
        else:
            where = f"{100 * pair.closest:.1f} % of the animal's length"
        labels = (
            f"in labels on {pair.labelled_as_one} of {pair.labelled}"
            if pair.labelled_as_one
            else f"in labels they are never closer than {where}"
        )
        return f"{names[pair.first]} and {names[pair.second]} are one point on {share}; {labels}."

    lines = [said(pair) for pair in found[:most]]
    if (more := len(found) - most) > 0:
        lines.append(f"So are {count_text(more, 'more pair')} of keypoints.")
    return lines


# In a run's folder


def from_json(stored: Mapping[str, Any], path: str) -> LabelDistances:
    """Returns the distances of label_distances.json, whose fields are those of `LabelDistances` as lists.
    Raises InputError, which names `path`, for anything else."""
    with foreign(path, "copy the file again"):
        known = LabelDistances(
            tuple(map(str, stored["names"])),
            *(np.array(stored[name], np.int64) for name in ("animals", "one_point")),
            np.array(stored["closest"], np.float64),
            float(stored["size"]),
        )
    square = (len(known.names),) * 2
    if {array.shape for array in known[1:4]} != {square} or not (
        (known.animals >= known.one_point).all() and (known.one_point >= 0).all()
    ):
        raise InputError(
            f"{path}: its numbers do not belong to {len(known.names)} keypoints; copy the file again"
        )
    return known
