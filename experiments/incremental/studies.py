"""Tables beside the paper's, each by one command that resumes, and the choice of every variant's weight.

Command   python -m experiments.incremental.studies triples --seeds 5                   (2 CPU cores, 6 minutes a seed)
          python -m experiments.incremental.studies softmax --first-seed 1 --seeds 3
          python -m experiments.incremental.studies tuning           (several hours for all variants)
          python -m experiments.incremental.studies tuning --variants ksd_only kamp_rerendered --seeds 2
          python -m experiments.incremental.studies tuning --grid 3 10 30 --variants ksd_only

triples  KA-Net's points against the old model's own, and against none: the old keypoints of the triples
made     the same where the new keypoints determine the old one: it lies midway between them
softmax  the spatial distillation by temperature and by what one softmax goes over, at the weight times the
         temperature squared, which is the same slope on flat maps, and with a balanced weight
alpha    weights of both distilling terms, and one that follows the norms of the gradients
heads    old heads frozen and free
ka_net   forms of KA-Net and of its input, and one or two triples a step
filter   uncertain pseudo-labels left out, by the share that is kept
noise    the same and the controls, of an old model of which a share of the maps is shifted
hops     gains of old keypoints by their distance from the new ones, where these are far from all

Runs lie where `python -m experiments.incremental` puts them; those of other settings have a folder of their own beside
the preset's, and share its base where that is the same. Several processes may work on one table. It has the means over
seeds, the differences of variants under equal settings and of settings, by pairs of equal seed with 95 % intervals by
Student's t, and costs. It is printed and written to <workdir>/incremental/<preset>/<study>.md.

tuning tries every weight of a variant's grid, on a protocol and on images that no table is about. Two choices are
printed. The first is the weight that is best by AAA on validation images, where all keypoints have labels; these stand
in the presets. The second needs no old labels: the mean of the accuracy of new keypoints and of the agreement with the
old model on old ones, on images held out from each step. It punishes whatever improves old keypoints.
"""
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import tyro
from etils import epath

from experiments.engine.command_line import Command, prepared, read_command
from experiments.engine.configs import changed
from experiments.engine.parsing import exit_code_of, parse_known
from experiments.engine.queue import work_through, write_page
from experiments.engine.system import Job
from experiments.engine.tables import cost_text, difference_text, mean_text, measured, paired_differences, runs_of
from experiments.incremental import SYSTEM
from experiments.incremental.measures import both_units
from experiments.incremental.presets import Config
from experiments.incremental.variants import VARIANTS
from kpjax import InputError
from kpjax.reports.table import markdown

# Tables


class Row(NamedTuple):
    """A line of a study: a variant under some settings."""

    title: str
    variant: str
    settings: Mapping[str, Any] = {}  # fields of the config that differ from the command's


def of_variants(*variants: str, **settings: Any) -> tuple[Row, ...]:
    """Returns a row for each variant, all under the same settings."""
    said = "".join(f", {name} {value}" for name, value in settings.items())
    return tuple(Row(f"{variant}{said}", variant, settings) for variant in variants)


def by_softmax(config: Config) -> tuple[Row, ...]:
    """Returns rows of the spatial distillation by temperature and mode."""
    rows = []
    for mode in ("lines", "joint", "marginal"):
        for tau in (1.0, 0.1, 0.05):
            form = {"distillation_mode": mode, "temperature": tau}
            rows += [Row(f"{mode}, tau {tau:g}", "ksd_only", form | {"ksd_only": config.weights.ksd_only * tau**2}),
                     Row(f"{mode}, tau {tau:g}, balanced", "ksd_only", form | {"balance": 1.0})]
    return tuple(rows)


Studies = Literal["triples", "made", "softmax", "alpha", "heads", "ka_net", "filter", "noise", "hops"]
POINTS = ("kamp_rerendered", "ksd_only", "self_training")
# Rows by study. A row is compared with the first one of equal settings, and that one with the first of all.
ROWS: Mapping[str, Callable[[Config], tuple[Row, ...]]] = {
    "triples": lambda config: of_variants(*POINTS, "kamp", "mse_distillation"),
    "made": lambda config: of_variants(*POINTS, "kamp", midway=True),
    "softmax": by_softmax,
    "alpha": lambda config: (
        Row("kamp", "kamp"), *(Row(f"{factor:g} times its weight", "kamp", {"kamp": factor * config.weights.kamp})
                               for factor in (0.1, 10.0, 100.0)),
        *(Row(f"balanced at {ratio:g}", "kamp", {"balance": ratio}) for ratio in (0.3, 1.0, 3.0))),
    "heads": lambda config: tuple(row for variant in ("kamp_rerendered", "ksd_only") for frozen in (True, False)
                                  for row in of_variants(variant, freeze_old_heads=frozen)),
    "ka_net": lambda config: (
        Row("kamp_rerendered", "kamp_rerendered"), *(
            row for settings in ({"ka_variant": "paper"}, {"ka_variant": "wide"}, {"input_sigma": 0.0},
                                 {"input_sigma": 0.3}, {"triples": 2})
            for row in of_variants("kamp_rerendered", **settings))),
    "filter": lambda config: (Row("kamp", "kamp"), *(
        row for kept in (1.0, 0.9, 0.8, 0.6, 0.4) for row in of_variants("kamp_filtered", filter_kept=kept))),
    "noise": lambda config: tuple(
        row for share in (0.0, 0.1, 0.3, 0.5)
        for row in of_variants(*POINTS, "kamp", "kamp_filtered", misled=share)),
    "hops": lambda config: of_variants(*POINTS, "kamp_distant", protocol="figures_upper_lower")}
