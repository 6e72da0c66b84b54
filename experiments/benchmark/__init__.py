"""Costs, as ratios of things timed in turns on the same machine.

Command   python -m experiments.benchmark                      (all rows; 2 CPU cores, about 8 minutes)
          python -m experiments.benchmark regda input --json ratios.json
"""
import importlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from experiments.benchmark.row import Effort, Row
from experiments.commands import command
from experiments.engine.parsing import flags_in_messages, flags_of, parse
from kpjax import InputError
from kpjax.files import write_json

ROWS = {  # name: the module of its function `<name>_rows`, and what it measures
    "regda": ("rows", "an iteration of RegDA over one of supervised training, beside their multiply-adds' own ratio"),
    "input": ("input", "how fast batches are read over how fast steps take them, JPEG files read in several ways"),
    "import": ("rows", "`import kpjax` in a fresh process"),
    "pytorch": ("pytorch", "the same network, batch and loss in PyTorch on this CPU, over ours"),
    "layers": ("layers", "every kind of convolution of these networks and its gradients, PyTorch over ours"),
    "accelerator": ("pytorch", "PoseResNet-101, 256 px, bfloat16: PyTorch over ours, RegDA's ratio, FLOPs utilisation"),
    "hrnet": ("pytorch", "HRNet-W32 the same way, without RegDA"),
    "growth": ("rows", "cost as the batch, the keypoints and the image grow"),
    "methods": ("rows", "steps/s and images/s of every method"),
    "semi_supervised": ("systems", "a step over a supervised one, the semantic product's memory, more keypoints"),
    "teachers": ("systems", "steps of easy and hard views and of teacher_adaptation over a supervised one"),
    "incremental": ("systems", "steps of baselines and KAMP's second stage over finetuning's; importances"),
    "pyramids": ("systems", "a step over KeyNet's and Transporter's, prediction with wider decoders, reading video"),
    "adaptation": ("systems", "bytes of gradients and optimizer states, and a step, of `adapted` over finetuning's"),
    "prediction": ("prediction", "keypoints on a video over the slower of reading and the network; 10,000 frames"),
}
DESCRIPTION = "\n".join((
    "Measures costs, as ratios of things timed in turns on the same machine.", "",
    "A figure is the median over rounds, with minimum and maximum. On a machine that does other work, read the ratios "
    "of processor time beside them, where they stand.", "", *(f"- {name}: {line}" for name, (_, line) in ROWS.items())))


@command
@dataclass(frozen=True)
class Benchmark:
    """The command line."""

    rows: Annotated[Positional[tuple[Literal[tuple(ROWS)], ...]], arg(metavar="ROWS")] = ()  # all, if none is named
    rounds: int = Effort.rounds  # turns of each candidate
    seconds: float = Effort.seconds  # of one turn
    json: Path | None = None  # a file for the rows

    def __post_init__(self):
        if self.rounds < 1 or self.seconds <= 0:
            raise InputError("rounds", "must be at least 1, and seconds above 0")


def line(row: Row) -> str:
    """Returns a row as text, in columns."""
    median, low_high, bar = "-", "", ""
    if row.figure is not None:
        median = f"{row.figure.median:.3g}"
        low_high = f"{row.figure.low:.4g} .. {row.figure.high:.4g} {row.unit}"
        bar = "" if row.bar is None else f"{'<=' if row.at_most else '>='} {row.bar:.4g}"
    return f"{row.name:48} {median:>8} {low_high:>21} {bar:>10}  {row.verdict:7}  {row.note}".rstrip()


def run(arguments: Sequence[str]) -> list[Row]:
    """Measures what a command line asks for, and prints each row as soon as it is there."""
    with flags_in_messages(flags_of(Benchmark)):
        asked = parse(Benchmark, arguments, prog="python -m experiments.benchmark", description=DESCRIPTION)
    # PyTorch needs room on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from kpjax.allocator import keep_freed_memory
    from kpjax.training.logging import environment_lines

    keep_freed_memory()
    load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(*environment_lines(), sep="\n")
    print(f"{asked.rounds} rounds of {asked.seconds:g} s each{load}\n")
    print(f"{'row':48} {'median':>8} {'min .. max':>21} {'bar':>10}  verdict  note")
    rows = []
    for name in asked.rows or ROWS:
        module = importlib.import_module(f"{__name__}.{ROWS[name][0]}")
        for row in getattr(module, f"{name}_rows")(Effort(asked.rounds, asked.seconds)):
            print(line(row), flush=True)
            rows.append(row)
    if asked.json:
        write_json(asked.json, [asdict(row) | {"figure": row.figure and row.figure._asdict(), "verdict": row.verdict}
                                for row in rows])
    return rows
