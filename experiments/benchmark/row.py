"""Timing of candidates in turns, so that other work on the machine falls on all of them alike, and lines of a table."""
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
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


def spread(values: Iterable[float]) -> Spread:
    """Computes median, minimum and maximum of some numbers."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def ratio(over: Samples, under: Samples) -> Spread:
    """Divides the time of one by that of the other, round by round."""
    return spread(a / b for a, b in zip(over.wall, under.wall, strict=True))


def milliseconds(samples: Samples) -> str:
    """Returns the median of some samples, for a note."""
    return f"{1e3 * statistics.median(samples.wall):.1f} ms"


@dataclass(frozen=True)
class Effort:
    """Time spent on measurements."""

    rounds: int = 9
    seconds: float = 0.5  # roughly, of one candidate's turn

    def times(self, candidates: Mapping[str, Callable[[], None]], *, most: int = 99, warm_up: int = 2
              ) -> dict[str, Samples]:
        """Times every candidate, a call that returns when its work is done, once per round, in turns: A B A B.

        most: rounds, at the most. warm_up: first calls, not counted; the last decides how many calls make a turn.
        """
        calls = {}
        for name, run in candidates.items():
            for _ in range(warm_up):
                began = time.perf_counter()
                run()
                took = time.perf_counter() - began
            calls[name] = max(1, round(self.seconds / max(took, 1e-9)))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(min(self.rounds, most)):
            for name, run in candidates.items():
                began, began_processor = time.perf_counter(), time.process_time()
                for _ in range(calls[name]):
                    run()
                times[name].append(((time.perf_counter() - began) / calls[name],
                                    (time.process_time() - began_processor) / calls[name]))
        return {name: Samples(*zip(*pairs, strict=True)) for name, pairs in times.items()}


def resident_bytes() -> int:
    """Returns how much memory this process has. Linux alone."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


def memory_growth_row(name: str, code: str, note: str) -> Row:
    """Returns what a process of its own grows by, between the two counts of `resident_bytes` that its code prints."""
    if not Path("/proc/self/statm").is_file():
        return Row(name, note="only Linux reports how much memory a process has")
    # This process may keep more than it needs, from rows before.
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    before, after = (float(number) / 1e6 for number in printed[-2:])
    return Row(name, spread([max(0.0, after - before)]), "MB", bar=20.0,
               note=f"{before:.0f} and {after:.0f} MB; {note}")


def compared(name: str, times: Mapping[str, Samples], over: str, under: str, *, bar: float | None = None,
             note: str = "") -> Row:
    """Returns the time of one candidate over that of another, with both times and the ratio of processor time.

    A busy machine disturbs processor time least.
    """
    a, b = times[over], times[under]
    processor = statistics.median(a.processor) / statistics.median(b.processor)
    return Row(name, ratio(a, b), bar=bar, note="; ".join(filter(None, (
        f"{milliseconds(a)} and {milliseconds(b)}", f"processor time {processor:.2f}", note))))
