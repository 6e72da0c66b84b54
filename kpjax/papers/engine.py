"""The engine of all papers: what a paper is made of, and the one way in which a variant is run.

    finished? -> open the data -> begin the record -> train -> predict -> measure -> draw -> save ->
    record

A paper's folder says what the paper says: variants with their stages, measures. What a pod, a sweep
over seeds or a preempted run needs stands here, and no paper knows of it.
"""

import functools
import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from kpjax import InputError, Method, Skeleton, Trained
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.errors import say_once
from kpjax.evaluation.pose_statistics import write_pose_statistics
from kpjax.files import (
    absolute,
    in_bucket,
    read_json,
    remove_partials,
    strict,
    write_json,
)
from kpjax.images.contents import contents
from kpjax.images.transforms import Transform
from kpjax.input.source import Source, subset
from kpjax.input.stream import BatchStream, stream
from kpjax.models import KeypointNetwork
from kpjax.papers import configs
from kpjax.papers.configs import TUNING_SEEDS, config_as_json, config_from_json, flat
from kpjax.papers.paper_numbers import paper_numbers
from kpjax.papers.reports.report import Column
from kpjax.papers.source_free import poses_of
from kpjax.platforms import run_once
from kpjax.structures import skeleton_from_json
from kpjax.training.evaluation import (
    Gathered,
    check_numbers,
    predict_source,
    write_predictions,
)
from kpjax.training.finished_runs import read_run
from kpjax.training.fit import (
    DEFAULT_OPTIONS,
    Evaluation,
    FitOptions,
    Fitted,
    Select,
    fit,
    other_choices,
)
from kpjax.training.hosts import agreed, check_alike
from kpjax.training.identity import (
    changed_input,
    changed_programs,
    check_identity,
    flat_identity,
    named_in,
    programs,
    versions,
    without_addresses,
)
from kpjax.training.process import forget_programs
from kpjax.training.run_folder import (
    hold_folder,
    note_programs,
    write_config,
    write_results,
)
from kpjax.training.stages import Stage as KeptStage, stage
from kpjax.training.trees import json_digest, load_trained, save_trained

FORMAT = 7  # format of config.json
# What the configs of an older format say today: a function of the stored config a format, which
# gives that of the next one. A field that is absent has its default, and needs no line here.
CHANGES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
SUMMARY = "summary"  # a field of each config, which says no more than the others
IMAGES = "images"  # folder of the images of a run
SHOWN = 16  # predictions on a sheet
OWN = "own"  # the preset for people's own data, see `kpjax.lab.own`


