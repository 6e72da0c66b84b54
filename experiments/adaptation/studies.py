"""Studies of stored predictions of adaptation, each by one command that resumes.

Command   python -m experiments.adaptation.studies order --preset demo --variants adapted scratch --seeds 3
          python -m experiments.adaptation.studies labels --preset mpii_mafl --columns 1 5 10 100 500 1000 5000

labels   errors by the labelled images of the regressors
order    ratios of variants' errors, with intervals over test images and over seeds

All other flags are those of the preset; what is missing is trained. Several processes may work on one study. The table
is printed and written to <workdir>/adaptation/<preset>/<study>.md. Runs with --core-background, --core-epoch or
--target-images have a folder of their own, and share the preset's cores.
"""
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import tyro
from etils import epath

from experiments.adaptation import SYSTEM, columns, measures
from experiments.engine.command_line import Command, prepared, read_command
from experiments.engine.configs import flat
from experiments.engine.parsing import exit_code_of, flags_in_messages, flags_of, parse_known
from experiments.engine.queue import raise_for_failures, work_through, write_page
from experiments.engine.system import Job, System, read_predictions
from experiments.engine.tables import Ratio, mean_text, measured, ratios_text, runs_of
from kpjax import InputError, Skeleton
from kpjax.evaluation.probes.landmarks import ALL, consistency
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json
from kpjax.reports.table import markdown
from kpjax.structures import skeleton_from_json

STUDIED = ("core_epoch", "target_images", "core_background")  # fields that lead to folders of their own
DRAWS = 2000  # resamplings of the test images


def jobs_of(command: Command) -> list[Job]:
    """Returns a run for every seed and variant of a command, seed by seed."""
    asked = flat(command.config)
    return [command.varied_job(name, seed, {field: asked[field] for field in STUDIED})
            for seed in command.seeds for name in command.variants]


def page(study: str, command: Command, *parts: str) -> str:
    """Returns a page with its title."""
    return "\n\n".join([f"# {study}, {command.preset}: {command.config.summary}", *parts]) + "\n"


def stored(job: Job) -> tuple[measures.Found, Skeleton]:
    """Reads the points of a finished run, and the skeleton of the annotation."""
    return (measures.found_in(read_predictions(job.folder), job.config.data.image_size),
            skeleton_from_json(read_json(job.folder / "annotation.json")))


def labels_page(command: Command, counts: Sequence[int]) -> str:
    """Returns forward and backward errors of all variants by labelled images, means over draws and seeds."""
    config, evaluation = command.config, command.config.evaluation
    if not evaluation.annotated:
        raise InputError("preset", f"{command.preset} has no annotation, so that nothing is regressed")
    images = (*(counts or evaluation.labelled_images), ALL)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in command.variants}
    for job in jobs_of(command):
        points, annotation = stored(job)
        errors = measures.regressor_errors(points, config, annotation, images)
        found[job.variant].append({name: one.mean for name, one in errors.items()})
    parts, names = [], ["all" if count is ALL else str(count) for count in images]

    def printed(variant: str, metric: str) -> str:
        paper = command.system.paper(command.preset, config, variant)
        return f" (paper {paper[metric]:.2f})" if metric in paper else ""

    for direction in ("forward", "backward"):
        rows = []
        for variant, seeds in found.items():
            rows.append([variant, *(mean_text([one[name] for one in seeds], len(seeds), decimals=2)
                                    + printed(variant, name) for name in (f"{direction}/{count}" for count in names))])
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


def order_page(command: Command) -> str:
    """Returns the first variant's errors over those of every other one."""
    first, *others = command.variants
    metrics = [column.metric for column in columns(command.config)
               if column.metric.startswith(("forward", "backward", "consistency"))]
    errors = {(name, metric): [errors_of(job, metric) for job in jobs_of(command) if job.variant == name]
              for name in command.variants for metric in metrics}
    found = []
    for other, metric in itertools.product(others, metrics):
        compared = errors[first, metric], errors[other, metric]
        found.append(Ratio(f"{first} / {other}", metric, ratio(*compared), tuple(
            float(one.mean() / two.mean()) for one, two in zip(*compared, strict=True))))
    collapsed = [job.title for job in jobs_of(command) if any(measured(runs_of([job]), "void"))]
    note = (f"Collapsed, so that their errors mean nothing: {'; '.join(collapsed)}." if collapsed
            else "No run has collapsed.")
    return page("order", command, ratios_text(found, "test images"), note)


@dataclass(frozen=True)
class Study:
    """A study of stored predictions; all other flags are those of the preset."""

    study: Annotated[tyro.conf.Positional[Literal["labels", "order"]], tyro.conf.arg(metavar="STUDY")]
    preset: str
    columns: tuple[int, ...] = ()  # of labels: counts of labelled images to show, in place of the preset's


@flags_in_messages(flags_of(Study) | {"variants": "--variants"})
def main(arguments: Sequence[str], *, system: System = SYSTEM) -> epath.Path:
    """Runs what a study lacks and writes its page, whose path it returns. Raises RunError if a run has failed."""
    asked, rest = parse_known(Study, arguments, prog="python -m experiments.adaptation.studies", description=__doc__)
    command = read_command(system, [asked.preset, *rest])
    if asked.study == "order" and len(command.variants) < 2:
        raise InputError("variants", "name two or more; the first is compared with the others")
    command = prepared(command)
    progress = work_through(command.system, jobs_of(command))
    raise_for_failures(progress)  # a page in part says nothing
    made = labels_page(command, asked.columns) if asked.study == "labels" else order_page(command)
    return write_page(jobs_of(command)[0].preset_folder / f"{asked.study}.md", made, progress)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
