"""RegDA's table on the sprites: all six directions in one table, with the directions that leave something to win.

Command   python -m experiments.regda.sprites --seeds 3              (64 px, 2 CPU cores, about an hour)
          python -m experiments.regda.sprites --size paper           (256 px, for a GPU)

A direction is *open* on the given tuning seeds if the best control has more than twice the oracle's error there: where
new BatchNorm statistics reach the oracle already, no method has anything to add. Stopped, the command goes on.
"""
import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from experiments.command_line import (
    exit_code_of,
    jobs_of,
    prepare_process,
    preset_folder,
    read_command,
    show_table,
)
from experiments.regda import EXPERIMENT
from experiments.regda.published import SPRITES_MAE
from experiments.job_queue import markdown, outcome_lines, raise_for_failures, work_through
from kpjax.reports.finished_runs import read_variants

DIRECTIONS = tuple(SPRITES_MAE)
CONTROLS = ("constant_centre", "adabn", "adabn_in_area")
ROWS = ("source_only", *CONTROLS, "dan", "dann", "mcd", "dd", "regda", "regda_adabn", "oracle")
WITHOUT_FEATURE_RIVALS = tuple(name for name in ROWS if name not in ("dan", "dann", "mcd"))

Table = Mapping[str, Mapping[str, float]]  # direction -> variant -> mean over seeds


def measured(workdir: Path, prefix: str, metric: str, seeds: Sequence[int]) -> Table:
    """The mean over some seeds of a metric, of every variant that has all of them."""
    table = {}
    for direction in DIRECTIONS:
        runs = read_variants(preset_folder(workdir, "regda", prefix + direction))
        found = {name: [run.metrics[metric] for run in variant.finished if run.seed in seeds]
                 for name, variant in runs.items()}
        table[direction] = {name: fmean(values) for name, values in found.items() if len(values) == len(seeds)}
    return table


def open_directions(errors: Table) -> list[str]:
    """The directions in which the best control has more than twice the oracle's error."""
    return [direction for direction, row in errors.items()
            if "oracle" in row and min(row[name] for name in CONTROLS if name in row) > 2 * row["oracle"]]


def gap_closed(row: Mapping[str, float], variant: str = "regda") -> float:
    """How much of the way from the best control to the oracle a variant goes; 1 is all of it, below 0 is back."""
    control = min(row[name] for name in CONTROLS if name in row)
    return (control - row[variant]) / (control - row["oracle"])


def text(table: Table, decimals: int) -> str:
    """Markdown: a row per variant, a column per direction, and the mean over the directions where all are there."""
    titles = [direction.replace("_", " → ") for direction in DIRECTIONS]
    rows = []
    for name in ROWS:
        cells = [table[direction].get(name) for direction in DIRECTIONS]
        if any(cell is not None for cell in cells):
            mean = f"{fmean(cells):.{decimals}f}" if None not in cells else ""
            rows.append([name, *("not run" if cell is None else f"{cell:.{decimals}f}" for cell in cells), mean])
    return markdown(["variant", *titles, "mean"], rows)


def main(arguments: Sequence[str]) -> None:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m experiments.regda.sprites", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--open", nargs="*", choices=DIRECTIONS, help="the open directions, as tuning seeds named them")
    parser.add_argument("--feature-rivals", nargs="*", choices=DIRECTIONS, default=DIRECTIONS[:1],
                        help="directions in which dan, dann and mcd are run, too")
    parser.add_argument("--only", nargs="*", choices=DIRECTIONS, default=DIRECTIONS, help="directions to run")
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    flags = parser.parse_args(arguments)
    prefix = "dsprites_small_" if flags.size == "small" else "dsprites_"
    shared = ["--seeds", str(flags.seeds), "--first-seed", str(flags.first_seed), "--workdir", str(flags.workdir)]
    commands = [
        read_command(EXPERIMENT, [prefix + direction, "--variants", *rows, *shared]) for direction in flags.only
        for rows in [ROWS if direction in flags.feature_rivals else WITHOUT_FEATURE_RIVALS]]
    prepare_process(commands[0])
    outcome = work_through(EXPERIMENT, [job for command in commands for job in jobs_of(command)])
    for command in commands:
        show_table(command)
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    errors, hits = (measured(flags.workdir, prefix, metric, seeds) for metric in ("target/mae", "target/pck"))
    print("\nMAE, x + y, in units of the latent\n\n" + text(errors, 3))
    print("\nPCK at 4 px of 64\n\n" + text(hits, 2))
    print("\nThe paper's MAE (ResNet-18, ImageNet weights, 256 px)\n\n" + text(SPRITES_MAE, 3))
    complete = {direction: row for direction, row in errors.items() if {"regda", "oracle"} <= set(row)}
    found = open_directions(complete)
    print(f"\nopen on these seeds: {', '.join(found) or 'none'}")
    chosen = [direction for direction in (found if flags.open is None else flags.open) if direction in complete]
    for direction in chosen:
        print(f"{direction}: RegDA closes {gap_closed(complete[direction]):.2f} of the gap, PCK "
              f"{hits[direction]['regda']:.2f}, best control {max(hits[direction][name] for name in CONTROLS):.2f}")
    if chosen:
        print(f"mean over them: {fmean(gap_closed(complete[direction]) for direction in chosen):.2f}")
    print("\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
