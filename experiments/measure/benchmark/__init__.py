"""Costs, as ratios of things timed in turns on the same machine: a step and a video beside PyTorch.

Command   python -m experiments.measure.benchmark                    (all rows; 2 CPU cores, about 10 minutes)
          python -m experiments.measure.benchmark pytorch --json ratios.json
          python -m experiments.measure.benchmark pytorch video --cores 1 --keep
                                                    (into results.csv, of which results.md is rendered)
"""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from experiments.measure.benchmark.timing import Effort, Row
from experiments.measure.rows import Result, merge_rows, read_results, write_results
from kpjax import InputError
from kpjax.cores import usable_cores
from kpjax.files import write_json
from kpjax.papers.parsing import flags_in_messages, flags_of, parse
from kpjax.training.identity import commit

ROWS = {  # a module of this folder, and what it measures
    "pytorch": "the same network, batch and loss in PyTorch on this machine, over ours",
    "video": "a video in PyTorch over `kpjax predict`",
}
DESCRIPTION = "\n".join(
    (
        "Measures costs, as ratios of things timed in turns on the same machine.",
        "",
        "A figure is the median over rounds, with minimum and maximum. On a machine that does "
        "other work, read the ratios of processor time beside them, where they stand.",
        "",
        *(f"- {name}: {line}" for name, line in ROWS.items()),
    )
)


@tyro.conf.configure(tyro.conf.DisallowNone, tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True)
class Benchmark:
    """The command line."""

    #: all, if none is named
    rows: Annotated[Positional[tuple[Literal[tuple(ROWS)], ...]], arg(metavar="ROWS")] = ()
    rounds: int = Effort.rounds  # turns of each candidate
    seconds: float = Effort.seconds  # seconds of one turn
    json: Path | None = None  # a file for the rows
    cores: int = 0  # cores that the process may use, of those that it has; 0 for all
    keep: bool = False  # write ratios into results.csv beside this program

    def __post_init__(self):
        if self.rounds < 1 or self.seconds <= 0:
            raise InputError("rounds", "must be at least 1, and seconds above 0")


def line(row: Row) -> str:
    """Returns a row as text, in columns."""
    median, low_high = "-", ""
    if row.figure is not None:
        median, low_high = (
            f"{row.figure.median:.3g}",
            f"{row.figure.low:.4g} .. {row.figure.high:.4g} {row.unit}",
        )
    return f"{row.name:56} {median:>8} {low_high:>24}  {row.note}".rstrip()


def run(arguments: Sequence[str]) -> list[Row]:
    """Measures what a command line asks for, and prints each row as soon as it is there."""
    with flags_in_messages(flags_of(Benchmark)):
        asked = parse(
            Benchmark,
            arguments,
            prog="python -m experiments.measure.benchmark",
            description=DESCRIPTION,
        )
    if asked.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    # PyTorch needs room on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from kpjax.allocator import keep_freed_memory
    from kpjax.training.logging import environment_lines

    keep_freed_memory()
    print(*environment_lines(), sep="\n")
    print(
        f"{asked.rounds} rounds of {asked.seconds:g} s each\n\n{'row':56} {'median':>8} {'min .. max':>24}  note"
    )
    rows = []
    for name in asked.rows or ROWS:
        for row in importlib.import_module(f"{__name__}.{name}").rows(
            Effort(asked.rounds, asked.seconds)
        ):
            print(line(row), flush=True)
            rows.append(row)
    if asked.keep:
        keep(rows)
    if asked.json:
        write_json(
            asked.json,
            [row._asdict() | {"figure": row.figure and row.figure._asdict()} for row in rows],
        )
    return rows


def keep(rows: Sequence[Row]) -> None:
    """Writes the ratios among rows into results.csv, each under the number of cores."""
    import jax

    room, cores = Path(__file__).parent, usable_cores()
    new = [
        Result(
            "ratios",
            f"cores={cores}",
            row.name,
            "median",
            metric,
            value,
            device=f"{cores} {jax.devices()[0].device_kind}",
            date=datetime.now(UTC).date().isoformat(),
            commit=commit() or "unknown",
        )
        for row in rows
        if row.figure is not None and row.unit == "x"
        for metric, value in (("time", row.figure.median), ("processor", row.processor))
        if value is not None
    ]
    write_results(room, merge_rows(read_results(room), new))
