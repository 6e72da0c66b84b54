"""Timing of candidates in turns, so that other work on the machine falls on all of them alike, and
lines of a table.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Samples(NamedTuple):
    """Seconds per call, one entry per round."""

    wall: tuple[float, ...]
    #: processor time of all threads of this process, which may exceed `wall`
    processor: tuple[float, ...]


class Spread(NamedTuple):
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float


class Row(NamedTuple):
    """A line of the table. The note of a row without a figure says why it has none."""

    name: str
    figure: Spread | None = None
    unit: str = "x"
    note: str = ""
    #: the same ratio of processor time, which a busy machine disturbs least
    processor: float | None = None


@dataclass(frozen=True)
class Effort:
    """Time spent on measurements."""

    rounds: int = 9
    seconds: float = 0.5  # roughly, of one candidate's turn

    def times(self, candidates: Mapping[str, Callable[[], object]]) -> dict[str, Samples]:
        """Times every candidate, a call that returns when its work is done, once per round, in
        turns: A B A B.

        Of two first calls, which are not counted, the second decides how many calls make a turn.
        """
        calls = {}
        for name, run in candidates.items():
            for _ in range(2):
                began = time.perf_counter()
                run()
                took = time.perf_counter() - began
            calls[name] = max(1, round(self.seconds / max(took, 1e-9)))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(self.rounds):
            for name, run in candidates.items():
                began, began_processor = time.perf_counter(), time.process_time()
                for _ in range(calls[name]):
                    run()
                times[name].append(
                    (
                        (time.perf_counter() - began) / calls[name],
                        (time.process_time() - began_processor) / calls[name],
                    )
                )
        return {name: Samples(*zip(*pairs, strict=True)) for name, pairs in times.items()}


def spread(values: Iterable[float]) -> Spread:
    """Computes median, minimum and maximum of some numbers."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def milliseconds(samples: Samples) -> str:
    """Returns the median of some samples, for a note."""
    return f"{1e3 * statistics.median(samples.wall):.1f} ms"


def compare(name: str, over: Samples, under: Samples, note: str = "") -> Row:
    """Returns the time of one candidate over that of another, round by round, with both and the
    processor's ratio.
    """
    processor = statistics.median(over.processor) / statistics.median(under.processor)
    return Row(
        name,
        spread(a / b for a, b in zip(over.wall, under.wall, strict=True)),
        note="; ".join(
            filter(
                None,
                (
                    f"{milliseconds(over)} and {milliseconds(under)}",
                    f"processor time {processor:.2f}",
                    note,
                ),
            )
        ),
        processor=processor,
    )
