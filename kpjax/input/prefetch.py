"""Iterators computed by other threads, a bounded number of items ahead of their reader."""
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 2, depth: int = 4
) -> Iterator[Result]:
    """Yields `read(item)` for every item, in order, computed by `threads` up to `depth` items ahead.

    Two threads are as fast as more while a network trains. An exception in `read` is raised where its result is due.
    Close the iterator to drop what was read ahead.
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

    An exception is raised where its item is due. Close the iterator to end the thread and, if it is a generator,
    `items`.
    """
    iterator, end = iter(items), object()
    ahead = read_ahead(lambda _: next(iterator, end), itertools.repeat(None), threads=1, depth=depth)
    try:
        with contextlib.closing(ahead):
            yield from itertools.takewhile(lambda item: item is not end, ahead)
    finally:
        if hasattr(items, "close"):
            items.close()
