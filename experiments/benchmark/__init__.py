"""What things cost, as ratios of things timed in turns on the same machine.

Command   python -m experiments.benchmark                      (all rows; 2 CPU cores, about 6 minutes)
          python -m experiments.benchmark regda input --json ratios.json
Rows      regda        an iteration of RegDA over one of supervised training, beside the multiply-adds' own ratio
          input        how fast batches are read, over how fast steps consume them
          import       `import kpjax` in a fresh process
          pytorch      the same network, batch and loss in PyTorch on this CPU, over ours
          accelerator  PoseResNet-101 at 256 px in bfloat16: PyTorch over ours, RegDA's ratio, model FLOPs utilisation
          hrnet        HRNet-W32 the same way, without RegDA
          growth       cost as the batch, the keypoints and the image grow
          methods      steps/s and images/s of every method
          semi_supervised  a step of the semi-supervised method over a supervised one on the same images, the memory
                       of its semantic product, and what four times as many keypoints cost
          incremental  steps of rivals and of KAMP's second stage over one of plain finetuning, and a pass that measures
                       importances
          pyramids     a step of Keypoint Pyramids over one of KeyNet and one of Transporter, prediction with wider
                       decoders, and reading video over a step
          prediction   points on a video over the slower of reading it and the network, and memory on 10,000 frames
          adaptation   bytes of gradients and optimizer states, and a step, of the adapted row over finetuning's
A figure is the median over rounds, with minimum and maximum. On a machine that does other work, read the ratios of
processor time beside them, where they stand.
"""
import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.benchmark.adaptation import adaptation_rows
from experiments.benchmark.incremental import incremental_rows
from experiments.benchmark.prediction import prediction_rows
from experiments.benchmark.pyramids import pyramids_rows
from experiments.benchmark.rows import ROWS as ROWS_OF_ADAPTATION
from experiments.benchmark.rows import Effort, Row
from experiments.benchmark.semi_supervised import semi_supervised_rows
from kpjax.errors import InputError
from kpjax.training.logging import environment_lines
from kpjax.training.malloc import keep_freed_memory

ROWS = {**ROWS_OF_ADAPTATION, "semi_supervised": semi_supervised_rows, "incremental": incremental_rows,
        "pyramids": pyramids_rows, "adaptation": adaptation_rows, "prediction": prediction_rows}


def line(row: Row) -> str:
    """A row as text, in columns."""
    if row.figure is None:
        return f"{row.name:48} {'-':>8} {'':>21} {'':>10}  {row.verdict:7}  {row.note}"
    low_high = f"{row.figure.low:.4g} .. {row.figure.high:.4g} {row.unit}"
    bar = "" if row.bar is None else f"{'<=' if row.at_most else '>='} {row.bar:.4g}"
    return f"{row.name:48} {row.figure.median:8.3g} {low_high:>21} {bar:>10}  {row.verdict:7}  {row.note}".rstrip()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags. Raises InputError for an unknown row or flag."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", exit_on_error=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="turns of each candidate")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of one turn")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    try:
        flags, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError(f"experiments.benchmark: {error}") from None
    if unknown:
        raise InputError(f"experiments.benchmark: flag {unknown[0]!r} is unknown; see --help")
    for name in flags.rows:
        if name not in ROWS:
            raise InputError(f"experiments.benchmark: row {name!r} is unknown; there are {', '.join(ROWS)}")
    if flags.rounds < 1 or flags.seconds <= 0:
        raise InputError("experiments.benchmark: --rounds is 1 or more and --seconds more than 0")
    if flags.json and not flags.json.absolute().parent.is_dir():
        raise InputError(f"--json: there is no folder {flags.json.absolute().parent}; create it first")
    return flags


def run(arguments: Sequence[str]) -> list[Row]:
    """Measures what a command line asks for, and prints each row as soon as it is there."""
    flags = parse(arguments)
    keep_freed_memory()
    # PyTorch needs room on the same accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(*environment_lines(), sep="\n")
    print(f"{flags.rounds} rounds of {flags.seconds:g} s each{load}\n")
    print(f"{'row':48} {'median':>8} {'min .. max':>21} {'bar':>10}  verdict  note")
    rows = []
    for name in flags.rows or ROWS:
        for row in ROWS[name](Effort(flags.rounds, flags.seconds)):
            print(line(row), flush=True)
            rows.append(row)
    if flags.json:
        stored = [asdict(row) | {"figure": row.figure and row.figure._asdict(), "verdict": row.verdict} for row in rows]
        try:
            flags.json.write_text(json.dumps(stored, indent=1) + "\n")
        except OSError as error:
            raise InputError(f"--json: {flags.json} cannot be written: {error.strerror}") from None
    return rows
