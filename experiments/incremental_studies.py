"""The weight of every variant, chosen once, on a protocol and on images that no table is about.

Command   python -m experiments.incremental_studies                       (2 CPU cores, several hours for all variants)
          python -m experiments.incremental_studies --variants ksd_only kamp_rerendered --seeds 2
          python -m experiments.incremental_studies --preset demo_tuning --grid 3 10 30 --variants ksd_only

Every weight of a variant's grid is a run of the preset, in a folder of its own beside it; all share its base. Several
processes may work on one tuning. Two choices are printed and written to <workdir>/incremental/<preset>/tuning.md. The
first is the weight that is best by AAA on validation images, where all keypoints have labels; these stand in the
presets. The second needs no old labels: the mean of the accuracy of new keypoints and of the agreement with the old
model on old ones, on images held out from each step. It punishes whatever improves old keypoints.
"""
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from etils import epath

from experiments.command_line import Command, prepare_process, read_command
from experiments.commands import exit_code_of, parse_known
from experiments.configs import changed
from experiments.incremental import SYSTEM, VARIANTS
from experiments.incremental_measures import both_units
from experiments.job_queue import mean_text, measured, work_through, write_page
from experiments.system import Job
from kpjax import InputError
from kpjax.reports.table import markdown

DISTILLATION = (1.0, 3.0, 10.0, 30.0, 100.0)  # as of line_sum, which weighs like squared errors
ACROSS_CHANNELS = tuple(4 * weight for weight in DISTILLATION)  # a softmax of temperature 2 has a quarter of the slope
PENALTY = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of importances with a mean of 1
GRIDS: dict[str, tuple[float, ...]] = {
    name: PENALTY if "penalty" in variant.recipe.weights else ACROSS_CHANNELS if name == "lwf" else DISTILLATION
    for name, variant in VARIANTS.items() if name in variant.recipe.weights.values()}
METRICS = {"aaa": "AAA, %", "at": "AT, %", "label_free": "new and agreement, %"}
HEADER = ["variant", "weight", *METRICS.values()]


class Point(NamedTuple):
    """One weight of a variant, and its runs."""

    variant: str
    weight: float
    jobs: tuple[Job, ...]  # a seed each


def points_of(command: Command, variants: Sequence[str], grid: Sequence[float] = ()) -> dict[str, list[Point]]:
    """Returns the runs of a tuning by variant. grid: weights in place of the variants' own.

    Raises InputError for a variant that has no weight of its own, and for a preset without images for both choices.
    """
    if unknown := [name for name in variants if name not in GRIDS]:
        raise InputError(f"--variants: {unknown[0]!r} has no weight of its own; choose {', '.join(GRIDS)}")
    data = command.config.data
    if data.evaluated_on != "validation" or not data.held_out:
        raise InputError(f"--preset: {command.preset!r} would choose by test images or hold out none; add "
                         "--evaluated-on validation --held-out 0.1")
    return {name: [Point(name, weight, tuple(
        command.job(name, seed)._replace(config=changed(command.config, **{name: weight}),
                                         preset=f"{command.preset}-{name}-{weight:g}") for seed in command.seeds))
        for weight in grid or grid_of(command, name)] for name in variants}


def grid_of(command: Command, variant: str) -> tuple[float, ...]:
    """Returns the weights to try, in the unit of the config."""
    if not VARIANTS[variant].recipe.spatial or command.config.distillation.reduction == "line_sum":
        return GRIDS[variant]
    return tuple(weight * command.config.heatmaps.heatmap_size for weight in GRIDS[variant])


def chosen(points: Sequence[Point], metric: str) -> Point | None:
    """Returns the point that is best by a metric, None if nothing is finished."""
    means = {point: statistics.fmean(found) for point in points if (found := measured(point.jobs, metric))}
    return max(means, key=means.get, default=None)


def row_of(command: Command, point: Point, beside: str = "") -> list[str]:
    """Returns a point's line of a table: its weight, of a spatial distillation in both units, and what it reaches."""
    config, weight = command.config, f"{point.weight:g}"
    if VARIANTS[point.variant].recipe.spatial:
        units = both_units(point.weight, config.distillation.reduction, config.heatmaps.heatmap_size)
        weight = " = ".join(f"{value:g} {unit}" for unit, value in units.items())
    return [point.variant, weight + beside, *(
        mean_text(measured(point.jobs, metric), len(point.jobs), factor=100.0) for metric in METRICS)]


def choices(command: Command, points: Mapping[str, Sequence[Point]], metric: str) -> str:
    """Returns a table of the weights that a metric chooses, and what they reach."""
    rows = []
    for name, grid in points.items():
        best = chosen(grid, metric)
        end = " (at an end of its grid)" if len(grid) > 1 and best in (grid[0], grid[-1]) else ""
        rows.append(row_of(command, best, end) if best else [name, "not run", *("" for _ in METRICS)])
    return markdown(HEADER, rows)


def page(command: Command, points: Mapping[str, Sequence[Point]]) -> str:
    """Returns both choices, and every point of every grid."""
    grids = [row_of(command, point) for grid in points.values() for point in grid]
    return "\n\n".join([
        f"# tuning, {command.preset}: {command.config.summary}", "Chosen by AAA on validation images",
        choices(command, points, "aaa"), "Chosen without old labels", choices(command, points, "label_free"),
        "All weights", markdown(HEADER, grids)]) + "\n"


@dataclass(frozen=True)
class Tuning:
    """A tuning; all other flags are those of the preset."""

    preset: str = "demo_tuning"
    grid: tuple[float, ...] = ()  # weights to try in place of the variants' own grids, in the unit of the config


def main(arguments: Sequence[str]) -> epath.Path:
    """Runs what a tuning lacks and writes its page, whose path it returns. Raises RunError if a run has failed."""
    tuning, rest = parse_known(Tuning, arguments, prog="python -m experiments.incremental_studies", description=__doc__)
    command = read_command(SYSTEM, [tuning.preset, *rest])
    named = "--variants" in command.arguments and "all" not in command.arguments
    points = points_of(command, list(command.variants) if named else list(GRIDS), tuning.grid)
    prepare_process(command)
    outcome = work_through(SYSTEM, [job for grid in points.values() for point in grid for job in point.jobs])
    return write_page(command.folder / "tuning.md", page(command, points), outcome)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
