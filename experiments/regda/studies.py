"""RegDA's table on the sprites: all six directions in one table, with the directions that leave something to win.

Command   python -m experiments.regda.studies --seeds 3              (64 px, 2 CPU cores, about an hour)
          python -m experiments.regda.studies --size paper           (256 px, for a GPU)

A direction is *open* on the given tuning seeds if the best control has more than twice the oracle's error there: where
new BatchNorm statistics reach the oracle already, no method has anything to add. Interrupt it at any time; the same
command resumes.
"""
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

from experiments.engine.command_line import Command, over_devices, prepare_process, read_command, show_table
from experiments.engine.paper_numbers import paper_numbers
from experiments.engine.parsing import exit_code_of, parse_known
from experiments.engine.queue import progress_lines, raise_for_failures, work_through
from experiments.engine.tables import measured, runs_of
from experiments.regda import SYSTEM
from kpjax.reports.table import markdown

CONTROLS = ("source_only", "constant_centre", "adabn", "adabn_in_area")  # what needs no method
VARIANTS = (*CONTROLS, "dan", "dann", "mcd", "dd", "regda", "regda_adabn", "oracle")
OF_FEATURES = ("dan", "dann", "mcd")

Direction = Literal["colour_noisy", "colour_scream", "noisy_colour", "noisy_scream", "scream_colour", "scream_noisy"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Table = Mapping[str, Mapping[str, float]]  # direction -> variant -> mean over seeds


@dataclass(frozen=True)
class Sprites:
    """The table of all directions on the sprites; all other flags are those of the presets."""

    size: Literal["small", "paper"] = "small"
    open: tuple[Direction, ...] = ()  # the open directions, as tuning seeds named them; () finds them on these seeds
    feature_baselines: tuple[Direction, ...] = ("colour_noisy",)  # directions in which dan, dann and mcd are run, too
    only: tuple[Direction, ...] = DIRECTIONS  # directions to run


def means(commands: Mapping[str, Command], metric: str) -> Table:
    """Returns the mean of a metric over the seeds, of every variant that has all of them."""
    table = {}
    for direction, command in commands.items():
        found = {name: measured(runs_of([command.job(name, seed) for seed in command.seeds]), metric)
                 for name in VARIANTS}
        table[direction] = {name: fmean(values) for name, values in found.items() if len(values) == len(command.seeds)}
    return table


def printed_errors() -> Table:
    """Returns the errors that the paper prints."""
    return {direction: {
        name: error for name in VARIANTS
        for error in paper_numbers("regda", "sprites", preset=f"dsprites_{direction}", variant=name).values()}
        for direction in DIRECTIONS}


def open_directions(errors: Table) -> list[str]:
    """Returns the directions in which the best control has more than twice the oracle's error."""
    return [direction for direction, found in errors.items()
            if "oracle" in found and best_control(found) > 2 * found["oracle"]]


def best_control(found: Mapping[str, float]) -> float:
    """Returns the lowest error of a control."""
    return min(found[name] for name in CONTROLS if name in found)


def gap_closed(found: Mapping[str, float]) -> float:
    """Returns the share of the gap from the best control to the oracle that RegDA closes; below 0 if it loses."""
    return (best_control(found) - found["regda"]) / (best_control(found) - found["oracle"])


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
    flags, rest = parse_known(Sprites, arguments, prog="python -m experiments.regda.studies", description=__doc__)
    prefix, commands = "dsprites_small_" if flags.size == "small" else "dsprites_", {}
    for direction in DIRECTIONS:
        chosen = [name for name in VARIANTS if name not in OF_FEATURES or direction in flags.feature_baselines]
        commands[direction] = read_command(SYSTEM, [prefix + direction, *rest, "--variants", *chosen])
    prepare_process(commands[flags.only[0]])
    commands = {direction: over_devices(command) for direction, command in commands.items()}
    asked = [commands[direction] for direction in flags.only]
    progress = work_through(SYSTEM, [job for command in asked for job in command.jobs()])
    for command in asked:
        show_table(command)
    errors, hits = means(commands, "target/mae"), means(commands, "target/pck")
    print("\nMAE, x + y, in units of the latent\n\n" + text(errors, 3))
    print("\nPCK at 4 px of 64\n\n" + text(hits, 2))
    print("\nThe paper's MAE (ResNet-18, ImageNet weights, 256 px)\n\n" + text(printed_errors(), 3))
    complete = {direction: found for direction, found in errors.items() if {"regda", "oracle"} <= set(found)}
    found = open_directions(complete)
    print(f"\nopen on these seeds: {', '.join(found) or 'none'}")
    gaps = {name: gap_closed(complete[name]) for name in flags.open or found if name in complete}
    for name, gap in gaps.items():
        print(f"{name}: RegDA closes {gap:.2f} of the gap, PCK {hits[name]['regda']:.2f}, best control "
              f"{max(hits[name][control] for control in CONTROLS):.2f}")
    if gaps:
        print(f"mean over them: {fmean(gaps.values()):.2f}")
    print("", *progress_lines(progress), sep="\n")
    raise_for_failures(progress)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
