"""A paper on people's own data: the check of the project, the first lines of a training, errors in
pixels, and the report."""

import contextlib
import functools
import importlib
import itertools
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from kpjax import InputError
from kpjax.evaluation import coincidence
from kpjax.files import absolute, in_bucket, make_folder, read_json, write_json
from kpjax.input.source import Source
from kpjax.lab.animals.calibration import FILE as SCORES, score_table_from, table_as_json
from kpjax.lab.own.animals import (
    FOLDER,
    Learnt,
    found_text,
    keep_finder,
    learnt_finder,
    of_another_run,
)
from kpjax.lab.own.project import WITH_PROJECT, inputs_of
from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.pixel_errors import (
    OF_PART,
    TRAINED,
    Part,
    count_text,
    known_by,
    scores_of,
)
from kpjax.lab.reports.shown import SHOWN, write_frames
from kpjax.lab.reports.told import Told, nothing_told
from kpjax.papers import configs
from kpjax.papers.command_line import Command, typed_fields
from kpjax.papers.configs import config_as_json, flat
from kpjax.papers.engine import OWN, Beside, Experiment, Job, Outcome, Paper, StoredRun
from kpjax.training.evaluation import Gathered
from kpjax.training.hosts import agreed
from kpjax.training.identity import changed_input, flat_identity
from kpjax.training.run_folder import InUse

# numbers of steps of stages, as far as a system has them
COUNTS_OF_STEPS = ("warm_start_steps", "pretraining_steps", "steps")


def on_own_data(
    paper: Paper,
    config: configs.RunConfig,
    resolved: Callable[[Any, Collection[str]], Any],
    open_data: Callable[..., Any],
    *,
    parts: Callable[[Job, Any], Mapping[str, Part]] = lambda job, data: {},
    shown: Callable[[Job, Any], Part | None] = lambda job, data: None,
    told: Told = nothing_told,
    found: Callable[[Any], Source | None] = lambda data: None,
    check_variants: Callable[[Any, Sequence[str]], None] = lambda config, variants: None,
    seeded: Callable[[Any], bool] = lambda config: False,
    labels_alone: Callable[[Job], bool] = lambda job: False,
    of_unlabelled: Collection[str] = (),
    cutoffs: Callable[[Any], Mapping[int, float]] = lambda config: {},
    finder: Callable[[Any], Learnt | None] = lambda config: None,
) -> Experiment:
    """Returns a paper on a person's own data, with the one preset `own`.

    Beside what the paper says, runs keep errors.csv, errors_by_keypoint.csv, score_table.json with
    the cutoffs, radius_table.json with radii within which the truth lies, label_distances.json with
    how near labels come to each other, metrics such as `held_out/px`, and the network that finds
    animals.

    Args:
        paper: with what differs on own data, such as the variants that run.
        config: what a person gives, and settings.
        resolved: (config, what was typed) -> the config with the rest chosen, each choice printed
            with its reason. Raises InputError for what does not suit.
        open_data: called once for all variants of a seed that open the same, with
            `labels_alone=True` for those that read no more.
        parts: (job, data) -> the labelled animals by what they are for the run; one part is
            HELD_OUT or TARGET, whose `scale` is the diagonal of the labelled body. Runs keep their
            errors in pixels, what scores mean, and radii; none without.
        shown: (job, data) -> frames of which runs keep all points, for pictures.
        told: what the report says first, as of `nothing_told`.
        found: of a run's data, crops of animals that it found itself.
        check_variants: of a config and the variants that train, tells what flags do not reach, or
            raises InputError.
        seeded: whether what is opened differs between seeds.
        labels_alone: of a job, whether its variant reads labelled images alone.
        of_unlabelled: the fields and inputs that those variants do not read.
        cutoffs: of a config, those that another run knows, by the numbers of keypoints.
        finder: of a config, what another run finds animals with; None where this one learns it.
    """

    open_once = functools.lru_cache(maxsize=2)(open_data)

    def opened_once(job: Job) -> Any:
        shared = job._replace(variant="", seed=job.seed if seeded(job.config) else 0)
        if labels_alone(job):
            return open_once(shared, labels_alone=True)
        return open_once(shared)

    def unread(job: Job) -> Collection[str]:
        # what further fields say of a project is in its labels, as they were read; and stages that
        # variants share have the digests of their streams
        if not of_unlabelled or (job.variant and not labels_alone(job)):
            return WITH_PROJECT
        return (*WITH_PROJECT, *of_unlabelled)

    def check(command: Command, jobs: Sequence[Job]) -> None:
        check_variants(command.config, command.variants)
        # What is wrong with images that only later variants read is told before one trains.
        done = agreed("what is finished", lambda: [job.has_results for job in jobs])
        waiting = [job for job, is_done in zip(jobs, done, strict=True) if not is_done]
        whole = [job for job in waiting if not labels_alone(job)]
        if 0 < len(whole) < len(waiting):
            with contextlib.suppress(InUse):  # another process learns to find animals for it
                opened_once(whole[0])

    return Experiment(
        paper._replace(template=config),
        {OWN: config},
        opened_once,
        inputs=inputs_of,
        resolved=resolved,
        unread=unread,
        beside=beside(paper, parts, shown, told, found, check, cutoffs, finder),
    )


