"""Studies of the adaptation paper, each by one command that resumes.

Command   python -m experiments.adaptation_studies core_epochs --preset demo --seeds 3
          python -m experiments.adaptation_studies images --preset mpii_aflw --columns 10 100 1000 0
          python -m experiments.adaptation_studies labels --preset mpii_mafl --columns 1 5 10 100 500 1000 5000

core_epochs  `adapted` from cores of several epochs             images  the same by images without labels (0: all)
labels       errors by the labelled images of the regressors    cores   variants by the background of the core's people
order        ratios of variants' errors, with intervals over test images and over seeds

All other flags are those of the preset; --variants names other variants. Runs lie where `python -m
experiments.adaptation` puts them, those of another setting in a folder of their own beside the preset's; all share its
cores. `labels` and `order` read stored predictions, so that they train only what is missing. Several processes may work
on one study. The table is printed and written to <workdir>/adaptation/<preset>/<study>.md. With --core-background,
--core-epoch or --target-images a study is of those runs: `order --preset demo --core-background patches`.
"""
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro
from etils import epath

from experiments import adaptation_measures as measures
from experiments.adaptation import SYSTEM, base_preset, columns
from experiments.adaptation_presets import CORE_ACCURACY, RENDERED, STUDIES
from experiments.command_line import Command, prepare_process, read_command
from experiments.commands import as_flags, exit_code_of, flags_of, parse_known
from experiments.configs import changed, flat
from experiments.job_queue import mean_text, measured, outcome_lines, over_seeds, raise_for_failures, work_through
from experiments.system import Job, System, read_predictions
from kpjax import InputError, Skeleton
from kpjax.evaluation.probes.landmarks import ALL
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json, write_text
from kpjax.reports.table import markdown
from kpjax.structures import skeleton_from_json

Studies = Literal["core_epochs", "images", "labels", "cores", "order"]
STUDIED = ("core_epoch", "target_images", "core_background")  # fields that lead to folders of their own
DRAWS = 2000  # resamplings of the test images


class Setting(NamedTuple):
    """A column of a study: a field of the config and its value."""

    field: str
    value: Any
    title: str
    paper: Mapping[str, float] = {}  # of `adapted`, by metric


def settings_of(study: str, command: Command, chosen: Sequence[int]) -> list[Setting]:
    """Returns the columns of a study that trains. chosen: epochs or counts, in place of the preset's and the paper's.
    """
    core, aflw = command.config.core, base_preset(command.preset) == "mpii_aflw"
    if study == "cores":
        if not core.core.startswith(RENDERED):
            raise InputError(f"preset: {command.preset}; the background of a core's people can be chosen where they "
                             "are rendered, as in demo")
        return [Setting("core_background", name, name) for name in ("clutter", "patches")]
    paper = {int(value): numbers for (name, value), numbers in STUDIES.items() if name == study}
    settings = []
    for value in chosen or (paper if study == "images" else (*core.core_kept, core.core_epochs)):
        printed = paper.get(value, {}) if aflw else {}
        if study == "images":
            settings.append(Setting("target_images", value, str(value) if value else "all", printed))
        else:
            accuracy = {"core/pck": CORE_ACCURACY[value]} if value in CORE_ACCURACY else {}
            settings.append(Setting("core_epoch", 0 if value == core.core_epochs else value, f"epoch {value}",
                                    printed | accuracy))
    return settings


def job_of(command: Command, variant: str, seed: int, setting: Setting | None = None) -> Job:
    """Returns the run of a cell. What is studied leads to a folder of its own where it is not the preset's."""
    config = changed(command.config, **{setting.field: setting.value}) if setting else command.config
    base, here = flat(command.system.presets[command.preset]), flat(config)
    named = [f"{name}-{here[name]}" for name in STUDIED if here[name] != base[name]]
    return command.job(variant, seed)._replace(config=config, preset="-".join([command.preset, *named]))


