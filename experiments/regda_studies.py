"""RegDA's table on the sprites: all six directions in one table, with the directions that leave something to win.

Command   python -m experiments.regda_studies --seeds 3              (64 px, 2 CPU cores, about an hour)
          python -m experiments.regda_studies --size paper           (256 px, for a GPU)

A direction is *open* on the given tuning seeds if the best control has more than twice the oracle's error there: where
new BatchNorm statistics reach the oracle already, no method has anything to add. Interrupt it at any time; the same
command resumes.
"""
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from experiments.command_line import prepare_process, read_command, show_table
from experiments.commands import exit_code_of, parse
from experiments.job_queue import outcome_lines, raise_for_failures, work_through
from experiments.regda import SYSTEM
from experiments.regda_presets import PAPER_SPRITES_MAE
from experiments.system import preset_folder
from kpjax.reports.table import markdown, read_variants

DIRECTIONS = tuple(PAPER_SPRITES_MAE)
CONTROLS = ("constant_centre", "adabn", "adabn_in_area")
VARIANTS = ("source_only", *CONTROLS, "dan", "dann", "mcd", "dd", "regda", "regda_adabn", "oracle")
OF_FEATURES = ("dan", "dann", "mcd")

Direction = Literal["colour_noisy", "colour_scream", "noisy_colour", "noisy_scream", "scream_colour", "scream_noisy"]
Table = Mapping[str, Mapping[str, float]]  # direction -> variant -> mean over seeds


@dataclass(frozen=True)
class Sprites:
    """The table of all directions on the sprites."""

    size: Literal["small", "paper"] = "small"
    seeds: int = 1  # how many
    first_seed: int = 0
    open: tuple[Direction, ...] = ()  # the open directions, as tuning seeds named them; () finds them on these seeds
    feature_baselines: tuple[Direction, ...] = ("colour_noisy",)  # directions in which dan, dann and mcd are run, too
    only: tuple[Direction, ...] = DIRECTIONS  # directions to run
    workdir: str = "runs"


def measured(workdir: str, prefix: str, metric: str, seeds: Sequence[int]) -> Table:
    """Returns the mean of a metric over some seeds, of every variant that has all of them."""
    table = {}
    for direction in DIRECTIONS:
        runs = read_variants(preset_folder(workdir, "regda", prefix + direction))
        found = {name: [run.metrics[metric] for run in variant.finished if run.seed in seeds]
                 for name, variant in runs.items()}
        table[direction] = {name: fmean(values) for name, values in found.items() if len(values) == len(seeds)}
    return table


def open_directions(errors: Table) -> list[str]:
    """Returns the directions in which the best control has more than twice the oracle's error."""
    return [direction for direction, found in errors.items()
            if "oracle" in found and min(found[name] for name in CONTROLS if name in found) > 2 * found["oracle"]]


def gap_closed(found: Mapping[str, float], variant: str = "regda") -> float:
    """Returns the share of the gap from the best control to the oracle that a variant closes; below 0 if it loses."""
    control = min(found[name] for name in CONTROLS if name in found)
    return (control - found[variant]) / (control - found["oracle"])


def text(table: Table, decimals: int) -> str:
    """Returns a Markdown table: variants by directions, and the mean where all directions are there."""
    titles = [direction.replace("_", " → ") for direction in DIRECTIONS]
    lines = []
    for name in VARIANTS:
        cells = [table[direction].get(name) for direction in DIRECTIONS]
        if any(cell is not None for cell in cells):
            mean = f"{fmean(cells):.{decimals}f}" if None not in cells else ""
            lines.append([name, *("not run" if cell is None else f"{cell:.{decimals}f}" for cell in cells), mean])
    return markdown(["variant", *titles, "mean"], lines)


def main(arguments: Sequence[str]) -> None:
    """Runs what is missing and prints the tables."""
    flags = parse(Sprites, arguments, prog="python -m experiments.regda_studies", description=__doc__)
    prefix = "dsprites_small_" if flags.size == "small" else "dsprites_"
    shared = ["--seeds", str(flags.seeds), "--first-seed", str(flags.first_seed), "--workdir", flags.workdir]
    commands = []
    for direction in flags.only:
        without = () if direction in flags.feature_baselines else OF_FEATURES
        commands.append(read_command(SYSTEM, [prefix + direction, "--variants", *(
            name for name in VARIANTS if name not in without), *shared]))
    prepare_process(commands[0])
    outcome = work_through(SYSTEM, [job for command in commands for job in command.jobs()])
    for command in commands:
        show_table(command)
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    errors, hits = (measured(flags.workdir, prefix, metric, seeds) for metric in ("target/mae", "target/pck"))
    print("\nMAE, x + y, in units of the latent\n\n" + text(errors, 3))
    print("\nPCK at 4 px of 64\n\n" + text(hits, 2))
    print("\nThe paper's MAE (ResNet-18, ImageNet weights, 256 px)\n\n" + text(PAPER_SPRITES_MAE, 3))
    complete = {direction: found for direction, found in errors.items() if {"regda", "oracle"} <= set(found)}
    found = open_directions(complete)
    print(f"\nopen on these seeds: {', '.join(found) or 'none'}")
    chosen = [direction for direction in (flags.open or found) if direction in complete]
    for direction in chosen:
        print(f"{direction}: RegDA closes {gap_closed(complete[direction]):.2f} of the gap, PCK "
              f"{hits[direction]['regda']:.2f}, best control {max(hits[direction][name] for name in CONTROLS):.2f}")
    if chosen:
        print(f"mean over them: {fmean(gap_closed(complete[direction]) for direction in chosen):.2f}")
    print("\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
