"""Studies of the adaptation paper, each by one command that resumes.

Command   python -m experiments.adaptation.studies core_epochs --preset demo --seeds 3
          python -m experiments.adaptation.studies images --preset mpii_aflw --columns 10 100 1000 0
          python -m experiments.adaptation.studies labels --preset mpii_mafl --columns 1 5 10 100 500 1000 5000

core_epochs  `adapted` from cores of several epochs             images  the same by images without labels (0: all)
labels       errors by the labelled images of the regressors    cores   variants by the background of the core's people
order        ratios of variants' errors, with intervals over test images and over seeds

All other flags are those of the preset; --variants names other variants. Runs of another setting lie in a folder of
their own beside the preset's; all share its cores. `labels` and `order` read stored predictions. Several processes may
work on one study. The table is printed and written to <workdir>/adaptation/<preset>/<study>.md. With --core-background,
--core-epoch or --target-images a study is of those runs: `order --preset demo --core-background patches`.
"""
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro
from etils import epath

from experiments.adaptation import SYSTEM, columns, measures
from experiments.adaptation.presets import RENDERED
from experiments.engine.command_line import Command, prepared, read_command
from experiments.engine.configs import flat
from experiments.engine.paper_numbers import paper_numbers
from experiments.engine.parsing import exit_code_of, flags_in_messages, flags_of, parse_known
from experiments.engine.queue import raise_for_failures, work_through, write_page
from experiments.engine.system import Job, System, read_predictions
from experiments.engine.tables import mean_text, measured, over_seeds, runs_of
from kpjax import InputError, Skeleton
from kpjax.evaluation.probes.landmarks import ALL, consistency
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json
from kpjax.reports.table import Column, markdown
from kpjax.structures import skeleton_from_json

Studies = Literal["core_epochs", "images", "labels", "cores", "order"]
STUDIED = ("core_epoch", "target_images", "core_background")  # fields that lead to folders of their own
DRAWS = 2000  # resamplings of the test images
IMAGES = (10, 100, 1000, 0)  # of the study of them


class Setting(NamedTuple):
    """A column of a study: a field of the config and its value."""

    field: str
    value: Any
    title: str
    paper: Mapping[str, float] = {}  # of `adapted`, by metric


def settings_of(study: str, command: Command, chosen: Sequence[int]) -> list[Setting]:
    """Returns the columns of a study that trains. chosen: epochs or counts, not the preset's and the paper's."""
    core, adapted = command.config.core, {"preset": command.preset, "variant": "adapted"}
    if study == "cores":
        if not core.core.startswith(RENDERED):
            raise InputError(f"preset: {command.preset}; the background of a core's people can be chosen where they "
                             "are rendered, as in demo")
        return [Setting("core_background", name, name) for name in ("clutter", "patches")]
    if study == "images":
        return [Setting("target_images", count, str(count or "all"),
                        paper_numbers("adaptation", "table5", images=count, **adapted)) for count in chosen or IMAGES]
    return [Setting("core_epoch", 0 if epoch == core.core_epochs else epoch, f"epoch {epoch}",
                    paper_numbers("adaptation", "table4", epochs=epoch, **adapted)
                    | paper_numbers("adaptation", "core", epochs=epoch))
            for epoch in chosen or (*core.core_kept, core.core_epochs)]


def job_of(command: Command, variant: str, seed: int, setting: Setting | None = None) -> Job:
    """Returns the run of a cell. What is studied leads to a folder of its own where it is not the preset's."""
    asked = flat(command.config)
    settings = {name: asked[name] for name in STUDIED} | ({setting.field: setting.value} if setting else {})
    return command.varied_job(variant, seed, settings)


def plain_jobs(command: Command) -> list[Job]:
    """Returns a run for every seed and variant of a command, seed by seed."""
    return [job_of(command, name, seed) for seed in command.seeds for name in command.variants]


def page(study: str, command: Command, *parts: str) -> str:
    """Returns a page with its title."""
    return "\n\n".join([f"# {study}, {command.preset}: {command.config.summary}", *parts]) + "\n"


def settings_page(study: str, command: Command, settings: Sequence[Setting], variants: Sequence[str]) -> str:
    """Returns a table for each metric: a line for each variant, a column for each setting."""
    with_paper = command.preset.startswith("mpii")

    def cell(column: Column, name: str, setting: Setting) -> str:
        runs = runs_of([job_of(command, name, seed, setting) for seed in command.seeds])
        ours = mean_text(measured(runs, column.metric), len(runs), factor=column.factor, decimals=column.decimals)
        return ours + _printed(setting.paper if with_paper and name == "adapted" else {}, column.metric)

    return page(study, command, *(part for column in columns(command.config) for part in (
        f"{column.title} ({column.unit})", markdown(["", *(one.title for one in settings)], [
            [name, *(cell(column, name, setting) for setting in settings)] for name in variants]))))


def _printed(paper: Mapping[str, float], metric: str) -> str:
    return f" (paper {paper[metric]:.2f})" if metric in paper else ""


# Studies of stored predictions


def stored(job: Job) -> tuple[measures.Found, Skeleton]:
    """Reads the points of a finished run, and the skeleton of the annotation."""
    return (measures.found_in(read_predictions(job.folder), job.config.data.image_size),
            skeleton_from_json(read_json(job.folder / "annotation.json")))


