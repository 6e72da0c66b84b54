"""Timing of candidates in turns, so that other work on the machine falls on all of them alike, and lines of a table."""
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


def interleaved(candidates: Mapping[str, Callable[[], None]], *, rounds: int, seconds: float,
                warm_up: int = 2) -> dict[str, Samples]:
    """Times every candidate, a call that returns when its work is done, once per round, in turns: A B A B.

    seconds: roughly, of a turn. warm_up: first calls, not counted; the last decides how many calls make a turn.
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


# The table


@dataclass(frozen=True)
class Effort:
    """Time spent on measurements."""

    rounds: int = 9
    seconds: float = 0.5  # of one candidate's turn

    def times(self, candidates: Mapping[str, Callable[[], None]], *, most: int = 99, warm_up: int = 2
              ) -> dict[str, Samples]:
        """Times candidates in turns, in at most so many rounds."""
        return interleaved(candidates, rounds=min(self.rounds, most), seconds=self.seconds, warm_up=warm_up)


@dataclass(frozen=True)
class Row:
    """A line of the table. The note of a row without a figure says why it has none."""

    name: str
    figure: Spread | None = None
    unit: str = "x"
    bar: float | None = None  # that the figure must keep to
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """pass, over, under, or nothing if there is no bar."""
        if self.figure is None or self.bar is None:
            return "" if self.figure else "not run"
        kept = self.figure.median <= self.bar if self.at_most else self.figure.median >= self.bar
        return "pass" if kept else "over" if self.at_most else "under"


def compared(name: str, times: Mapping[str, Samples], over: str, under: str, *, bar: float | None = None,
             note: str = "") -> Row:
    """Returns the time of one candidate over that of another, with both times and the ratio of processor time."""
    return Row(name, ratio(times[over], times[under]), bar=bar, note=(
        f"{milliseconds(times[over])} and {milliseconds(times[under])}; processor time "
        f"{processor_ratio(times[over], times[under]):.2f}{'; ' if note else ''}{note}"))


def exact(value: float) -> Spread:
    """Returns the figure of something that is counted, not timed."""
    return Spread(value, value, value)


def milliseconds(samples: Samples) -> str:
    """Returns the median of some samples, for a note."""
    return f"{1e3 * spread(samples.wall).median:.1f} ms"


def pytorch_missing(name: str) -> Row | None:
    """Returns the row to print where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return Row(name, note="PyTorch is not installed: pip install torch")
    return None
