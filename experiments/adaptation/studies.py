"""The paper's studies, each by one command that goes on where it was stopped.

Command   python -m experiments.adaptation.studies core_epochs --preset demo --seeds 3
          python -m experiments.adaptation.studies images --preset mpii_aflw --columns 10 100 1000 0
          python -m experiments.adaptation.studies labels --preset mpii_mafl --columns 1 5 10 100 500 1000 5000

core_epochs  the adapted row from cores of several epochs          images  the same by pictures without labels (0: all)
labels       errors by the labelled pictures of the regressors     cores   rows by what stands behind the core's people
order        ratios of rows' errors, with intervals over test pictures and over seeds

All other flags are those of the preset; --variants names other rows. Runs lie where `python -m experiments.adaptation`
puts them, those of another setting in a folder of their own beside the preset's; all share its cores. `labels` and
`order` read the points that finished runs keep, so that they train only what is missing. Several processes may work on
one study. The table is printed and written to <workdir>/adaptation/<preset>/<study>.md. With --core-background,
--core-epoch or --target-images a study is of those runs: `order --preset demo --core-background patches`.
"""
import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.adaptation import EXPERIMENT, NAME, columns, published
from experiments.adaptation.core import base_preset
from experiments.adaptation.measures import (
    Found,
    consistency_of_pictures,
    errors_of_pictures,
    normaliser_of,
    read_points,
    regressor_of,
)
from experiments.adaptation.pictures import DRAWN
from experiments.command_line import (
    Command,
    Job,
    exit_code_of,
    prepare_process,
    preset_folder,
    read_command,
    run_folder,
)
from experiments.job_queue import mean_text, measured, outcome_lines, raise_for_failures, work_through
from experiments.seed_intervals import over_seeds
from kpjax.errors import InputError
from kpjax.evaluation.probes.landmarks import ALL, both_errors
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json, write_text
from kpjax.reports.table import markdown
from kpjax.structures import Skeleton, skeleton_from_json

STUDIES = ("core_epochs", "images", "labels", "cores", "order")
STUDIED = ("core_epoch", "target_images", "core_background")  # fields that lead to folders of their own
DRAWS = 2000  # resamplings of the test pictures


class Setting(NamedTuple):
    """A column of a study: a field of the config, its value, and what the column is called."""

    field: str
    value: Any
    title: str
    paper: Mapping[str, float] = {}  # of the adapted row, by metric


def settings_of(study: str, command: Command, chosen: Sequence[int]) -> list[Setting]:
    """The columns of a study that trains. chosen: epochs or counts, in place of the preset's and the paper's own."""
    config = command.config
    aflw = base_preset(command.preset) == "mpii_aflw"

    def paper(table: Mapping[str, Sequence[float]], known: Sequence[int], value: int) -> dict[str, float]:
        return {name: row[known.index(value)] for name, row in table.items()} if aflw and value in known else {}

    if study == "core_epochs":
        epochs = chosen or (*config.core_kept, config.core_epochs)
        return [Setting("core_epoch", 0 if epoch == config.core_epochs else epoch, f"epoch {epoch}", paper(
            published.BY_CORE_EPOCH, published.EPOCHS, epoch) | accuracy_of(epoch)) for epoch in epochs]
    if study == "images":
        return [Setting("target_images", count, str(count) if count else "all", paper(
            published.BY_TARGET_IMAGES, published.COUNTS, count)) for count in chosen or published.COUNTS]
    if not config.core.startswith(DRAWN):
        raise InputError(f"--preset: {command.preset}; what stands behind the people of a core can be chosen where "
                         "they are drawn, as in demo")
    return [Setting("core_background", name, name) for name in ("clutter", "patches")]


def accuracy_of(epoch: int) -> dict[str, float]:
    """The accuracy of the paper's core, in percent."""
    return {"core/pck": published.CORE_ACCURACY[epoch]} if epoch in published.CORE_ACCURACY else {}


