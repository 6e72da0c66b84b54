"""Which images of a set keep their labels, and whether two sets share a picture."""
import math
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.source import Source, digest_of, identities


class LabelledSplit(NamedTuple):
    """A source in two: the examples that keep their labels, and all others. Both in the order of the draw."""

    labelled: np.ndarray  # numbers in the source, int64
    rest: np.ndarray  # numbers in the source, int64
    digest: str  # of the source and of the labelled examples, whatever their order


def labelled_subset(
    source: Source, *, share: float | None = None, count: int | None = None, seed: int, need_unlabelled: bool = False,
) -> LabelledSplit:
    """Draws the labelled images of a semi-supervised run.

    The examples are sorted by their identities (as they come if they have none), put into the order of
    `np.random.default_rng(seed).permutation`, and the first ones are labelled: floor(share * N + 0.5) of them, or
    `count`. So smaller subsets of one seed are contained in larger ones, and a set that is stored in another order
    gives the same images.

    need_unlabelled: whether some have to be left. Raises InputError for more labels than there are examples, for none,
    and where unlabelled ones are needed and none is left.
    """
    total = len(source)
    if (share is None) == (count is None):
        raise InputError(f"{source.name}: say how many images are labelled either as a share or as a count")
    if share is not None:
        if not 0 < share <= 1:
            raise InputError(f"{source.name}: the labelled share is {share}; it must be more than 0 and at most 1")
        count = rounded_share(share, total)
    asked = f"{count} labelled images" + ("" if share is None else f" ({share:g} of {total})")
    if count > total:
        raise InputError(f"{source.name}: {asked} are asked for, but there are {total}; ask for at most {total}")
    if count < 1:
        raise InputError(f"{source.name}: {asked} are asked for; ask for at least 1")
    if need_unlabelled and count == total:
        raise InputError(f"{source.name}: {asked} leave no unlabelled image of {total}, and unlabelled ones are read; "
                         f"ask for at most {total - 1}")
    names = identities(source)
    in_order = np.arange(total) if names is None else np.array(sorted(range(total), key=names.__getitem__))
    drawn = in_order[np.random.default_rng(seed).permutation(total)]
    labelled = drawn[:count]
    chosen = np.sort(labelled) if names is None else sorted(names[number] for number in labelled)
    parts = [chosen] if names is None else chosen
    return LabelledSplit(labelled, drawn[count:], digest_of(source.digest, *parts))


def rounded_share(share: float, total: int) -> int:
    """floor(share * total + 0.5): 5 % of 3,610 is 181."""
    return math.floor(share * total + 0.5)


def check_disjoint(train: Source, test: Source, *, by_name: bool = True, by_pixels: bool = True) -> None:
    """Raises InputError, with the first of them, if an image of `train` is also in `test`.

    Two images are one if they have the same pixels, or if both sources name their examples and the names are equal: one
    photograph that was cropped in two ways. by_name: False for sets whose names hold within one split only. by_pixels:
    False spares reading every image of both sources once.
    """
    train_names, test_names = identities(train), identities(test)
    compare_names = by_name and train_names is not None and test_names is not None
    by_test_name = {name: number for number, name in enumerate(test_names)} if compare_names else {}
    by_test_pixels = {_pixels(test, number): number for number in range(len(test))} if by_pixels else {}
    shared = []
    for number in range(len(train)):
        twin = by_test_name.get(train_names[number]) if compare_names else None
        if twin is None and by_pixels:
            twin = by_test_pixels.get(_pixels(train, number))
        if twin is not None:
            shared.append(f"{_called(train_names, number)} is {_called(test_names, twin)} of {test.name}")
    if shared:
        raise InputError(f"{train.name}: {len(shared)} of {len(train)} images are in the test split: "
                         f"{summarise(shared)}; leave them out of one of the two")


def _pixels(source: Source, number: int) -> str:
    return digest_of(source[number].image)


def _called(names: tuple[str, ...] | None, number: int) -> str:
    return f"number {number}" if names is None else names[number]