class Job(NamedTuple):
    """One variant of one seed."""

    experiment: "Experiment"
    config: configs.RunConfig
    preset: str
    variant: str
    seed: int
    workdir: epath.Path
    data_dir: epath.Path
    options: FitOptions = DEFAULT_OPTIONS  # options of every `fit`
    settings: str = ""  # what was asked for and differs from the preset, as `results.csv` writes it
    rehearses: bool = False  # takes two steps of each stage and measures nothing, see `fit_stage`

    @property
    def paper(self) -> "Paper":
        """The paper whose variant it is."""
        return self.experiment.paper

    @property
    def preset_folder(self) -> epath.Path:
        """runs/<paper>/<preset>, absolute."""
        return preset_folder(self.workdir, self.paper.name, self.preset)

    @property
    def folder(self) -> epath.Path:
        """runs/<paper>/<preset>/<variant>/seed-<n>."""
        return self.preset_folder / self.variant / f"seed-{self.seed}"

    @property
    def base_preset(self) -> str:
        """The preset that a study's, "<preset>-<field>-<value>", varies."""
        return self.preset.partition("-")[0]

    @property
    def title(self) -> str:
        """The job in a few words."""
        return f"{self.variant}, seed {self.seed}"

    @property
    def has_results(self) -> bool:
        """Whether its folder has results, of whatever configuration (`is_finished`)."""
        return (self.folder / "results.json").exists()

    def place(self, stage: "Stage") -> epath.Path:
        """Returns the folder of one of its stages."""
        if stage.shared is None:
            return stage.folder or self.folder
        home = preset_folder(self.workdir, self.paper.name, stage.shared.preset or self.preset)
        return home / "stages" / stage.shared.name / f"seed-{self.seed}"

    @property
    def lengths(self) -> Mapping[epath.Path, float]:
        """The steps of its stages by folder, with those of runs that it starts from; 0 where a run
        itself trains nothing."""
        found = {self.folder: 0.0}

        def count(job: "Job", asked: "Stage") -> "Outcome":
            found[job.place(asked)] = asked.cost * asked.steps
            return NOTHING_TRAINED

        imagine(self, None, count)
        return found

    def identity(self, **more: Any) -> dict[str, Any]:
        """Returns all that must stay the same for a run to be resumed, and for a finished one to
        be left as it is: the contents of its inputs, and every field of its config that the variant
        reads.

        more: such as digests of the data.
        """
        return {
            "format": FORMAT,
            "variant": self.variant,
            "seed": self.seed,
            **self.read_of({"config": config_as_json(self.config)}),
            **unusual_options(self.options),
            **strict(more),
        }

    def record(self, **more: Any) -> dict[str, Any]:
        """Returns what a run's folder keeps of its `identity`: with every address, the digests of
        all files, and the version that writes it.
        """
        return self.identity(**more) | {
            "version": versions().get("kpjax", ""),
            "config": config_as_json(self.config),
            "inputs": self.inputs,
            "why": dict(self.config.why),
        }

    def read_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a config as JSON, or a part of one, as results depend on it: without addresses,
        and with the digests of the inputs that these name.
        """
        inputs = self.inputs
        unread = self.experiment.unread(self)
        digests = {
            name: json_digest(inputs[name]) for name in sorted(named_in(config) & inputs.keys())
        }
        read = without_addresses(config, {*inputs, *unread, SUMMARY})
        return read | ({"inputs": digests} if digests else {})

    @property
    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """The digests of all files that the variant reads, by flag and file; those of the process's
        first look, as the data are opened once."""
        found = _inputs(self.experiment, self.config, self.data_dir)
        unread = self.experiment.unread(self)
        return {name: files for name, files in found.items() if name not in unread}

    def stage(self, train: Callable[[epath.Path], Fitted], shared: "Shared") -> KeptStage:
        """Returns a stage that variants of a seed share, trained or resumed by `train(folder)` if
        it is not finished.
        """
        found = stage(
            preset_folder(self.workdir, self.paper.name, shared.preset or self.preset),
            shared.name,
            self.seed,
            train,
            config=strict({**self.of_stage(shared.config()), **unusual_options(self.options)}),
            parents=dict(shared.parents) or None,
        )
        self.note(found.under)
        return found

    def of_stage(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the config of a stage as its result depends on it, whichever variant comes first;
        streams have digests of their own."""
        return self._replace(variant="").read_of(config)

    def note(self, under: Sequence[Mapping[str, Any]]) -> None:
        """Notes in the run's folder the programs that computed a part of it."""
        if self.variant:  # stages that several variants share are noted by each of them
            agreed("noting the programs", lambda: note_programs(self.folder, under))


def unusual_options(options: FitOptions) -> dict[str, Any]:
    """Returns the options of `fit` that change numbers, where they are not as usual."""
    groups = options.batch_norm_groups
    return {"batch_norm_groups": groups} if groups > 1 else {}


@functools.lru_cache(maxsize=4)
def _inputs(
    experiment: "Experiment", config: configs.RunConfig, data_dir: epath.Path
) -> Mapping[str, Mapping[str, str]]:
    return experiment.inputs(config, data_dir)


