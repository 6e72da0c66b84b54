"""A line of the benchmark's table, and how long it may take to find it out."""
import importlib.util
from dataclasses import dataclass

from experiments.benchmark.timing import Samples, Spread, spread


@dataclass(frozen=True)
class Effort:
    """How long things are timed."""

    rounds: int = 9
    seconds: float = 0.5  # of one candidate's turn


@dataclass(frozen=True)
class Row:
    """A line of the table. `bar` is what the figure is held against; a row without a figure says in `note` why."""

    name: str
    figure: Spread | None = None
    unit: str = "x"
    bar: float | None = None
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


def milliseconds(samples: Samples) -> str:
    """The median of some samples, for a note."""
    return f"{1e3 * spread(samples.wall).median:.1f} ms"


def pytorch_missing(name: str) -> Row | None:
    """The row to print where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return Row(name, note="PyTorch is not installed: pip install torch")
    return None
