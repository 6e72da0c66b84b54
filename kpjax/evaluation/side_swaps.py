"""Left and right that change places from one frame to the next, found without labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CLOSER = 0.5  # share of the ways as they are, below which exchanged ones mean a swap
STEPS = 3.0  # usual steps of a pair: nearer to each other, left and right say nothing


class SideSwap(NamedTuple):
    """A moment at which two keypoints change places, and the one at which they change back."""

    row: int  # the first row on which they are exchanged
    until: int  # the row from which on they are not; the number of rows if they stay so
    pair: tuple[int, int]  # numbers of the keypoints


def side_swaps(points: np.ndarray, numbers: np.ndarray, flip: Sequence[int]) -> list[SideSwap]:
    """Finds where pairs of keypoints change places between neighbouring frames of a video.

    A pair is exchanged where both points go on from where the other one was: the sum of their ways
    is then less than `CLOSER` of that of the ways as they are. It must be further apart than `STEPS`
    of its usual steps, the median over the video. Which side is the right one cannot be known: of
    two moments the frames between are called exchanged, since most are right.

    Args:
        points: (N, K, 2) px of one animal, nan where unknown.
        numbers: (N,) of the frames, rising.
        flip: the number of each keypoint's mirror image; () without any.

    Returns them in the order of rows.
    """
    found = []
    step = np.diff(numbers).min() if len(numbers) > 1 else 1
    following = np.diff(numbers) == step
    for left, right in enumerate(flip):
        if left >= right:
            continue
        pair = points[:, [left, right]]
        stay = np.linalg.norm(pair[1:] - pair[:-1], axis=-1)
        cross = np.linalg.norm(pair[1:] - pair[:-1, ::-1], axis=-1)
        apart = np.linalg.norm(pair[:, 0] - pair[:, 1], axis=-1)
        known = np.isfinite(stay).all(1) & following
        if not known.any():
            continue
        usual = np.median(stay[known])
        far = np.minimum(apart[1:], apart[:-1]) > STEPS * usual
        moments = np.flatnonzero(known & far & (cross.sum(1) < CLOSER * stay.sum(1))) + 1
        ends = [*moments[1::2], len(points)]
        for first, until in zip(moments[::2], ends, strict=False):
            found.append(SideSwap(int(first), int(until), (left, right)))
    return sorted(found)
