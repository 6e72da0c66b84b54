"""Which old keypoint is looked for from which new ones: the auxiliary task of a step of incremental learning.

Incremental Object Keypoint Learning (KAMP), arXiv 2503.20248, section 3.2. Its authors pick by hand, from a diagram of
the object, an old keypoint and two new ones beside it. The rule that stands in for the hand here is kpjax's own.
"""
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError
from kpjax.structures import Skeleton


class Triple(NamedTuple):
    """An old keypoint, and the new ones that it is to be told from."""

    old: str
    new: tuple[str, ...]  # two, or one where a step has no more


def hop_distances(skeleton: Skeleton) -> np.ndarray:
    """(K, K) float64: over how many edges of the skeleton two keypoints are joined, infinity where they are not."""
    count = len(skeleton.names)
    near = np.eye(count, dtype=bool)
    for a, b in skeleton.edges:
        near[a, b] = near[b, a] = True
    hops = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
    reached = np.eye(count, dtype=bool)
    for length in range(1, count):
        further = (reached.astype(int) @ near.astype(int)) > 0
        hops[further & ~reached] = length
        reached = further
    return hops


def mean_distances(
    skeleton: Skeleton, new: Sequence[str], predicted: np.ndarray, labelled: np.ndarray, visible: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """(K, K) float64: how far apart two keypoints lie in the images of a step: the mean share of the object's size.

    New keypoints lie where they are labelled, all others where the old model finds them: no label of those is read.

    predicted, labelled: (N, K, 2) px. visible: (N, K), which of the new keypoints are labelled. size: (N,) px. A pair
    that is in no image is infinitely far apart.
    """
    is_new = np.isin(np.arange(len(skeleton.names)), [skeleton.index(name) for name in new])
    points = np.where(is_new[:, None], labelled, predicted).astype(np.float64)
    known = (np.asarray(visible) > 0) | ~is_new
    apart = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1) / np.asarray(size, np.float64)[:, None, None]
    both = known[:, :, None] & known[:, None]
    counts = both.sum(0)
    return np.where(counts > 0, np.where(both, apart, 0).sum(0) / np.maximum(counts, 1), np.inf)


def automatic_triples(
    skeleton: Skeleton, old: Sequence[str], new: Sequence[str], *, count: int = 1, distance: str = "hops",
    apart: np.ndarray | None = None,
) -> tuple[Triple, ...]:
    """The triples of neighbours: at most `count`, the closest first, every old keypoint in one of them only.

    A triple is the closer the smaller the sum of the distances from its old keypoint to its two new ones; of equals the
    one whose new keypoints are closer to each other, then the one that `apart` says is closer, then the one of the
    lowest numbers. With a single new keypoint there is but one distance.

    distance: "hops" along the skeleton's edges, or "euclid", as in `apart`. apart: (K, K), see `mean_distances`; "hops"
    goes on to the lowest numbers at once without it. Raises InputError for an unknown distance, for "euclid" without
    `apart`, if old or new is empty, and if no old keypoint is joined to the new ones.
    """
    if distance not in ("hops", "euclid"):
        raise InputError(f"triple: distance is {distance!r}; choose hops or euclid")
    if distance == "euclid" and apart is None:
        raise InputError("triple: distance euclid needs predictions of the old model on the images of the step")
    if not (len(old) and len(new)):
        raise InputError(f"triple: {len(old)} old and {len(new)} new keypoints; there must be one of each")
    length = hop_distances(skeleton) if distance == "hops" else apart
    apart = np.zeros_like(length) if apart is None else apart
    numbers = sorted(skeleton.index(name) for name in new)
    candidates = []
    for known in sorted(skeleton.index(name) for name in old):
        for chosen in _choices(numbers):
            ends = list(chosen)
            rank = (length[known, ends].sum(), length[ends[0], ends[-1]], apart[known, ends].sum())
            candidates.append((*map(float, rank), known, chosen))
    taken: dict[int, tuple[int, ...]] = {}
    for nearness, _, _, known, chosen in sorted(candidates):
        if len(taken) < count and known not in taken and np.isfinite(nearness):
            taken[known] = chosen
    if not taken:
        raise InputError(f"triple: no line of the skeleton leads from an old keypoint to {' and '.join(new[:2])}; "
                         "state the triples, or measure the distance by euclid")
    return tuple(Triple(skeleton.names[known], tuple(skeleton.names[k] for k in chosen))
                 for known, chosen in taken.items())


def random_triples(
    skeleton: Skeleton, old: Sequence[str], new: Sequence[str], *, seed: int | Sequence[int], count: int = 1,
) -> tuple[Triple, ...]:
    """At most `count` triples at random, every old keypoint in one of them only: an ablation of the paper.

    The order in which the names come does not matter. Raises InputError if old or new is empty.
    """
    if not (len(old) and len(new)):
        raise InputError(f"triple: {len(old)} old and {len(new)} new keypoints; there must be one of each")
    generator = np.random.default_rng(seed)
    choices = _choices(sorted(skeleton.index(name) for name in new))
    order = generator.permutation(sorted(skeleton.index(name) for name in old))[:count]
    return tuple(Triple(skeleton.names[known], tuple(skeleton.names[k] for k in choices[pick]))
                 for known, pick in zip(order, generator.integers(len(choices), size=len(order)), strict=True))


def _choices(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """All pairs of the new keypoints, or the one that there is."""
    return list(combinations(numbers, 2)) if len(numbers) > 1 else [tuple(numbers)]
