"""Timing of candidates in turns, so that other work on the machine falls on all of them alike."""
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
    """Computes median, minimum and maximum of some numbers."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def interleaved(
    candidates: Mapping[str, Callable[[], None]], *, rounds: int, seconds: float, warm_up: int = 2
) -> dict[str, Samples]:
    """Times every candidate once per round, in turns: A B A B.

    Args:
        candidates: calls that return when their work is done.
        rounds: turns of each.
        seconds: roughly, of a turn.
        warm_up: first calls that are not counted; the last of them decides how many calls make a turn.
    """
    calls = {}
    for name, run in candidates.items():
        for _ in range(max(1, warm_up)):
            began = time.perf_counter()
            run()
            took = time.perf_counter() - began
        calls[name] = max(1, round(seconds / max(took, 1e-9)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began, began_processor = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                run()
            times[name].append(((time.perf_counter() - began) / calls[name],
                                (time.process_time() - began_processor) / calls[name]))
    return {name: Samples(*zip(*pairs, strict=True)) for name, pairs in times.items()}


def ratio(over: Samples, under: Samples) -> Spread:
    """Divides the time of one by that of the other, round by round."""
    return spread(a / b for a, b in zip(over.wall, under.wall, strict=True))


def processor_ratio(over: Samples, under: Samples) -> float:
    """Divides the median processor time of one by that of the other: a busy machine disturbs it least."""
    return statistics.median(over.processor) / statistics.median(under.processor)