def job_of(command: Command, variant: str, seed: int, setting: Setting | None = None) -> Job:
    """The run of a cell. What is studied leads to a folder of its own where it is not the preset's."""
    config = replace(command.config, **{setting.field: setting.value}) if setting else command.config
    base = EXPERIMENT.presets[command.preset]
    named = [f"{name}-{getattr(config, name)}" for name in STUDIED if getattr(config, name) != getattr(base, name)]
    return Job(config, "-".join([command.preset, *named]), variant, seed, command.workdir, command.data_dir)


def plain_jobs(command: Command) -> list[Job]:
    """A run for every seed and row of a command, seed by seed."""
    return [job_of(command, name, seed) for seed in command.seeds for name in command.variants]


def page(study: str, command: Command, settings: Sequence[Setting], variants: Sequence[str]) -> str:
    """A table for each metric: rows are variants, columns settings. Void runs are counted in a table of their own."""
    parts = [heading(study, command)]
    with_paper = base_preset(command.preset).startswith("mpii")
    for column in columns(command.config):
        rows = []
        for name in variants:
            cells = []
            for setting in settings:
                jobs = [job_of(command, name, seed, setting) for seed in command.seeds]
                ours = mean_text(measured(NAME, jobs, column.metric), len(jobs), factor=column.factor,
                                 decimals=column.decimals)
                printed = setting.paper.get(column.metric) if with_paper and name == "adapted" else None
                cells.append(ours if printed is None else f"{ours} (paper {printed:.2f})")
            rows.append([name, *cells])
        parts += [f"{column.title} ({column.unit})", markdown(["", *(one.title for one in settings)], rows)]
    return "\n\n".join(parts) + "\n"


def heading(study: str, command: Command) -> str:
    """The title of a page."""
    return f"# {study}, {command.preset}: {command.config.summary}"


# Studies of kept points


def kept(job: Job) -> tuple[Found, Skeleton]:
    """The points of a finished run, and the skeleton of the annotation."""
    folder = run_folder(job, NAME)
    return read_points(folder), skeleton_from_json(read_json(folder / "annotation.json"))


def labels_page(command: Command, counts: Sequence[int]) -> str:
    """Forward and backward errors of all rows by labelled pictures, the mean over draws and seeds."""
    config = command.config
    if not config.annotated:
        raise InputError(f"--preset: {command.preset} has no annotation, so that nothing is regressed")
    images = (*(counts or config.images), ALL)
    names = ["all" if count is ALL else str(count) for count in images]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in command.variants}
    for job in plain_jobs(command):
        points, annotation = kept(job)
        errors = both_errors(points.fit, points.test, normaliser=normaliser_of(config, annotation),
                             regressor=regressor_of(config), images=images, repeats=config.repeats, extra=config.extra)
        found[job.variant].append({name: one.mean for name, one in errors.items()})
    parts = [heading("labels", command)]
    for direction in ("forward", "backward"):
        rows = []
        for variant, seeds in found.items():
            paper = EXPERIMENT.paper(command.preset, config, variant)
            cells = [mean_text([one[f"{direction}/{name}"] for one in seeds], len(seeds), decimals=2)
                     + (f" (paper {paper[f'{direction}/{name}']:.2f})" if f"{direction}/{name}" in paper else "")
                     for name in names]
            rows.append([variant, *cells])
        parts += [f"{direction} error, percent, by labelled pictures", markdown(["", *names], rows)]
    return "\n\n".join(parts) + "\n"


def errors_of(job: Job, metric: str) -> np.ndarray:
    """(n,) a metric of each test picture: "consistency", or an error such as "backward/all"."""
    found, annotation = kept(job)
    if metric == "consistency":
        return consistency_of_pictures(found)
    direction, _, count = metric.partition("/")
    return errors_of_pictures(found, job.config, annotation, ALL if count == "all" else int(count),
                              forward=direction == "forward").errors


def ratio(one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, draws: int = DRAWS) -> Interval:
    """The ratio of the means of paired errors, an array (n,) for each seed, with a bootstrap interval of 95 %.

    The test pictures of each seed are drawn again with replacement, the same for both.
    """
    def means(parts: Sequence[np.ndarray]) -> float:
        return float(np.mean([part.mean() for part in parts]))

    found = []
    for draw in range(draws):
        random = np.random.default_rng([draw])
        rows = [random.integers(0, len(part), len(part)) for part in one]
        found.append(means([part[row] for part, row in zip(one, rows, strict=True)])
                     / means([part[row] for part, row in zip(other, rows, strict=True)]))
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(means(one) / means(other), float(low), float(high))