def named_inputs(config: Any, data_dir: epath.Path) -> dict[str, dict[str, str]]:
    """Returns the digests of what the fields of a config name, by field and file: files, and sets
    that `python -m data` prepared, whose description has the digests of their records.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in flat(config).items():
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, str) or not text:
                continue
            file, dataset = os.path.expanduser(text), text.partition("/")[0]
            files = {Path(file).name: Path(file)} if os.path.isfile(file) else {}
            if not files and dataset.strip("."):
                described = _found(data_dir / dataset, "*/skeleton.json", "*/*/skeleton.json")
                files = {str(path.relative_to(data_dir)): path for path in described}
            if files:
                found[name] = found.get(name, {}) | contents(files)
    return found


def _found(folder: epath.Path, *patterns: str) -> list[epath.Path]:
    """Returns what fits patterns, sorted; in a bucket none may stand for all below a folder."""
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


class Outcome(NamedTuple):
    """What was trained: by a stage, by a whole variant."""

    #: predicts; None of a variant without a network, which keeps neither model nor skeleton
    method: Method | None
    trained: Trained | None
    steps: int  # that a table compares: of all stages that the variant has seen
    images_per_second: float = 0.0
    #: seconds that all those stages took; the images are of all of them, too
    wall_seconds: float = 0.0
    metrics: Mapping[str, float] = {}  # measured while it trained
    predictions: Mapping[str, Gathered] = {}  # made while it trained
    images: int = 0  # read in training
    #: further networks that it trained, by name, for measures that predict with them
    others: Mapping[str, tuple[Method, Trained]] = {}
    digest: str = ""  # of a stage that several variants share
    evaluation: Mapping[str, float] = {}  # of what was trained, on the way
    evaluations: Sequence[Evaluation] = ()  # all on the way


NOTHING_TRAINED = Outcome(None, Trained({}, {}), 0, evaluation=defaultdict(float))


# The stages of a variant. They are written out in a generator, `(job, data) -> Stages`, which yields
# each and receives its outcome, and returns that of all. `engine.train` trains what it asks for,
# `Job.lengths` counts it, `kpjax.papers.plan` compiles it. Who counts has no data, and who plans has
# shapes in the place of arrays; so both are read in functions, which only those call that need them.


class Training(NamedTuple):
    """What a stage fits."""

    method: Method
    streams: Mapping[str, BatchStream]
    config: Callable[[], Mapping[str, Any]]  # all that must stay the same for it to be resumed
    start: Mapping[str, Any] = {}  # trees of earlier stages, or the `Work` that makes one
    #: trained -> what is kept of it
    result: Callable[[Trained], Trained] | None = None
    #: that begins with the backbone's weights, where no earlier stage has trained it, and the names
    #: of its keypoints
    fresh: tuple[KeypointNetwork, Sequence[str]] | None = None
    more: Mapping[str, Any] = {}  # further arguments of `fit`


class Shared(NamedTuple):
    """Where a stage is kept that variants of a seed share, and what its result depends on."""

    name: str
    config: Callable[[], Mapping[str, Any]]
    parents: Mapping[str, str] = {}  # digests of the stages that it starts from
    preset: str = ""  # whose folder keeps it; the job's if empty


class Stage(NamedTuple):
    """One training, answered with its outcome."""

    name: str  # enters the random keys
    steps: int
    training: Callable[[], Training]
    #: outcome of the stages before, whose steps, seconds and images count with its own
    before: Outcome | None = None
    shared: Shared | None = None
    folder: epath.Path | None = None  # of one that is not shared; the run's if None
    cost: float = 1.0  # of a step, those of other stages being 1


class Work(NamedTuple):
    """What is found out between stages, answered with what `do` returns."""

    do: Callable[[], Any]
    #: in its place where nothing is trained; a function where it depends on shapes of earlier stages
    planned: Any = None


def computed(function: Callable, *arguments: Any) -> Work:
    """Returns the work of computing a function of arrays."""
    return Work(
        lambda: run_once(function)(*arguments), lambda: jax.eval_shape(function, *arguments)
    )


# A job stands for the outcome of another run.
Stages = Generator["Stage | Work | Job", Any, Outcome]
StagesOf = Callable[[Job, Any], Stages]


def drive(stages: Generator, answer: Callable[[Any], Any]) -> Any:
    """Returns what stages return, each of which is answered; what `answer` raises is raised where
    they have asked.
    """
    give, given = stages.send, None
    while True:
        try:
            asked = give(given)
        except StopIteration as end:
            return end.value
        try:
            give, given = stages.send, answer(asked)
        except Exception as error:
            give, given = stages.throw, error


def imagine(job: Job, data: Any, note: Callable[[Job, Stage], Outcome]) -> Outcome:
    """Goes through the stages of a variant, and of those that it starts from, and trains nothing.

    data: None where only names and steps are asked for. note: says what a stage leaves.
    """

    def answer(asked: Any) -> Any:
        if isinstance(asked, Job):
            return imagine(asked, data, note)
        if isinstance(asked, Stage):
            return note(job, asked)
        if callable(asked.planned):
            return None if data is None else asked.planned()
        return asked.planned

    return drive(variant_of(job).stages(job, data), answer)


class Predicting(NamedTuple):
    """A finished run as a function of new images."""

    method: Method
    #: transform of an image of any size to the square one that the method reads
    transform: Transform
    score_kind: str  # scores of two kinds do not compare


class StoredRun(NamedTuple):
    """A run's folder, read back."""

    config: Any
    variant: str
    skeleton: Skeleton