def plain_jobs(command: Command) -> list[Job]:
    """Returns a run for every seed and variant of a command, seed by seed."""
    return [job_of(command, name, seed) for seed in command.seeds for name in command.variants]


def page(study: str, command: Command, *parts: str) -> str:
    """Returns a page with its title."""
    return "\n\n".join([f"# {study}, {command.preset}: {command.config.summary}", *parts]) + "\n"


def settings_page(study: str, command: Command, settings: Sequence[Setting], variants: Sequence[str]) -> str:
    """Returns a table for each metric: a line for each variant, a column for each setting."""
    with_paper, parts = base_preset(command.preset).startswith("mpii"), []
    for column in columns(command.config):
        def cell(name: str, setting: Setting, column=column) -> str:
            jobs = [job_of(command, name, seed, setting) for seed in command.seeds]
            ours = mean_text(measured(jobs, column.metric), len(jobs), factor=column.factor, decimals=column.decimals)
            return ours + _printed(setting.paper if with_paper and name == "adapted" else {}, column.metric)

        parts += [f"{column.title} ({column.unit})", markdown(
            ["", *(one.title for one in settings)],
            [[name, *(cell(name, setting) for setting in settings)] for name in variants])]
    return page(study, command, *parts)


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
    names = ["all" if count is ALL else str(count) for count in images]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in command.variants}
    for job in plain_jobs(command):
        points, annotation = stored(job)
        errors = measures.regressor_errors(points, config, annotation, images)
        found[job.variant].append({name: one.mean for name, one in errors.items()})
    parts = []
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
        return measures.consistency_of_images(found)
    direction, _, count = metric.partition("/")
    return measures.errors_of_images(found, job.config, annotation, ALL if count == "all" else int(count),
                                     forward=direction == "forward").errors


def ratio(one: Sequence[np.ndarray], other: Sequence[np.ndarray], *, draws: int = DRAWS) -> Interval:
    """Computes the ratio of the means of paired errors, (n,) for each seed, with a bootstrap interval of 95 %.

    The test images of each seed are drawn again with replacement `draws` times, the same for both.
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
    """Computes the geometric mean over seeds of the ratios of means, with an interval of 95 % by Student's t of the
    logarithms; None for one seed."""
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
    collapsed = [job.title for job in plain_jobs(command) if any(measured([job], "void"))]
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


def main(arguments: Sequence[str], *, system: System = SYSTEM) -> epath.Path:
    """Runs the missing runs of a study, prints its page and writes it; returns the path of the file.

    Raises InputError for invalid flags, and RunError at the end if a run has failed.
    """
    asked, rest = parse_known(Study, arguments, prog="python -m experiments.adaptation_studies", description=__doc__)
    command = read_command(system, [asked.preset, *rest])
    of_predictions = asked.study in ("labels", "order")
    settings = [] if of_predictions else settings_of(asked.study, command, asked.columns)
    named = "--variants" in command.arguments or of_predictions or asked.study == "cores"
    variants = command.variants if named else ("adapted",)
    jobs = plain_jobs(command) if of_predictions else [
        job_of(command, name, seed, setting) for seed in command.seeds for name in variants for setting in settings]
    if asked.study == "order" and len(command.variants) < 2:
        raise InputError("variants: name two or more; the first is compared with the others")
    prepare_process(command)
    outcome = work_through(command.system, jobs)
    if of_predictions:  # which cannot be shown in part
        raise_for_failures(outcome)
    made = (labels_page(command, asked.columns) if asked.study == "labels" else order_page(command)
            if of_predictions else settings_page(asked.study, command, settings, variants))
    path = job_of(command, "adapted", 0).preset_folder / f"{asked.study}.md"
    write_text(path, made)
    print(f"\n{made}\n{path}\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)
    return path


def run_with_flags(arguments: Sequence[str]) -> epath.Path:
    """Runs `main`; its messages name flags."""
    try:
        return main(arguments)
    except InputError as error:
        raise InputError(as_flags(str(error), flags_of(Study) | {"variants": "--variants"})) from error


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: run_with_flags(sys.argv[1:])))