SHOWN = {"triples/pck": "old points of triples, %", "aaa": "AAA, %", "at": "AT, %",
         "association/copy_rate": "errors copied, %", "association/copy_rate_by_chance": "by chance, %",
         "at/hops_1": "AT at 1 edge, %", "at/hops_2": "at 2, %", "at/hops_3": "at 3 or more, %"}
COMPARED = ("triples/pck", "aaa", "at", "at/hops_1", "at/hops_2", "at/hops_3")


def jobs_of(command: Command, row: Row) -> tuple[Job, ...]:
    """Returns the runs of a row, a seed each."""
    return tuple(command.varied_job(row.variant, seed, row.settings, command.config.of_base())
                 for seed in command.seeds)


def study_page(command: Command, study: str, rows: Sequence[Row]) -> str:
    """Returns a study's means, differences between rows, and costs."""
    runs = {row.title: runs_of(jobs_of(command, row)) for row in rows}
    shown = [metric for metric in SHOWN if any(measured(one, metric) for one in runs.values())] or ["aaa"]
    compared = [metric for metric in shown if metric in COMPARED]
    means = [[title, *(mean_text(measured(one, metric), len(one), factor=100.0) for metric in shown), cost_text(one)]
             for title, one in runs.items()]
    differences = []
    for row in rows[1:]:
        alike = next(other for other in rows if other.settings == row.settings)
        first, second = (alike, row) if alike is not row else (row, rows[0])
        differences.append([f"{first.title} - {second.title}", *(difference_text(
            paired_differences(runs[first.title], runs[second.title], metric), len(command.seeds), factor=100.0)
            for metric in compared)])
    return "\n\n".join([
        f"# {study}, {command.preset}: {command.config.summary}",
        markdown([study, *(SHOWN[metric] for metric in shown), "training"], means),
        "Differences: mean over seeds [95 % interval]",
        markdown([study, *(SHOWN[metric] for metric in compared)], differences)]) + "\n"


# Tuning

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
    means = {point: statistics.fmean(found) for point in points if (found := measured(runs_of(point.jobs), metric))}
    return max(means, key=means.get, default=None)


def row_of(command: Command, point: Point, beside: str = "") -> list[str]:
    """Returns a point's line of a table: its weight, of a spatial distillation in both units, and what it reaches."""
    config, weight = command.config, f"{point.weight:g}"
    if VARIANTS[point.variant].recipe.spatial:
        units = both_units(point.weight, config.distillation.reduction, config.heatmaps.heatmap_size)
        weight = " = ".join(f"{value:g} {unit}" for unit, value in units.items())
    runs = runs_of(point.jobs)
    return [point.variant, weight + beside, *(
        mean_text(measured(runs, metric), len(runs), factor=100.0) for metric in METRICS)]


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
class Study:
    """A study; all other flags are those of the preset."""

    study: Annotated[tyro.conf.Positional[Literal[Studies, "tuning"]], tyro.conf.arg(metavar="STUDY")]
    preset: str = ""  # demo, of tuning demo_tuning
    grid: tuple[float, ...] = ()  # of tuning: weights to try in place of the variants' own, in the unit of the config


def main(arguments: Sequence[str]) -> epath.Path:
    """Runs what a study lacks and writes its page, whose path it returns. Raises RunError if a run has failed."""
    study, rest = parse_known(Study, arguments, prog="python -m experiments.incremental.studies", description=__doc__)
    command = read_command(SYSTEM, [study.preset or ("demo_tuning" if study.study == "tuning" else "demo"), *rest])
    command = prepared(command)
    named = "--variants" in command.arguments and "all" not in command.arguments
    if study.study == "tuning":
        points = points_of(command, list(command.variants) if named else list(GRIDS), study.grid)
        jobs = [job for grid in points.values() for point in grid for job in point.jobs]
    else:
        rows = [row for row in ROWS[study.study](command.config) if not named or row.variant in command.variants]
        jobs = [job for row in rows for job in jobs_of(command, row)]
    progress = work_through(SYSTEM, jobs)
    text = page(command, points) if study.study == "tuning" else study_page(command, study.study, rows)
    return write_page(command.folder / f"{study.study}.md", text, progress)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