@functools.lru_cache(maxsize=64)
def built(build: Callable[..., Method], *arguments: Any, **options: Any) -> Method:
    """Builds a method once, so that all seeds, steps and variants share what is compiled."""
    return build(*arguments, **options)


@functools.lru_cache(maxsize=64)
def built_on(setup: Callable, build: Callable, config: Any, skeleton: Skeleton) -> Method:
    """Builds a method once on what `setup` makes of a config and its keypoints."""
    return build(config, setup(config, skeleton))


def same_config(config: Any) -> Any:
    """Returns the config as it is."""
    return config


def same_skeleton(config: Any, skeleton: Skeleton) -> Skeleton:
    """Returns the keypoints as they are."""
    return skeleton


class Variant(NamedTuple):
    """One line of a table: what is compared, and how it is trained."""

    kind: str  # method, baseline, control, ablation or oracle
    line: str  # what it is, in one line
    #: (config, its setup) -> the method that learns last, and predicts; None without a network
    build: Callable[[Any, Any], Method] | None
    stages: StagesOf  # (job, data) -> one after the other
    label: str = ""  # the paper's name for it
    changes: Callable[[Any], Any] = same_config  # what is different in the config of `build`
    #: (config, keypoints) -> what `build` reads beside the config
    setup: Callable[[Any, Skeleton], Any] = same_skeleton
    score_kind: str = ""  # of its scores; where it is "", the config tells it

    def method(self, config: Any, skeleton: Skeleton) -> Method:
        """Returns the method that predicts with its result."""
        return built_on(self.setup, self.build, self.changes(config), skeleton)


class Paper(NamedTuple):
    """What one paper says, as functions and tables."""

    name: str
    summary: str  # one line
    template: configs.RunConfig  # stored configs are of its class
    variants: Mapping[str, Variant]
    #: (job, data) -> the sets on which the result is predicted and measured
    evaluated: Callable[[Job, Any], Mapping[str, Source]]
    measure: Callable[[Job, Any, Outcome, Mapping[str, Gathered]], Mapping[str, float]]
    columns: Callable[[Any], Sequence[Column]]  # columns of the table, by config
    predicting: Callable[[StoredRun], Predicting]
    #: (preset, config) -> the variants that suit it
    applicable: Callable[[str, Any], Sequence[str]]
    #: (preset, config) -> the variants to run unless some are named, as far as they suit
    short_list: Callable[[str, Any], Sequence[str]]
    #: writes images, and files of its own
    draw: Callable[[Job, Any, Outcome, Mapping[str, Gathered]], None] = lambda *of: None
    #: config -> rules that would choose another step as the result, by name
    choices: Callable[[Any], Mapping[str, Select]] = lambda config: {}

    def numbers(self, preset: str, config: Any, variant: str) -> Mapping[str, float]:
        """Returns what the paper prints of a variant, by metric."""
        where = flat(config) | {"preset": preset, "variant": variant}
        return paper_numbers(self.name, **where)


