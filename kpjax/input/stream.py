"""Batches as a function of the step, so that resuming needs no other position in the data."""

import contextlib
import functools
import itertools
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from kpjax.cores import usable_cores
from kpjax.errors import InputError
from kpjax.input.source import Source, TfdsSource, stack_examples, strip_labels
from kpjax.structures import Example

SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps what processes hand over
_SHUFFLING = 0x73687566  # separates these random numbers from others of a seed


class BatchStream(Protocol):
    """Batches by the number of the step that reads them: numpy, the examples of this process
    only."""

    @property
    def batch_size(self) -> int: ...  # of the global batch

    @property
    def source(self) -> Any: ...  # has `name`, `digest` and a length

    def __getitem__(self, step: int) -> Example: ...


@dataclass(frozen=True, eq=False)
class SourceStream:
    """An endless stream of batches: `stream[step]` has this process's examples of global batch
    `step`.

    Consecutive global batches run through one permutation of the source after another: every epoch
    shows every example once. Concatenated over the processes, a batch is the same for any number of
    them. In a batch larger than the source, the counts of examples differ by at most two: it may end
    one epoch and begin another.
    """

    source: Source
    batch_size: int  # batch size of all processes together
    labelled: bool
    rows: range  # rows of this process in each global batch
    repeats: bool  # whether a batch may be larger than the source
    seed: int | None  # seed of the shuffling; None keeps the source's order

    def number(self, position: int) -> int:
        """Returns which example of the source stands at a position of the endless sequence."""
        epoch, place = divmod(position, len(self.source))
        if self.seed is None:
            return place
        return int(_shuffle(len(self.source), self.seed, epoch)[place])

    def __getitem__(self, step: int) -> Example:
        batch = stack_examples(
            [self.source[self.number(step * self.batch_size + row)] for row in self.rows]
        )
        if self.labelled:
            return batch
        return strip_labels(batch)


@functools.lru_cache(maxsize=16)
def _shuffle(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([_SHUFFLING, seed, epoch]).permutation(count)


def _rows(batch_size: int, process_index: int, process_count: int, name: str) -> range:
    if batch_size % process_count:
        raise InputError(
            f"{name}: a batch of {batch_size} cannot be divided among {process_count} processes; "
            f"give a multiple of {process_count}"
        )
    share = batch_size // process_count
    return range(process_index * share, (process_index + 1) * share)


def stream(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    labelled: bool = True,
    repeats: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> SourceStream:
    """Returns the training batches of a source.

    Args:
        batch_size: Of all `process_count` processes together, among which a batch is divided.
        seed: Of the shuffling, 0 <= seed < 2**32.
        shuffle: Whether epochs are permuted.
        labelled: False strips the labels, so that no method can read them.
        repeats: Allows a batch larger than the source, for a few labelled images beside many
            others.

    Raises:
        InputError: For an empty source, a batch that is too large or too small, or one that cannot
            be divided equally.
    """
    if not hasattr(source, "name"):
        raise InputError(
            "source",
            f"{type(source).__name__} is not a source; build one from images and labels with `arrays`",
        )
    count = len(source)
    if count == 0:
        raise InputError(f"{source.name}: there is no example in it; choose another set")
    if batch_size < 1 or (batch_size > count and not repeats):
        raise InputError(
            f"{source.name}: the batch size is {batch_size}, but there are {count} examples; "
            f"choose 1 to {count}"
        )
    rows = _rows(batch_size, process_index, process_count, source.name)
    return SourceStream(source, batch_size, labelled, rows, repeats, seed if shuffle else None)


# Batches read by other processes


class _AtStep:
    """The batches of several streams by step; sent to other processes, so no closure."""

    def __init__(self, streams: Mapping[str, BatchStream]):
        self.streams = dict(streams)

    def __call__(self, step: int) -> dict[str, Example]:
        return {name: stream[int(step)] for name, stream in self.streams.items()}


def read_by_processes(
    streams: Mapping[str, BatchStream], steps: range, *, workers: int
) -> Iterator[dict[str, Example]]:
    """Yields the batches of all streams by step, in order, read by `workers` processes that hand
    them over in shared memory.

    Reading by Python's threads ends where their lock does, at about two cores. Streams are sent to
    every process: let them read files, not arrays in memory. An exception is raised where its batch
    is due. Close the iterator to end the processes. The script that calls this must be importable
    (`if __name__ == "__main__"`).
    """
    import absl.flags
    import grain

    # grain's processes look for flags of absl, which programs here do not have
    absl.flags.FLAGS.mark_as_parsed()
    batches = (
        grain.MapDataset.range(steps.start, steps.stop)
        .map(_AtStep(streams))
        .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
    )
    iterator = iter(
        batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers), worker_init_fn=_deaf)
    )
    try:
        yield from iterator
    finally:
        iterator.close()


def _deaf(*_: Any) -> None:
    """Leaves signals that a whole group of processes is sent to the one that saves its step."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN), signal.signal(signal.SIGINT, signal.SIG_IGN)


def workers_for(sources: Iterable[Source]) -> int:
    """Returns how many processes should read: none where images lie in memory, or where cores are
    needed to train.
    """
    cores = usable_cores()
    if cores > 4 and any(map(_decodes_files, sources)):
        return min(cores - 2, 32)
    return 0


def workers_with_room(workers: int, streams: Mapping[str, BatchStream], step: int) -> int:
    """Returns `workers`, or 0 where shared memory has no room for the batches that they hand over.

    A container has 64 MB of it by default, and a process that finds it full is killed. Says in one
    line what is needed. Reads the batches of a step to know their size.
    """
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    batches = [stream[step] for stream in streams.values()]
    size = sum(np.asarray(part).nbytes for batch in batches for part in batch)
    # each process has one that is taken, one that waits and one that is made, and those on their way
    # to the devices
    needed = (3 * workers + 3) * size
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed <= free:
        return workers
    print(
        f"{SHARED_MEMORY} has {free / 2**20:,.0f} MB free, and {workers} processes that read images may need "
        f"{needed / 2**20:,.0f} MB: two threads read instead, slower; enlarge it, in Docker by --shm-size",
        file=sys.stderr,
    )
    return 0


def _decodes_files(source: Any) -> bool:
    while source is not None and not isinstance(source, TfdsSource):
        source = getattr(source, "source", None)  # source of a view
    return source is not None


# Iterators computed by other threads, a bounded number of items ahead of their reader

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 2, depth: int = 4
) -> Iterator[Result]:
    """Yields `read(item)` for every item, in order, computed by `threads` up to `depth` items
    ahead.

    Two threads are as fast as more while a network trains. An exception in `read` is raised where
    its result is due. Close the iterator to drop what was read ahead.
    """
    pending: deque = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    try:
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) == depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_background(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yields the same items, produced by one other thread up to `depth` ahead.

    An exception is raised where its item is due. Close the iterator to end the thread and `items`,
    if it is a generator.
    """
    iterator = iter(items)
    end = object()
    ahead = read_ahead(
        lambda _: next(iterator, end), itertools.repeat(None), threads=1, depth=depth
    )
    try:
        with contextlib.closing(ahead):
            yield from itertools.takewhile(lambda item: item is not end, ahead)
    finally:
        if hasattr(items, "close"):
            items.close()