def labels_page(command: Command, counts: Sequence[int]) -> str:
    """Returns forward and backward errors of all variants by labelled images, means over draws and seeds."""
    config, evaluation = command.config, command.config.evaluation
    if not evaluation.annotated:
        raise InputError(f"preset: {command.preset} has no annotation, so that nothing is regressed")
    images = (*(counts or evaluation.labelled_images), ALL)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in command.variants}
    for job in plain_jobs(command):
        points, annotation = stored(job)
        errors = measures.regressor_errors(points, config, annotation, images)
        found[job.variant].append({name: one.mean for name, one in errors.items()})
    parts, names = [], ["all" if count is ALL else str(count) for count in images]
    for direction in ("forward", "backward"):
        rows = []
        for variant, seeds in found.items():
            paper = command.system.paper(command.preset, config, variant)
            rows.append([variant, *(mean_text([one[name] for one in seeds], len(seeds), decimals=2)
                                    + _printed(paper, name) for name in (f"{direction}/{count}" for count in names))])
        parts += [f"{direction} error, percent, by labelled images", markdown(["", *names], rows)]
    return page("labels", command, *parts)


def errors_of(job: Job, metric: str) -> np.ndarray:
    """Computes (n,) a metric of each test image: "consistency", or an error such as "backward/all"."""
    found, annotation = stored(job)
    if metric == "consistency":
        return consistency(found.once, found.twice, found.turns).per_image
    count = metric.partition("/")[2]
    images = ALL if count == "all" else int(count)
    return measures.regressor_errors(found, job.config, annotation, (images,))[metric].per_image


def ratio(one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, draws: int = DRAWS) -> Interval:
    """Computes the ratio of means of paired errors, (n,) for each seed, with a 95 % bootstrap interval over images."""
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
    """Computes the geometric mean over seeds, with a 95 % interval by Student's t of logarithms; None for one seed."""
    found = over_seeds([float(np.log(mine.mean() / yours.mean())) for mine, yours in zip(one, other, strict=True)])
    return found and Interval(*np.exp(found).tolist())


def order_page(command: Command) -> str:
    """Returns the first variant's errors over those of every other one. The order is open if either interval leaves it
    open: the one over test images concerns these networks, the one over seeds others like them."""
    config, (first, *others) = command.config, command.variants
    metrics = [column.metric for column in columns(config)
               if column.metric.startswith(("forward", "backward", "consistency"))]
    errors = {(name, metric): [errors_of(job, metric) for job in plain_jobs(command) if job.variant == name]
              for name in command.variants for metric in metrics}
    rows = []
    for other, metric in itertools.product(others, metrics):
        compared = errors[first, metric], errors[other, metric]
        found, seeds = ratio(*compared), ratio_over_seeds(*compared)
        singles = " ".join(f"{one.mean() / two.mean():.2f}" for one, two in zip(*compared, strict=True))
        known = [found, seeds or found]
        verdict = ("lower" if all(one.high < 1 for one in known) else
                   "higher" if all(one.low > 1 for one in known) else "open")
        rows.append([f"{first} / {other}", metric, f"{found.value:.2f}", f"{found.low:.2f} to {found.high:.2f}",
                     f"{seeds.value:.2f}, {seeds.low:.2f} to {seeds.high:.2f}" if seeds else "–", singles, verdict])
    collapsed = [job.title for job in plain_jobs(command) if any(measured(runs_of([job]), "void"))]
    note = (f"Collapsed, so that their errors mean nothing: {'; '.join(collapsed)}." if collapsed
            else "No run has collapsed.")
    return page("order", command, markdown(
        ["variants", "metric", "ratio of means", "95 % over test images", "mean ratio, 95 % over seeds", "single seeds",
         "order"], rows), note)


@dataclass(frozen=True)
class Study:
    """A study of the paper; all other flags are those of the preset."""

    study: Annotated[tyro.conf.Positional[Studies], tyro.conf.arg(metavar="STUDY")]
    preset: str
    columns: tuple[int, ...] = ()  # epochs of the core, or counts of images, to show


@flags_in_messages(flags_of(Study) | {"variants": "--variants"})
def main(arguments: Sequence[str], *, system: System = SYSTEM) -> epath.Path:
    """Runs what a study lacks and writes its page, whose path it returns. Raises RunError if a run has failed."""
    asked, rest = parse_known(Study, arguments, prog="python -m experiments.adaptation.studies", description=__doc__)
    command = read_command(system, [asked.preset, *rest])
    path = job_of(command, "adapted", 0).preset_folder / f"{asked.study}.md"
    if asked.study == "order" and len(command.variants) < 2:
        raise InputError("variants: name two or more; the first is compared with the others")
    command = prepared(command)
    if asked.study in ("labels", "order"):  # of stored predictions
        progress = work_through(command.system, plain_jobs(command))
        raise_for_failures(progress)  # a page in part says nothing
        made = labels_page(command, asked.columns) if asked.study == "labels" else order_page(command)
        return write_page(path, made, progress)
    settings = settings_of(asked.study, command, asked.columns)
    named = "--variants" in command.arguments or asked.study == "cores"
    variants = command.variants if named else ("adapted",)
    progress = work_through(command.system, [job_of(command, name, seed, setting) for seed in command.seeds
                                            for name in variants for setting in settings])
    return write_page(path, settings_page(asked.study, command, settings, variants), progress)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