class Beside(NamedTuple):
    """What a run on people's own data does beside what its paper says."""

    #: (command, its jobs) -> None, before any runs; raises InputError where its folder has runs on
    #: another project, and for data that cannot be used
    check: Callable[[Any, Sequence[Job]], None]
    #: returns its path and the run that it shows, None where nothing was held out
    report: Callable[..., Any]
    #: (command, run that is shown) -> the runs' folders, and how one is used
    next_lines: Callable[..., Sequence[str]]
    #: (job, data), before training
    prepare: Callable[[Job, Any], None]
    #: (job, data) -> further sets on which the result is predicted
    evaluated: Callable[[Job, Any], Mapping[str, Source]]
    #: (job, data, outcome, predictions of those sets) -> further numbers
    measure: Callable[[Job, Any, Outcome, Mapping[str, Gathered]], Mapping[str, float]]
    #: writes files of its own
    draw: Callable[[Job, Any, Outcome, Mapping[str, Gathered]], None]


class Experiment(NamedTuple):
    """A paper on data: presets, and how their data are opened.

    Data have `summary`, sizes for the first line of a run, and `identity`, digests that a resumed
    run must find again.
    """

    paper: Paper
    presets: Mapping[str, Any]  # configs by name
    open: Callable[[Job], Any]  # -> the data of one seed
    #: the keypoints of a set by its name, without its data
    keypoints: Callable[[str], Skeleton] | None = None
    # (config, the flags that were typed) -> the config with all others chosen from the data, each
    # reported with its reason; the same for the same command, so that it resumes. Typed steps are
    # chosen, too: other counts scale with them.
    resolved: Callable[[Any, Collection[str]], Any] | None = None
    beside: Beside | None = None  # on people's own data
    #: (config, folder of prepared sets) -> the digests of all files that it names, by field and
    #: file
    inputs: Callable[[Any, epath.Path], Mapping[str, Mapping[str, str]]] = named_inputs
    #: the fields and inputs that the variant of a job does not read; of one without a variant, those
    #: that any variant might not read
    unread: Callable[[Job], Collection[str]] = lambda job: ()

    def __hash__(self) -> int:
        return hash(self.paper.name)


def preset_folder(workdir: epath.PathLike, system: str, preset: str) -> epath.Path:
    """Returns runs/<system>/<preset>, absolute."""
    return absolute(workdir) / system / preset


# A run


def result_of(job: Job) -> Outcome:
    """Returns the outcome of a job that another one starts from, trained now if it is not there
    yet.
    """
    if is_finished(job):
        run(job)
    else:
        with claimed(job):
            run(job)
    stored = read_json(job.folder / "results.json")
    job.note(stored["went_on_under"] or [stored])
    return Outcome(
        None,
        load_trained(job.folder / "model"),
        stored["steps"],
        wall_seconds=stored["wall_seconds"],
        images=stored["images"],
    )


@contextmanager
def claimed(job: Job) -> Iterator[None]:
    """Claims a job; raises InUse where another process has it."""
    with ExitStack() as held:
        agreed(
            f"claiming {job.title}",
            lambda: bool(held.enter_context(hold_folder(queue_folder(job)))),
        )
        yield


def queue_folder(job: Job) -> epath.Path:
    """Returns the folder that a process locks while it works on a job."""
    return job.folder.parent / ".queue" / job.folder.name


def variant_of(job: Job) -> Variant:
    """Returns the variant of a job."""
    return job.paper.variants[job.variant]


def method_of(job: Job, data: Any) -> Method:
    """Returns the method of a job's variant on its data."""
    return variant_of(job).method(job.config, data.skeleton)


def train(job: Job, data: Any) -> Outcome:
    """Trains the stages of a variant, one after the other."""
    variant = variant_of(job)
    outcome = carry_out(job, variant.stages(job, data))
    chosen = other_choices(outcome.evaluations, job.paper.choices(job.config))
    method = outcome.method or (variant.build and method_of(job, data))
    return outcome._replace(method=method, metrics={**outcome.metrics, **chosen})


