"""Batches as a function of the step: repeatable, complete, and the same for any number of processes."""
import contextlib

import jax
import numpy as np
import pytest
from records import stored_record

from kpjax.errors import InputError
from kpjax.images.transforms import Stretch
from kpjax.input.source import TfdsSource, arrays
from kpjax.input.stream import read_by_processes, stream
from kpjax.structures import Example, Skeleton


@pytest.fixture(scope="module")
def source():
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 4, 4, 3))
    return arrays(images, np.ones((10, 1, 2)), np.ones((10, 1)), Skeleton(("centre",)), "ten")


def numbers(batches) -> list[int]:
    return [int(number) for batch in batches for number in batch.index]


def assert_equal(one: Example, other: Example) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_batches_are_a_function_of_seed_and_step(source):
    one, other = (stream(source, batch_size=4, seed=7) for _ in range(2))
    for step in (5, 0, 1_000_000):
        assert_equal(one[step], other[step])
        np.testing.assert_array_equal(one[step].image[:, 0, 0, 0], one[step].index)
    assert numbers([one[0]]) != numbers([stream(source, batch_size=4, seed=8)[0]])


def test_every_epoch_is_a_permutation_of_its_own(source):
    batches = stream(source, batch_size=4, seed=0)
    seen = numbers(batches[step] for step in range(10))
    epochs = [seen[first:first + 10] for first in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in epochs)
    assert len({tuple(one) for one in epochs}) == 4
    in_order = stream(source, batch_size=4, seed=0, shuffle=False)
    assert numbers([in_order[2], in_order[3]]) == [8, 9, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("processes", [2, 4])
def test_the_global_batch_does_not_depend_on_the_number_of_processes(source, processes):
    whole = stream(source, batch_size=4, seed=3)
    parts = [stream(source, batch_size=4, seed=3, process_index=index, process_count=processes)
             for index in range(processes)]
    for step in range(6):
        joined = jax.tree.map(lambda *rows: np.concatenate(rows), *(part[step] for part in parts))
        assert_equal(joined, whole[step])


def test_unlabelled_streams_carry_no_labels(source):
    batch = stream(source, batch_size=4, seed=0, labelled=False)[0]
    assert batch.keypoints.shape == (4, 1, 2)
    assert not batch.keypoints.any()
    assert not batch.visible.any()


def test_a_batch_may_be_larger_than_a_handful_of_labelled_images(source):
    batches = stream(source, batch_size=16, seed=0, repeats=True)
    seen = numbers(batches[step] for step in range(5))
    assert [sorted(seen[first:first + 10]) for first in range(0, 80, 10)] == [list(range(10))] * 8
    counts = np.bincount(numbers([batches[3]]), minlength=10)
    assert counts.sum() == 16
    assert counts.min() >= 1
    parts = [stream(source, batch_size=16, seed=0, repeats=True, process_index=n, process_count=2) for n in (0, 1)]
    assert numbers(part[1] for part in parts) == numbers([batches[1]])


def test_processes_read_the_same_batches_and_raise_where_it_is_due():
    """Each record is the bytes of an image file; the last one is cut off."""
    source = TfdsSource([stored_record(number) for number in range(5)] + [stored_record(5, 0.5)],
                        Skeleton(("left", "right")), Stretch(8), "set/train")
    batches = stream(source, batch_size=2, seed=0, shuffle=False)
    with contextlib.closing(read_by_processes({"labelled": batches}, range(1, 3), workers=1)) as read:
        assert_equal(next(read)["labelled"], batches[1])
        with pytest.raises(InputError, match=r"set/train, image_5\.jpg: .*prepare the set again"):
            next(read)
