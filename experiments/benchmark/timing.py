"""Timing of things beside each other: in turns, so that what else the machine does falls on all of them alike."""
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Samples(NamedTuple):
    """Seconds per call, one entry per round."""

    wall: tuple[float, ...]
    processor: tuple[float, ...]  # of all threads of this process, so that it may exceed `wall`


class Spread(NamedTuple):
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float


def spread(values) -> Spread:
    """Median, minimum and maximum of some numbers."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def interleaved(
    candidates: Mapping[str, Callable[[], None]], *, rounds: int, seconds: float, warm_up: int = 2
) -> dict[str, Samples]:
    """Times every candidate once per round, in turns: A B A B.

    candidates: calls that return when their work is done. The first `warm_up` calls of each are not counted; the last
    of them decides how many calls make a turn of about `seconds`.
    """
    calls = {}
    for name, run in candidates.items():
        for _ in range(max(1, warm_up)):
            began = time.perf_counter()
            run()
            took = time.perf_counter() - began
        calls[name] = max(1, round(seconds / max(took, 1e-9)))
    wall: dict[str, list[float]] = {name: [] for name in candidates}
    processor: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began, began_processor = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                run()
            wall[name].append((time.perf_counter() - began) / calls[name])
            processor[name].append((time.process_time() - began_processor) / calls[name])
    return {name: Samples(tuple(wall[name]), tuple(processor[name])) for name in candidates}


def ratio(over: Samples, under: Samples) -> Spread:
    """Time of one over time of the other, round by round."""
    return spread(a / b for a, b in zip(over.wall, under.wall, strict=True))


def processor_ratio(over: Samples, under: Samples) -> float:
    """Processor time of one over that of the other, the medians: what a busy machine disturbs least."""
    return statistics.median(over.processor) / statistics.median(under.processor)