def carry_out(job: Job, stages: Generator) -> Any:
    """Trains stages as those of a job, one after the other, and returns what they return."""
    return drive(stages, functools.partial(answer, job))


def answer(job: Job, asked: Stage | Work | Job) -> Any:
    """Trains what a variant asks for, or goes on with it."""
    if isinstance(asked, Job):
        return result_of(asked)
    if isinstance(asked, Work):
        return asked.do()
    before, shared = asked.before or NOTHING_TRAINED, asked.shared
    if shared:
        found = job.stage(functools.partial(fit_stage, job, asked), shared)
        steps, digest, evaluations = asked.steps, found.digest, ()
    else:
        found = fit_stage(job, asked, job.place(asked))
        steps, digest, evaluations = found.steps, "", found.evaluations
    return Outcome(
        None,
        found.trained,
        before.steps + steps,
        found.images_per_second,
        before.wall_seconds + found.wall_seconds,
        before.metrics,
        before.predictions,
        before.images + found.images,
        digest=digest,
        evaluation=found.metrics,
        evaluations=evaluations,
    )


def fit_stage(job: Job, asked: Stage, folder: epath.Path) -> Fitted:
    """Fits a stage with the seed and the options of a job, or goes on with it.

    A job that rehearses takes a step, saves it, goes on from what was saved, and takes another.
    """
    training, steps = asked.training(), asked.steps
    first = first_variables(job, *training.fresh) if training.fresh else {}
    start = first | {
        name: tree.do() if isinstance(tree, Work) else tree for name, tree in training.start.items()
    }
    train = functools.partial(
        fit,
        training.method,
        training.streams,
        key=jax.random.key(job.seed),
        stage=asked.name,
        folder=folder,
        config=job.of_stage(training.config()),
        start=start,
        options=job.options,
    )
    if job.rehearses:
        steps = 2
        train(**{**training.more, "steps": 1, "evaluate": None, "select": None})
    fitted = train(steps=steps, **training.more)
    if not job.rehearses and not asked.shared:  # a shared stage's own record says it
        job.note(fitted.under)
    if training.result is None:
        return fitted
    return fitted._replace(trained=training.result(fitted.trained))


def run(job: Job) -> None:
    """Trains and evaluates one variant of one seed and writes its results; a finished run is left
    as it is.

    Raises InputError for a finished run of another configuration, and whatever its parts raise.
    """
    if is_finished(job):
        changed = changed_programs(read_json(job.folder / "results.json"), programs())
        others = f", under other programs ({changed}); --fresh trains again" if changed else ""
        print(f"{job.title}: finished before, in {job.folder}{others}")
        return
    forget_programs()  # those of earlier runs, of which a sweep has many
    paper, beside = job.paper, job.experiment.beside
    data = job.experiment.open(job)
    identity = job.identity(**data.identity)
    check_alike(f"the identity of {job.title}", flat_identity(identity))

    def begin() -> None:
        if not in_bucket(job.folder):  # which it has claimed
            remove_partials(job.folder, alone=True)
        resumed = _found(job.folder, "checkpoints/*", "*/checkpoints/*")
        if resumed and (job.folder / "config.json").exists():
            check_same(job, **data.identity)
        write_config(job.folder, job.record(**data.identity))

    if variant_of(job).build and hasattr(data, "skeleton"):
        method_of(job, data)  # what its last stage cannot use is told before the first one trains
    agreed(f"beginning {job.title}", begin)
    print(*_first_lines(job, data), sep="\n")

    if beside:
        beside.prepare(job, data)
    outcome = train(job, data)
    if job.rehearses:
        agreed("writing what was rehearsed", lambda: _save(job, data, outcome, {}))
        return

    predictions = dict(outcome.predictions)
    predictions |= _predict(job, outcome, paper.evaluated(job, data))
    more = _predict(job, outcome, beside.evaluated(job, data)) if beside else {}
    agreed("writing predictions", lambda: write_predictions(job.folder, predictions | more))
    values = dict(outcome.metrics) | dict(paper.measure(job, data, outcome, predictions))
    paper.draw(job, data, outcome, predictions)
    if beside:
        values |= dict(beside.measure(job, data, outcome, more))
        beside.draw(job, data, outcome, more)
    agreed("writing results", lambda: _save(job, data, outcome, values))
    shown = [column.metric for column in paper.columns(job.config) if column.metric in values]
    numbers = ", ".join(f"{name} {values[name]:.3f}" for name in shown)
    print(f"{job.title}: {numbers or 'nothing measures it'}")
    if lost := [name for name, value in values.items() if math.isnan(value)]:
        print(f"{job.title}: warning: {', '.join(lost[:5])} are no numbers (nan)")


