"""Metrics of training steps, fetched with a lag, summed and checked, and the time of steps."""

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import numpy as np

LAG = 8  # steps that the host may run ahead of the devices


class NotFinite(Exception):
    """A loss or a gradient norm that is not finite: its step, and all such values by name."""

    def __init__(self, step: int, terms: Mapping[str, float]):
        super().__init__(step, terms)
        self.step = step
        self.terms = terms

    def __str__(self) -> str:
        # The total is rarely the one to blame.
        names = sorted(self.terms, key=lambda name: name == "loss/total")
        listed = ", ".join(f"{name} is {self.terms[name]}" for name in names)
        return f"step {self.step}: {listed}"


@dataclass
class Window:
    """Sums of metrics since the last line of the log.

    Part of a checkpoint, so that a resumed log is the same.
    """

    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, float]) -> None:
        self.count += 1
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        return {name: value / self.count for name, value in self.sums.items()}


@dataclass
class Pending:
    """Metrics on their way to the host, each a vector, so that a step costs one small transfer and
    no wait.
    """

    names: tuple[str, ...]
    queue: deque = field(default_factory=deque)

    def push(self, step: int, values: jax.Array) -> None:
        values.copy_to_host_async()
        self.queue.append((step, values))

    def pop(self, keep: int) -> list[tuple[int, dict[str, float]]]:
        """Returns all but the newest `keep`, oldest first.

        Raises NotFinite for the first step with such a value.
        """
        arrived = []
        while len(self.queue) > keep:
            step, values = self.queue.popleft()
            numbers = map(float, np.asarray(values))
            metrics = dict(zip(self.names, numbers, strict=True))
            wrong = {
                name: value
                for name, value in metrics.items()
                if name.startswith(("loss/", "gradient_norm/")) and not math.isfinite(value)
            }
            if wrong:
                raise NotFinite(step, wrong)
            arrived.append((step, metrics))
        return arrived


@dataclass
class Stopwatch:
    """Time spent on steps, without compiling, evaluating and saving."""

    seconds: float = 0.0
    steps: int = 0
    since: float | None = None

    def go(self) -> None:
        self.since = time.perf_counter()

    def pause(self) -> None:
        if self.since is not None:
            self.seconds += time.perf_counter() - self.since
        self.since = None

    def steps_per_second(self) -> float:
        seconds = self.seconds + (
            time.perf_counter() - self.since if self.since is not None else 0.0
        )
        if seconds > 0:
            return self.steps / seconds
        return 0.0
