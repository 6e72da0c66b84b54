"""Splits of examples into those that a probe is fitted on and those that test it, and minibatches
of the former.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise

# share of the widest feature: a narrower one may be noise alone and is not scaled up to the same size
LEAST_SPREAD = 1e-3


class Split(NamedTuple):
    """The numbers of the examples on either side, int64, rising; no number is on both."""

    fit: np.ndarray
    test: np.ndarray


def random_halves(count: int, seed: int) -> Split:
    """Assigns each example independently to one of two halves, a reading of Keypoint Pyramids (Qian
    et al. 2022, section 4.3), which splits its test data in two and says no more.

    Neighbouring frames of a video are nearly the same image, so most of the test half has a twin
    among the fitted
    examples: this split flatters, `halves_by` does not. Of an odd count the fitted half has one
    more. Raises InputError for fewer than two examples.
    """
    if count < 2:
        raise InputError(f"random halves: {count} examples have no two halves; give at least 2")
    order = np.random.default_rng(seed).permutation(count)
    middle = (count + 1) // 2
    fitted = np.sort(order[:middle])
    tested = np.sort(order[middle:])
    return Split(fitted, tested)


def halves_by(groups: ArrayLike, seed: int, *, kinds: ArrayLike | None = None) -> Split:
    """Assigns whole groups, for example videos or subjects, to one of two halves.

    Of an odd number of groups the fitted half has one more.

    Args:
        groups: (N,), the group of each example, of any type that compares.
        kinds: (N,), for example the action of each example's video; every kind that has two groups
            then has some on either side.

    Raises:
        InputError: for fewer than two groups, or a group whose examples are of several kinds.
    """
    names, first, member = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"halves by group: {len(names)} group cannot be split in two; give at least 2 videos or "
            "subjects, or split at random"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    if kinds is not None:
        kinds = np.asarray(kinds)
        differs = kinds != kinds[first][member]
        mixed = [str(name) for name in np.unique(names[member[differs]])]
        if mixed:
            raise InputError(
                f"halves by group: {len(mixed)} groups are of several kinds ({summarise(mixed)}); "
                "give all examples of a group the same"
            )
        # Shuffled, then sorted by kind: taking every other one deals out each kind evenly.
        _, kind_of_group = np.unique(kinds[first], return_inverse=True)
        order = order[np.argsort(kind_of_group[order], kind="stable")]
    tested = np.zeros(len(names), bool)
    tested[order[1::2]] = True
    is_tested = tested[member]
    return Split(np.flatnonzero(~is_tested), np.flatnonzero(is_tested))


# Scale and order of the fitted examples


def mean_and_deviation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (mean, deviation), each (F,) float64, of features (N, F).

    Deviations are >= 1/1000 of the largest.
    """
    centre = features.mean(0)
    spread = features.std(0)
    least = LEAST_SPREAD * float(spread.max(initial=0.0))
    return centre, np.maximum(spread, max(least, 1e-12))


def minibatches(count: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Returns (steps, batch_size) int64 numbers below `count`: one shuffled pass after another, cut
    into batches.

    A batch may span two passes, so a set smaller than a batch works too.
    """
    generator = np.random.default_rng(seed)
    passes = -(-steps * batch_size // count)
    order = np.concatenate([generator.permutation(count) for _ in range(passes)])
    return order[: steps * batch_size].reshape(steps, batch_size)