def _first_lines(job: Job, data: Any) -> list[str]:
    lines = [f"{job.title}: {variant_of(job).line}"]
    if job.base_preset != OWN:  # whose summary says what there is
        lines[0] += f"; {data.summary}"
        sources = job.paper.evaluated(job, data) or {"test": data.test}
        images = [f"{len(source)} images of {source.name}" for source in sources.values()]
        tuning = "tuning seed, " if job.seed in TUNING_SEEDS else ""
        lines.append(f"{job.title}: {tuning}evaluated on {' and '.join(images)}")
    return lines


def _predict(job: Job, outcome: Outcome, sources: Mapping[str, Source]) -> dict[str, Gathered]:
    found: dict[str, Gathered] = {}
    for name, source in sources.items():
        made = predict_source(
            outcome.method, outcome.trained, source, batch_size=job.config.prediction_batch
        )
        check_numbers(made.keypoints, made.scores, f"{job.title}, images of {source.name}")
        found[name] = made
    return found


def _save(job: Job, data: Any, outcome: Outcome, values: Mapping[str, float]) -> None:
    """Writes the network, the poses of its labels, and the numbers, which come last."""
    if outcome.method is not None:
        write_json(job.folder / "skeleton.json", asdict(outcome.method.skeleton))
        save_trained(job.folder / "model", outcome.trained)
        labelled = getattr(data, "poses", None)
        if labelled and (poses := poses_of(labelled)):
            write_pose_statistics(job.folder, poses)
    write_results(
        job.folder,
        experiment=job.paper.name,
        preset=job.preset,
        variant=job.variant,
        seed=job.seed,
        steps=outcome.steps,
        metrics=values,
        images=outcome.images,
        images_per_second=outcome.images_per_second,
        wall_seconds=outcome.wall_seconds,
        config=config_as_json(job.config),
        settings=job.settings,
    )


def is_finished(job: Job) -> bool:
    """Returns whether a run has its results already.

    Raises InputError if they are of another configuration.
    """
    if not agreed(f"whether {job.title} is finished", (job.folder / "results.json").exists):
        return False
    # says where it was edited, and refuses other files than were written with it
    read_run(job.folder)
    check_same(job)
    if (job.folder / "skeleton.json").exists() and not (
        job.folder / "model" / "trained.json"
    ).exists():
        raise InputError(
            f"{job.folder / 'model'}: not there, though the run is finished; restore it, or start over "
            "with `fresh`"
        )
    return True


def check_same(job: Job, **more: Any) -> None:
    """Raises InputError unless the record in a job's folder is of what the job depends on.

    more: as of `Job.identity`.
    """
    path = job.folder / "config.json"
    stored = _stored_config(job.folder)
    before = stored.pop("inputs", {})
    if found := changed_input(before, job.inputs):
        name, words = found
        raise InputError(
            name,
            f"{words}, other than {job.folder} has learnt from; put them back, choose another "
            "`workdir`, or start over with `fresh`",
        )
    then = read_config(job.paper.template, stored["config"], path, train=True)
    # Its inputs may be gone from where they were: their digests are compared above.
    stored |= job.read_of({"config": config_as_json(then)})
    check_identity(stored, job.identity(**more), path)


