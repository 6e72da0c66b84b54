"""A line of the benchmark's table, and the time that may be spent on it."""
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from experiments.benchmark.timing import Samples, Spread, interleaved, processor_ratio, ratio, spread


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
        if self.figure is None:
            return "not run"
        if self.bar is None:
            return ""
        if self.at_most:
            return "pass" if self.figure.median <= self.bar else "over"
        return "pass" if self.figure.median >= self.bar else "under"


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
