"""Batches for the devices, read ahead of the step that needs them."""
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 2, depth: int = 4
) -> Iterator[Result]:
    """`read(item)` for every item, in order, computed by a few threads up to `depth` items ahead.

    Two threads are as fast as more while a network trains beside them. An exception in `read` is raised where its
    result is due. Close the iterator to drop what was read ahead.
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