def beside(
    paper: Paper,
    parts: Callable[[Job, Any], Mapping[str, Part]],
    shown: Callable[[Job, Any], Part | None],
    told: Told,
    found: Callable[[Any], Source | None],
    check_data: Callable[[Command, Sequence[Job]], None],
    cutoffs: Callable[[Any], Mapping[int, float]],
    finder: Callable[[Any], Learnt | None],
) -> Beside:
    """Returns what runs on own data do beside what the paper says, as `on_own_data` describes."""

    def check(command: Command, jobs: Sequence[Job]) -> None:
        if not command.shared.fresh:
            check_project(command)
        check_data(command, jobs)
        print(*first_lines(command), sep="\n")

    def report(*given: Any, **more: Any) -> Any:  # its libraries are not waited for by help
        return importlib.import_module("kpjax.lab.own.report").own_report(*given, told=told, **more)

    def prepare(job: Job, data: Any) -> None:
        crowded = getattr(job.config.data, "transform", "") == "around_box"
        if crowded and (given := finder(job.config)):
            keep_finder(job, of_another_run(given), found(data))
        elif crowded and TRAINED in parts(job, data):
            learnt = learnt_finder(job._replace(variant=""))
            job.note(learnt.under)
            print(found_text(learnt.described["held_out"]))
            keep_finder(job, learnt, found(data))

    def evaluated(job: Job, data: Any) -> dict[str, Source]:
        some = shown(job, data)
        return {
            OF_PART + name: pixel_errors.sample_of(name, part.source)
            for name, part in parts(job, data).items()
        } | ({SHOWN: some.source} if some else {})

    def measure(
        job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]
    ) -> dict[str, float]:
        if not (part := known_by(predictions)):
            return {}
        empty, kept = job.config.data.own.empty, cutoffs(job.config)
        predictions = pixel_errors.beyond_sample(parts(job, data), predictions)
        animals = pixel_errors.animals_of(parts(job, data), predictions, empty=empty)
        known = scores_of(predictions, part, empty=empty, kept=kept)
        return pixel_errors.metrics_of(animals, known.cutoffs)

    def draw(job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
        if jax.process_index():
            return
        make_folder(job.folder)
        if SHOWN in predictions:
            write_frames(job.folder, shown(job, data), outcome.method.skeleton.names)
        if not (part := known_by(predictions)):
            return
        stored = StoredRun(job.config, job.variant, outcome.method.skeleton)
        kind, empty = paper.predicting(stored).score_kind, job.config.data.own.empty
        predictions = pixel_errors.beyond_sample(parts(job, data), predictions)
        animals = pixel_errors.animals_of(parts(job, data), predictions, empty=empty)
        tables = pixel_errors.meaning_of_scores(
            predictions,
            part,
            animals.by_part()[part],
            kind,
            empty=empty,
            kept=cutoffs(job.config),
        )
        labels = pixel_errors.distances_in_labels(animals, predictions)
        tables[coincidence.FILE] = table_as_json(labels)
        for name, content in tables.items():
            write_json(job.folder / name, content)
        known = score_table_from(tables[SCORES], SCORES)
        pixel_errors.write_errors(job.folder, animals, known.cutoffs)

    return Beside(check, report, next_lines, prepare, evaluated, measure, draw)


def first_lines(command: Command) -> list[str]:
    """Returns what will be trained, and how many networks."""
    jobs = command.jobs()
    trained = [job for job in jobs if not job.has_results]
    times = f", {len(command.seeds)} seeds each" if len(command.seeds) > 1 else ""
    done = f"; already finished: {len(jobs) - len(trained)}" if len(trained) < len(jobs) else ""
    given = flat(command.config)  # a run in the place of a source has had its first stage
    steps = sum(
        given.get(name, 0) * (given.get("rounds", 1) if name == "steps" else 1)
        for name in COUNTS_OF_STEPS
        if name != "pretraining_steps" or given.get("source")
    )
    order = ", one after the other" if len(jobs) > 1 else ""
    return [
        f"to train: {count_text(len(jobs), 'network')}{order}: {', '.join(command.variants)}{times}; "
        f"up to {steps:,} steps each{done}"
    ]


def next_lines(command: Command, shown: Path | None = None) -> list[str]:
    """Returns the folders of finished runs, that of the report and then the last variants first, and
    the command that uses one.
    """
    finished = [job for job in command.jobs() if job.has_results]
    folders = [
        os.path.relpath(job.folder)
        if Path(job.folder).is_relative_to(Path.cwd())
        else str(job.folder)
        for job in sorted(
            finished,
            key=lambda job: (Path(job.folder) != shown, -command.variants.index(job.variant)),
        )
    ]
    finds = (command.jobs()[0].folder / FOLDER).is_dir()
    boxes = (
        " --boxes BOXES"
        if flat(command.config).get("transform") == "around_box" and not finds
        else ""
    )
    used, copied = shlex.quote(folders[0]), ""
    if in_bucket(command.folder):
        used, copied = "RUN", " (RUN: a copy of the first folder on a disc)"
    return [
        *(f"run: {folder}" for folder in folders),
        f"next: kpjax predict {used} VIDEO{boxes} --out points --overlay{copied}",
    ]


def check_project(command: Command) -> None:
    """Raises InputError if runs in the folder learnt from another state of the project and nothing
    else was asked for: settings that are chosen from the data differ then, and would be named in
    place of the cause."""
    config, workdir = command.config, command.shared.workdir
    now = flat_identity(config_as_json(config))
    other = next(
        name for n in itertools.count(2) if not absolute(name := f"{workdir}-{n}").exists()
    )
    elsewhere = shlex.join(["--workdir", other])
    asked = {"labelled", "validation", "weights", "start", *typed_fields(config, command.arguments)}
    for path in sorted(command.folder.glob("*/seed-*/config.json")):
        variant, stored = path.parent.parent.name, read_json(path)
        if variant not in command.experiment.paper.variants:
            continue
        inputs = command.jobs()[0]._replace(variant=variant).inputs
        there = flat_identity(stored.get("config", {}))
        differ = {
            name.rpartition(".")[2] for name in now if name in there and there[name] != now[name]
        }
        found = changed_input(stored.get("inputs", {}), inputs)
        if not found or (differ - inputs.keys()) & asked:
            continue
        name, words = found
        before, after = (
            of.partition("; held out")[0] for of in (there.get("summary", ""), config.summary)
        )
        learnt = f"learnt {before}"
        if after != before:
            learnt += f"; now {after}"
        goes_on = ""
        if "start" in flat(config) and (path.parent / "results.json").exists():
            goes_on = (
                f"--start {shlex.quote(str(path.parent))} {elsewhere} goes on from the last run, "
            )
        raise InputError(
            name,
            f"{words}; {path.parent} {learnt}: {goes_on}{elsewhere} alone starts over beside it, --fresh in its "
            "place, deleting all in its folder",
        )
