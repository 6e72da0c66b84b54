"""The weight of every row, chosen once, on a protocol and on pictures that no table is about.

Command   python -m experiments.incremental.tuning                       (2 CPU cores, several hours for all rows)
          python -m experiments.incremental.tuning --variants ksd_only kamp_rerendered --seeds 2
          python -m experiments.incremental.tuning --preset demo_tuning --grid 3 10 30 --variants ksd_only

Every weight of a row's grid is a run of the preset, in a folder of its own beside it; all of them share its base. What
was run before is not run again, and several processes may work on one tuning. Two choices are printed and written to
<workdir>/incremental/<preset>/: the weight that is best by AAA on validation pictures, where all keypoints have labels,
and the one that a person without old labels would take, by the mean of the accuracy of new keypoints and of the
agreement with the old model on old ones, on pictures held out from each step. The second punishes whatever improves old
keypoints. The first choices stand in the config of the presets.
"""
import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from experiments.command_line import Command, Job, exit_code_of, prepare_process, preset_folder, read_command
from experiments.incremental import EXPERIMENT, NAME
from experiments.incremental.measures import both_units
from experiments.job_queue import mean_text, measured, outcome_lines, raise_for_failures, work_through
from kpjax.errors import InputError
from kpjax.files import write_text
from kpjax.reports.table import markdown

DISTILLATION = (1.0, 3.0, 10.0, 30.0, 100.0)  # as of line_sum, which weighs like squared errors
ACROSS_CHANNELS = tuple(4 * weight for weight in DISTILLATION)  # a softmax of temperature 2 has a quarter of the slope
PENALTY = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of importances with a mean of 1
SPATIAL = ("kamp", "kamp_rerendered", "ksd_only", "self_training")
GRIDS: dict[str, tuple[float, ...]] = (
    dict.fromkeys((*SPATIAL, "mse_distillation"), DISTILLATION) | {"lwf": ACROSS_CHANNELS}
    | dict.fromkeys(("ewc", "online_ewc", "mas", "rw", "afec", "cpr"), PENALTY))


class Point(NamedTuple):
    """One weight of a row, and its runs."""

    variant: str
    weight: float
    jobs: tuple[Job, ...]  # a seed each

    def mean(self, metric: str) -> float:
        """Over the finished runs; NaN without one."""
        values = measured(NAME, self.jobs, metric)
        return math.fsum(values) / len(values) if values else math.nan


def points_of(command: Command, variants: Sequence[str], grid: Sequence[float] = ()) -> dict[str, list[Point]]:
    """The runs of a tuning by row. grid: weights in the place of the row's own.

    Raises InputError for a row that has no weight of its own, and for a preset without pictures for both choices.
    """
    if unknown := [name for name in variants if name not in GRIDS]:
        raise InputError(f"--variants: {unknown[0]!r} has no weight of its own; those that have are {', '.join(GRIDS)}")
    if command.config.judged_by != "validation" or not command.config.held_out:
        raise InputError(f"--preset: {command.preset!r} would choose by test pictures or hold out none; add "
                         "--judged-by validation --held-out 0.1")
    found = {}
    for name in variants:
        found[name] = []
        for weight in grid or grid_of(command, name):
            config = replace(command.config, **{name: weight})
            preset = f"{command.preset}-{name}-{weight:g}"
            found[name].append(Point(name, weight, tuple(
                Job(config, preset, name, seed, command.workdir, command.data_dir) for seed in command.seeds)))
    return found


def grid_of(command: Command, variant: str) -> tuple[float, ...]:
    """The weights to try, in the unit of the config."""
    if variant not in SPATIAL:
        return GRIDS[variant]
    return tuple(weight if command.config.reduction == "line_sum" else weight * command.config.heatmap_size
                 for weight in GRIDS[variant])


def chosen(points: Sequence[Point], metric: str) -> Point | None:
    """The point that is best by a metric, None if nothing is finished."""
    finished = [point for point in points if not math.isnan(point.mean(metric))]
    return max(finished, key=lambda point: point.mean(metric), default=None)


def weight_text(command: Command, point: Point) -> str:
    """A weight, that of a spatial distillation in both units."""
    if point.variant not in SPATIAL:
        return f"{point.weight:g}"
    units = both_units(point.weight, command.config.reduction, command.config.heatmap_size)
    return " = ".join(f"{value:g} {unit}" for unit, value in units.items())


def choices(command: Command, points: Mapping[str, Sequence[Point]], metric: str) -> str:
    """A table of the weights that a metric chooses, and what they reach."""
    rows = []
    for name, grid in points.items():
        best = chosen(grid, metric)
        if best is None:
            rows.append([name, "not run", "", "", ""])
            continue
        at_an_end = best.weight in (grid[0].weight, grid[-1].weight) and len(grid) > 1
        rows.append([name, weight_text(command, best) + (" (at an end of its grid)" if at_an_end else ""),
                     *(mean_text(measured(NAME, best.jobs, shown), len(best.jobs), factor=100.0)
                       for shown in ("aaa", "at", "label_free"))])
    return markdown(["row", "weight", "AAA, %", "AT, %", "new and agreement, %"], rows)


def page(command: Command, points: Mapping[str, Sequence[Point]]) -> str:
    """Both choices, and every point of every grid."""
    grids = [[name, weight_text(command, point),
              *(mean_text(measured(NAME, point.jobs, metric), len(point.jobs), factor=100.0)
                for metric in ("aaa", "at", "label_free"))] for name, grid in points.items() for point in grid]
    return "\n\n".join([
        f"# tuning, {command.preset}: {command.config.summary}", "Chosen by AAA on validation pictures",
        choices(command, points, "aaa"), "Chosen without old labels", choices(command, points, "label_free"),
        "All weights", markdown(["row", "weight", "AAA, %", "AT, %", "new and agreement, %"], grids)]) + "\n"


def main(arguments: Sequence[str]) -> Path:
    """Runs what is missing of a tuning, prints its tables and writes them; returns the path of the file.

    Raises InputError for flags that make no sense, and RunError at the end if a run has failed.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.incremental.tuning", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--preset", default="demo_tuning", metavar="PRESET", help="(default: %(default)s)")
    parser.add_argument("--grid", type=float, nargs="+", default=(), metavar="WEIGHT",
                        help="weights to try in place of the rows' own grids, in the unit of the config")
    known, rest = parser.parse_known_args(arguments)
    command = read_command(EXPERIMENT, [known.preset, *rest])
    named = "--variants" in command.arguments and "all" not in command.arguments
    rows = list(command.variants) if named else list(GRIDS)
    points = points_of(command, rows, known.grid)
    prepare_process(command)
    outcome = work_through(EXPERIMENT, [job for grid in points.values() for point in grid for job in point.jobs])
    made = page(command, points)
    path = preset_folder(command.workdir, NAME, command.preset) / "tuning.md"
    write_text(path, made)
    print(f"\n{made}\n{path}\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)
    return path


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
