"""An iterator that works in a thread of its own, a bounded number of items ahead of whoever reads it."""
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
LOOK_UP = 0.1  # seconds after which a thread that waits looks whether anyone still reads


class _End:
    """What comes after the last item: the exception that ended it, if one did."""

    def __init__(self, error: BaseException | None = None):
        self.error = error


def in_background(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """The same items, made by another thread up to `depth` ahead.

    An exception is raised where the item is due. Close the iterator to end the thread; `items` is closed there, if it
    is a generator.
    """
    waiting: queue.Queue = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=LOOK_UP)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        end = _End()
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as error:  # whatever it is belongs to the reader
            end = _End(error)
        finally:
            if hasattr(items, "close"):
                items.close()
        put(end)

    thread = threading.Thread(target=work, name="in-background", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


# Batches for the devices, read ahead of the step that needs them


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