def read_config(template: Any, stored: Mapping[str, Any], path: epath.Path, *, train: bool) -> Any:
    """Returns a stored config as this version reads it: a field that it lacks has its default.

    train: whether to go on with it, which asks for every field to be known; a prediction goes on
    without those of a newer version, and says so. Raises InputError for what cannot be read.
    """
    try:
        config, unknown = config_from_json(template, stored)
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix('config.json: ')}") from None
    if unknown and train:
        raise InputError(
            f"{path}: {unknown[0]} is an option that this version does not have; use the version that "
            "made the run, choose another `workdir`, or start over with `fresh`"
        )
    if unknown:
        say_once(
            f"{path}: {', '.join(unknown)}: options of a newer version, of which this one knows nothing; "
            "predictions go on without them"
        )
    return config


def _stored_config(folder: epath.Path) -> dict[str, Any]:
    """Reads config.json, its config as today's format has it."""
    path = folder / "config.json"
    stored = read_json(path)
    written = stored.get("format", 1)
    if not isinstance(stored.get("config"), Mapping):
        raise InputError(f"{path}: config must be an object, found {stored.get('config')!r:.60}")
    known = isinstance(written, int) and (written >= FORMAT or written in CHANGES)
    if not known:
        raise InputError(
            f"{path}: format {written}, this version writes {FORMAT}; use the version that wrote it, choose "
            "another `workdir`, or start over with `fresh`"
        )
    for number in range(written, FORMAT):
        stored["config"] = CHANGES[number](stored["config"])
    return stored | {"format": FORMAT}


def stored_run(paper: Paper, folder: epath.PathLike) -> StoredRun:
    """Reads the config, variant and skeleton of a run.

    Raises InputError for a run of another format.
    """
    folder = epath.Path(folder)
    path, stored, run = folder / "config.json", _stored_config(folder), read_run(folder)
    if stored.get("variant") != run.variant:
        raise InputError(
            f"{path}: variant {stored.get('variant')!r:.100} is not the one of results.json; copy both "
            "from one run"
        )
    if run.variant not in paper.variants:
        raise InputError(
            f"{path}: {paper.name} has no variant {run.variant!r:.100} in this version; use the version "
            "that trained it, or train again"
        )
    return StoredRun(
        read_config(paper.template, stored["config"], path, train=False),
        run.variant,
        skeleton_from_json(read_json(folder / "skeleton.json"), str(folder / "skeleton.json")),
    )


# Pieces that the systems' stages are made of


def batches(
    job: Job,
    method: Method,
    sources: Mapping[str, Source],
    *,
    batch_size: int,
    unlabelled: Collection[str] = (),
    repeats: bool = True,
) -> dict[str, BatchStream]:
    """Returns batches of those sources that a method names as its streams, this process's share of
    each.

    batch_size: of each stream. unlabelled: streams whose labels are stripped. repeats: whether a
    batch may be larger than its source.
    """
    return {
        name: stream(
            sources[name],
            batch_size=batch_size,
            labelled=name not in unlabelled,
            repeats=repeats,
            seed=job.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        for name in method.streams
    }


def draw_predictions(
    outcome: Outcome,
    source: Source,
    path: epath.Path,
    made: Gathered | None = None,
    *,
    minimum_side: int = 192,
) -> None:
    """Draws predictions on the first examples of a source, true keypoints as rings; smaller images
    are enlarged.

    made: of the whole source, if they were made already. Every process must call it;
    process 0 writes.
    """
    some = subset(source, np.arange(min(SHOWN, len(source))))
    found = (
        Gathered(*(field[:SHOWN] for field in made))
        if made
        else predict_source(outcome.method, outcome.trained, some, batch_size=len(some))
    )
    if jax.process_index() == 0:
        images = [some[number].image for number in range(len(some))]
        write_png(
            path,
            prediction_sheet(
                images,
                found.keypoints,
                found.scores,
                outcome.method.skeleton,
                true=found.true_keypoints,
                visible=found.visible,
                columns=4,
                minimum_side=minimum_side,
            ),
        )


def first_variables(
    job: Job, network: KeypointNetwork, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns what a network starts from by the backbone's weights, as `Backbone.variables` does."""
    return job.config.backbone.variables(
        network, image_size=job.config.data.image_size, seed=job.seed, names=names
    )
