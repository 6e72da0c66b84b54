"""What a run says: its first lines, a progress bar, and rows of numbers for its loggers."""

import contextlib
import importlib.util
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from tqdm.auto import notebook_tqdm, std_tqdm, tqdm

from kpjax.allocator import convolutions_text
from kpjax.errors import InputError
from kpjax.files import writing
from kpjax.structures import Example
from kpjax.training.hosts import agreed
from kpjax.training.identity import versions
from kpjax.training.loggers import JsonLines, Logger, OpenLogger, TensorBoard

LINE = 110  # letters of a line on a screen
# stages by their names, which enter random keys, and how they are called
SHOWN = {"warm start": "labels first"}
PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal to draw a bar on


def require_accelerator() -> None:
    """Raises InputError if JAX found no accelerator and would fall back to the CPU."""
    if jax.default_backend() == "cpu":
        raise InputError(
            "require_accelerator",
            "JAX found only the CPU; install kpjax[cuda] or kpjax[tpu], and check "
            "that the driver sees the device",
        )


def environment_lines() -> list[str]:
    """Returns two lines: backend, number and kind of devices, on CPUs the convolutions that run;
    versions of the packages that decide the result.
    """
    kinds = sorted({device.device_kind for device in jax.devices()})
    processes = f", {jax.process_count()} processes" if jax.process_count() > 1 else ""
    backend = jax.default_backend()
    convolutions = f"; {convolutions_text()}" if backend == "cpu" else ""
    return [
        f"{backend}: {jax.device_count()} x {', '.join(kinds)}{processes}{convolutions}",
        ", ".join(f"{name} {version}" for name, version in versions().items()),
    ]


def stage_lines(
    stage: str, sources: Mapping[str, object], batch: Mapping[str, Example], state, rates: str
) -> list[str]:
    """Returns the size of each stream's data, the visible share of its first batch, the number of
    parameters and their `rates`, in a line, or as many as fit the screen.
    """
    parts = []
    for name, example in batch.items():
        source = sources[name]
        size = (
            f"{len(source):,} example{'' if len(source) == 1 else 's'}"
            if hasattr(source, "__len__")
            else "examples"
        )
        visible = np.asarray(example.visible) > 0
        labels = f"{visible.mean():.0%} of keypoints labelled" if visible.any() else "no labels"
        parts.append(f"{name} = {getattr(source, 'name', '?')}, {size}, {labels}")
    # An optimizer may leave some of `params` as they are; that only it knows.
    params = _count(state.variables.get("params", {}))
    fixed = _count(state.frozen)
    of_fixed = f", {fixed:,} of them in fixed networks" if fixed else ""
    parts += [f"{params + fixed:,} parameters{of_fixed}", *filter(None, [rates])]
    return textwrap.wrap(
        f"{SHOWN.get(stage, stage)}: {'; '.join(parts)}",
        LINE,
        subsequent_indent="    ",
        break_on_hyphens=False,
    )


def rates_text(rates: Callable[[float], Mapping[str, float]] | None, steps: int) -> str:
    """Returns the learning rate of each group of parameters at the first and at the last step.

    rates: of a method, see `kpjax.optimization.group_rates`; "" for None. Groups with the same
    rates stand together.
    """
    if rates is None:
        return ""
    first = rates(0)
    last = rates(steps - 1)
    groups: dict[str, list[str]] = {}
    for name in first:
        shown = f"{first[name]:.3g}"
        if last[name] != first[name]:
            shown += f" to {last[name]:.3g}"
        groups.setdefault(shown, []).append(name)
    parts = [f"{shown} of {', '.join(names)}" for shown, names in groups.items()]
    return f"learning rate {'; '.join(parts)}"


def _count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


class Log:
    """The log of one stage; a context manager. Only process 0 writes: `metrics.jsonl`,
    TensorBoard's events if tensorboardX is installed, and what `more` opens."""

    def __init__(
        self,
        folder: Path,
        stage: str,
        start: int,
        steps: int,
        quiet: bool,
        more: Sequence[OpenLogger] = (),
    ):
        self.folder = folder
        self.stage = stage
        self.start = start
        self.steps = steps
        self.shown = SHOWN.get(stage, stage)
        # has events of the extra `lab`
        has_events = importlib.util.find_spec("tensorboardX") is not None
        self.opened = (JsonLines, *([TensorBoard] if has_events else []), *more)
        self.loggers: list[Logger] = []
        self.fault: InputError | None = None  # of the disc, which other processes do not know of
        self.writes = jax.process_index() == 0
        self.shows = self.writes and not quiet
        # the two differ in a notebook alone
        self.plain = not sys.stderr.isatty() and notebook_tqdm is std_tqdm

    def __enter__(self):
        self.reported = time.monotonic()
        self.bar = tqdm(
            total=self.steps,
            initial=self.start,
            desc=self.shown,
            disable=not self.shows or self.plain,
            dynamic_ncols=True,
            bar_format="{desc} {n_fmt}/{total_fmt} {bar} {postfix}",
        )

        def open_all() -> None:
            with writing(self.folder / "metrics.jsonl"):
                for open_logger in self.opened:
                    self.loggers.append(open_logger(self.folder, self.stage, self.start))

        agreed("opening the log", open_all)
        return self

    def __exit__(self, *raised):
        self.bar.close()
        for logger in self.loggers:
            # A full disc was reported when a row was written.
            with contextlib.suppress(OSError, InputError):
                logger.close()

    def row(self, step: int, metrics: Mapping[str, float]) -> None:
        """Gives a row to all loggers. Raises InputError if the disc refuses; of several processes
        `keep` does, where all are together.
        """
        values = {name: float(value) for name, value in metrics.items()}
        try:
            for logger in self.loggers:
                logger.write(step, values)
        except InputError as error:
            if jax.process_count() == 1:
                raise
            self.fault = self.fault or error

    def keep(self) -> None:
        """Returns once all rows so far would outlast this process. Raises InputError if the disc
        has refused one."""
        if self.fault:
            raise self.fault
        for logger in self.loggers:
            logger.keep()

    def progress(
        self, step: int, steps_per_second: float, images_per_step: int, metrics: Mapping[str, float]
    ) -> None:
        """Moves the bar; without a terminal, prints a line every few seconds."""
        left = (self.steps - step) / steps_per_second if steps_per_second > 0 else 0.0
        loss = f", loss {metrics['loss/total']:.4g}" if "loss/total" in metrics else ""
        text = (
            f"{steps_per_second:.1f} steps/s, {steps_per_second * images_per_step:.0f} images/s, "
            f"{tqdm.format_interval(left)} left{loss}"
        )
        self.bar.n = step
        self.bar.set_postfix_str(text)
        if (
            self.shows
            and self.plain
            and (time.monotonic() - self.reported > PLAIN_INTERVAL or step == self.steps)
        ):
            self.reported = time.monotonic()
            self.say(f"{self.shown} {step}/{self.steps}: {text}")

    def say(self, *lines: str) -> None:
        """Prints lines above the bar."""
        if self.shows:
            for line in lines:
                self.bar.write(line, file=sys.stderr) if not self.plain else print(
                    line, file=sys.stderr, flush=True
                )
