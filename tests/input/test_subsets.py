"""The draw of labelled images: the published rule, nested, the same for any order of storage."""
import dataclasses

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.input.source import ArraySource, arrays, check_disjoint, labelled_subset, rounded_share, subset
from kpjax.structures import Skeleton


def named(numbers, prefix="image"):
    """Four by four images of random pixels whose names are padded numbers."""
    images = np.stack([np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8) for number in numbers])
    source = arrays(images, np.ones((len(numbers), 1, 2)), np.ones((len(numbers), 1)), Skeleton(("centre",)), "set")
    return dataclasses.replace(source, names=tuple(f"{prefix}_{number:03d}" for number in numbers))


def unnamed(source: ArraySource) -> ArraySource:
    return dataclasses.replace(source, names=())


def test_published_sizes():
    assert [rounded_share(share, 5864) for share in (0.05, 0.1, 0.2, 0.5)] == [293, 586, 1173, 2932]
    assert [rounded_share(share, 3610) for share in (0.05, 0.1, 0.2, 0.5)] == [181, 361, 722, 1805]


def test_subsets_are_nested_and_do_not_depend_on_the_order_of_storage():
    source = named(range(20))
    small, large = (labelled_subset(source, count=count, seed=3) for count in (3, 11))
    np.testing.assert_array_equal(large.labelled[:3], small.labelled)
    shuffled = named([*range(7, 20), *range(7)])
    again = labelled_subset(shuffled, count=3, seed=3)
    assert [shuffled.names[n] for n in again.labelled] == [source.names[n] for n in small.labelled]


def test_the_digest_says_which_images_are_labelled():
    source = named(range(20))
    digests = [labelled_subset(source, count=count, seed=seed).digest for count, seed in ((3, 0), (3, 1), (4, 0))]
    digests.append(labelled_subset(unnamed(source), count=3, seed=0).digest)
    digests.append(labelled_subset(named(range(1, 21)), count=3, seed=0).digest)
    assert len(set(digests)) == 5
    assert labelled_subset(named(range(20)), count=3, seed=0).digest == digests[0]


def test_a_image_of_the_test_split_among_the_training_images_is_named():
    whole = named(range(20))
    train, test = subset(whole, range(12), "train"), subset(whole, range(12, 20), "test")
    check_disjoint(train, test)
    check_disjoint(train, subset(unnamed(whole), range(12, 20), "test"))
    leaking = subset(whole, range(14), "train")
    with pytest.raises(InputError, match=r"train: 2 of 14 images are in the test split: image_012 is image_012 of "
                                         "test; image_013.*leave them out"):
        check_disjoint(leaking, test)
    with pytest.raises(InputError, match=r"2 of 14 .*number 12 is number 0 of test"):
        check_disjoint(subset(unnamed(whole), range(14), "train"), subset(unnamed(whole), range(12, 20), "test"))