def ratio_over_seeds(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> Interval | None:
    """The geometric mean over seeds of the ratios of means, with an interval of 95 % by Student's t of the logarithms;
    None for one seed."""
    found = over_seeds([float(np.log(mine.mean() / yours.mean())) for mine, yours in zip(one, other, strict=True)])
    return found and Interval(*np.exp(found).tolist())


def order_page(command: Command) -> str:
    """The first row's errors over those of every other row. Open is what either interval leaves open: that over test
    pictures tells of these networks, that over seeds of others like them."""
    config, (first, *others) = command.config, command.variants
    metrics = [column.metric for column in columns(config)
               if column.metric.startswith(("forward", "backward", "consistency"))]
    errors = {(name, metric): [errors_of(job, metric) for job in plain_jobs(command) if job.variant == name]
              for name in command.variants for metric in metrics}
    rows = []
    for other in others:
        for metric in metrics:
            compared = errors[first, metric], errors[other, metric]
            found, seeds = ratio(*compared), ratio_over_seeds(*compared)
            singles = " ".join(f"{one.mean() / two.mean():.2f}" for one, two in zip(*compared, strict=True))
            known = [found, *([seeds] if seeds else [])]
            verdict = ("lower" if all(one.high < 1 for one in known) else
                       "higher" if all(one.low > 1 for one in known) else "open")
            rows.append([f"{first} / {other}", metric, f"{found.value:.2f}", f"{found.low:.2f} to {found.high:.2f}",
                         f"{seeds.value:.2f}, {seeds.low:.2f} to {seeds.high:.2f}" if seeds else "–", singles, verdict])
    void = [f"{name}, seed {seed}" for name in command.variants for seed, value in zip(command.seeds, measured(
        NAME, [job for job in plain_jobs(command) if job.variant == name], "void"), strict=False) if value]
    note = (f"Void, so that their errors mean nothing: {'; '.join(void)}." if void else "No run is void.")
    return "\n\n".join([heading("order", command), markdown(
        ["rows", "metric", "ratio of means", "95 % over test pictures", "mean ratio, 95 % over seeds", "single seeds",
         "order"], rows), note]) + "\n"


def main(arguments: Sequence[str]) -> Path:
    """Runs what is missing of a study, prints its page and writes it; returns the path of the file.

    Raises InputError for flags that make no sense, and RunError at the end if a run has failed.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.adaptation.studies", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--preset", required=True, metavar="PRESET", help=", ".join(EXPERIMENT.presets))
    parser.add_argument("--columns", type=int, nargs="+", default=(), metavar="NUMBER",
                        help="epochs of the core, or counts of pictures, to show")
    known, rest = parser.parse_known_args(arguments)
    command = read_command(EXPERIMENT, [known.preset, *rest])
    named = "--variants" in command.arguments
    of_points = known.study in ("labels", "order")
    settings = [] if of_points else settings_of(known.study, command, known.columns)
    variants = command.variants if named or of_points or known.study == "cores" else ("adapted",)
    jobs = plain_jobs(command) if of_points else [
        job_of(command, name, seed, setting) for seed in command.seeds for name in variants for setting in settings]
    if known.study == "order" and len(command.variants) < 2:
        raise InputError("--variants: name two rows or more; the first is held against the others")
    prepare_process(command)
    outcome = work_through(EXPERIMENT, jobs)
    if of_points:  # which cannot be shown in part
        raise_for_failures(outcome)
    made = (labels_page(command, known.columns) if known.study == "labels" else order_page(command) if of_points else
            page(known.study, command, settings, variants))
    path = preset_folder(command.workdir, NAME, job_of(command, "adapted", 0).preset) / f"{known.study}.md"
    write_text(path, made)
    print(f"\n{made}\n{path}\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)
    return path


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
