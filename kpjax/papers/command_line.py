"""Command line of every paper: presets with typed flags, variants by seeds, the table and the
report.
"""

import argparse
import dataclasses
import functools
import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import jax
import tyro
from etils import epath

from kpjax import InputError, RunError
from kpjax.compile_cache import keep_programs
from kpjax.errors import suggest_name
from kpjax.files import absolute, remove
from kpjax.models.networks import NETWORKS
from kpjax.papers import configs
from kpjax.papers.configs import (
    TUNING_SEEDS,
    flat,
    replace_fields,
    settings_text,
    with_network,
)
from kpjax.papers.duration import AllOfIt
from kpjax.papers.engine import (
    OWN,
    Experiment,
    Job,
    preset_folder,
    run as run_job,
    unusual_options,
)
from kpjax.papers.fresh import start_over
from kpjax.papers.parsing import exit_code_of, flags_in_messages, parse, screen_width, typed_flags
from kpjax.papers.queue import in_turn, raise_for_failures
from kpjax.papers.reports import report as reports
from kpjax.training.finished_runs import FinishedRun, mixed_programs
from kpjax.training.fit import FitOptions
from kpjax.training.hosts import agreed, check_alike, check_folder, join
from kpjax.training.identity import flat_identity, programs
from kpjax.training.loggers import weights_and_biases
from kpjax.training.logging import environment_lines, require_accelerator
from kpjax.training.process import Interrupted

# The flags to know, by field, with their values and what they are for: `--help` has those of a
# preset, `--help-all` has every flag.
TO_KNOW = {
    "project": ("P", "labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, csv"),
    "source": ("P", "a project with labels, of images that look different"),
    "target": ("V ...", "images and videos without labels, to adapt to"),
    "old": ("RUN", "a finished run that has learnt other keypoints"),
    "videos": ("V ...", "videos, or folders of them"),
    "core": ("RUN", "a finished run of another category"),
    "images": ("FOLDER ...", "images without labels"),
    "unlabelled": ("V ...", "images and videos without labels, other than the project's own"),
    "start": ("RUN", "continues from a finished run of the same keypoints"),
    "labelled": ("N", "how many labels are used: a count, or a share up to 1"),
    "weights": ("NAME_OR_FILE", "of a pretrained backbone; kpjax weights lists them"),
    "image_size": ("PX", "side of the square images that the network reads"),
    "steps": ("N", "length of training; few for a quick try"),
    "validation": ("WHAT", "labels that are held out: recordings (a,b), or a share such as 0.2"),
    "variants": ("NAME ...", "what is compared; all for everything"),
    "seeds": ("N", "runs of each variant"),
    "workdir": ("FOLDER", "where runs go; the same command there resumes"),
    "fresh": ("", "deletes these runs with all in their folders, and starts over"),
}

FROM_STEP = configs.Rule(
    lambda asked: not asked or (asked[0] >= 0 < asked[1]), "give a step from 0 on, and a count"
)


#: flags of every preset that change numbers, see `kpjax.papers.engine.unusual_options`
CHANGE_NUMBERS = frozenset({"batch_norm_groups"})
#: flags that change no number of a run: all others enter its identity, see `Job.identity`. The
#: variant and the seed of a run do, too.
CHANGE_NO_NUMBER = frozenset(
    {
        *("variants", "seeds", "first_seed", "jobs", "begin_at", "workdir", "data_dir", "fresh"),
        *("require_accelerator", "profile", "wandb", "workers", "rehearse"),
        *("coordinator", "num_processes", "process_id"),
    }
)
#: those in which the hosts of one run may differ; `workdir` and `data_dir` may be other names of one
#: folder, which is looked at
OF_ONE_HOST = frozenset({"workdir", "data_dir", "profile", "workers", "coordinator", "process_id"})


@dataclasses.dataclass(frozen=True)
class Shared(configs.Checked):
    """Flags of every preset."""

    #: variants to run, by name; 'all' for every one (default: a short list)
    variants: tuple[str, ...] = ()
    seeds: configs.Count = 1  # how many seeds
    first_seed: configs.CountOrZero = 0  # the first of them
    #: groups of a batch that BatchNorm normalises separately; with one per chip, no chip waits
    batch_norm_groups: configs.Count = 1
    #: processes that share the runs, each with one accelerator of this machine
    jobs: configs.Count = 1
    #: which of its runs this process begins with, from 0; such as the number of a pod, where several
    #: share a table
    begin_at: configs.CountOrZero = 0
    #: folder or bucket of the runs; the same command on the same folder resumes
    workdir: str = "runs"
    data_dir: str = "~/kpjax_data"  # folder of prepared datasets
    #: start over instead of resuming: deletes the earlier runs with all that lies in their folders,
    #: predictions too; another workdir keeps them
    fresh: bool = False
    #: take two steps of each stage, the second from a saved checkpoint, and keep nothing
    rehearse: bool = False
    require_accelerator: bool = False  # fail rather than fall back to a CPU
    #: first step to trace, from 0, and how many
    profile: Annotated[tuple[int, int] | None, FROM_STEP] = None
    wandb: str = ""  # project of Weights & Biases that also gets the numbers of all stages
    # processes that decode images, 0 for threads (default: by cores)
    workers: Annotated[
        int | None, configs.Rule(lambda count: not count or count > 0, "must be at least 0")
    ] = None
    #: HOST:PORT of process 0, for several hosts that JAX does not find by itself
    coordinator: str | None = None
    num_processes: int | None = None  # how many processes run this command; 1 looks for no others
    process_id: int | None = None  # which of them this one is, from 0

    def __post_init__(self):
        super().__post_init__()
        absolute(self.workdir), absolute(self.data_dir)  # refuses buckets that cannot be used


@functools.cache  # so that equal jobs share one logger
def fit_options(shared: Shared) -> FitOptions:
    """Returns the options of every `fit` of a command.

    Raises InputError where a package is missing.
    """
    first, count = shared.profile or (0, 0)
    return FitOptions(
        profile=range(first, first + count),
        workers=shared.workers,
        batch_norm_groups=shared.batch_norm_groups,
        loggers=(weights_and_biases(shared.wandb),) if shared.wandb else (),
    )


class Command(NamedTuple):
    """A checked command line."""

    experiment: Experiment
    preset: str
    config: Any  # with the steps of all stages scaled as asked for
    variants: Sequence[str]
    shared: Shared
    arguments: Sequence[str]  # as typed
    usual_steps: int = 0  # usual steps of the last stage, where none are typed

    @property
    def folder(self) -> epath.Path:
        """The preset's folder."""
        return preset_folder(self.shared.workdir, self.experiment.paper.name, self.preset)

    @property
    def seeds(self) -> range:
        """The seeds of all runs."""
        return range(self.shared.first_seed, self.shared.first_seed + self.shared.seeds)

    @property
    def without_weights(self) -> bool:
        """Whether random weights start what the paper starts from published ones."""
        config, paper = self.config, self.experiment.paper
        if (
            not hasattr(config, "backbone")
            or config.backbone.weights
            or not any(paper.numbers(self.preset, config, name) for name in paper.variants)
        ):
            return False
        from kpjax.models.weights.pretrained import WITH_WEIGHTS

        return config.network.name in WITH_WEIGHTS

    @property
    def notes(self) -> list[str]:
        """What must be known of the backbone's start to read the numbers, a line each."""
        if not self.without_weights:
            return configs.backbone_lines(self.config)
        return [
            f"backbone: {self.config.network.name} from random weights, where the paper starts from ImageNet's: "
            "give --weights to compare with its numbers"
        ]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that were typed and differ from the preset's, and those that a typed `--steps`
        scaled; a file of known weights by their name.
        """
        own, given = flat(self.experiment.presets[self.preset.partition("-")[0]]), flat(self.config)
        if given.get("weights"):
            from kpjax.models.weights.pretrained import known_weights

            known = known_weights(given["weights"])
            given["weights"] = known.name if known else given["weights"]
        changed = typed_fields(self.config, self.arguments)
        if "steps" in changed:
            changed |= set(self.config.SCALED) & given.keys()
        differ = {name: given[name] for name in sorted(changed) if given[name] != own.get(name)}
        return differ | unusual_options(fit_options(self.shared))

    def job(self, variant: str, seed: int) -> Job:
        """Returns the job of one variant and seed."""
        return Job(
            self.experiment,
            self.config,
            self.preset,
            variant,
            seed,
            epath.Path(self.shared.workdir),
            absolute(self.shared.data_dir),
            fit_options(self.shared),
            settings_text(self.settings),
        )

    def jobs(self) -> list[Job]:
        """Returns a job for every seed and variant, seed by seed, from the one to begin with on, and
        then those before it.
        """
        jobs = [self.job(name, seed) for seed in self.seeds for name in self.variants]
        first = self.shared.begin_at % len(jobs)
        return jobs[first:] + jobs[:first]


def preset_lines(experiment: Experiment, before: str = "") -> list[str]:
    """Returns a line of help for each preset of a system, headed by `before`."""
    width = max(map(len, experiment.presets))
    return [
        f"  {before}{name:{width}}  {config.summary}" for name, config in experiment.presets.items()
    ]


def read_command(experiment: Experiment, arguments: Sequence[str]) -> Command:
    """Parses and checks a command line: a preset, then flags.

    Raises InputError in one line for an unknown preset, flag, value or variant; exits 0 for --help
    and --help-all.
    """
    program = f"python -m experiments.{experiment.paper.name}"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            f"{experiment.paper.summary}\n\nusage: {program} PRESET [flags]\n\npresets:",
            *preset_lines(experiment),
            f"\nflags of a preset: {program} PRESET --help",
            sep="\n",
        )
        if arguments:
            raise SystemExit(0)
        raise InputError(f"{program}: name a preset: {', '.join(experiment.presets)}")
    preset, *flags = arguments
    if preset not in experiment.presets:
        own = (
            f", and kpjax train {experiment.paper.name} --project P for a project of your own"
            if preset == OWN
            else (suggest_name(preset, experiment.presets))
        )
        raise InputError(
            f"{program}: preset {preset!r} is unknown; there are {', '.join(experiment.presets)}{own}"
        )
    base, typed = experiment.presets[preset], spell_command(experiment, preset)
    if experiment.beside:  # P/ and ./P are the project P
        flags = [
            flag if not flag or flag[0] == "-" or "://" in flag else os.path.normpath(flag)
            for flag in flags
        ]
    with flags_in_messages(_flags(base, *NETWORKS.values())):
        base, flags = _named_network(base, flags)
        flags = _several_projects(experiment, base, flags)
        variants = experiment.paper.applicable(preset, base)
        if {"-h", "--help"} & set(flags):
            said = {name: experiment.paper.variants[name].line for name in variants}
            print(_flags_to_know(base, typed, said))
            raise SystemExit(0)
        made = dataclasses.make_dataclass(
            f"{experiment.paper.name}_{preset}",
            [
                ("shared", tyro.conf.OmitArgPrefixes[Shared], dataclasses.field(default=Shared())),
                (
                    "config",
                    tyro.conf.OmitArgPrefixes[tyro.conf.AvoidSubcommands[type(base)]],
                    dataclasses.field(default=base),
                ),
            ],
            frozen=True,
        )
        parsed = parse(
            made,
            ["--help" if flag == "--help-all" else flag for flag in flags],
            prog=typed,
            description=f"{base.summary}\n\nVariants: {', '.join(variants)}",
        )
        first, last = parsed.shared.first_seed, parsed.shared.first_seed + parsed.shared.seeds - 1
        if (first in TUNING_SEEDS) != (last in TUNING_SEEDS):
            raise InputError(
                "seeds",
                f"{first} to {last}; those from {TUNING_SEEDS.start} on choose settings and have a "
                "table of their own; run them apart",
            )
        config, usual_steps = _resolve(experiment, preset, parsed.config, arguments)
        return Command(
            experiment,
            preset,
            config,
            chosen_variants(experiment, preset, config, parsed.shared.variants),
            parsed.shared,
            tuple(arguments),
            usual_steps,
        )


def spell_command(experiment: Experiment, preset: str) -> str:
    """Returns how a person runs a preset."""
    return (
        f"kpjax train {experiment.paper.name}"
        if preset == OWN
        else f"python -m experiments.{experiment.paper.name} {preset}"
    )


def _flags(config: Any, *more: type) -> dict[str, str]:
    """Returns the flag of each argument. more: classes whose fields may become arguments."""
    names = [
        *flat(config),
        *(field.name for part in (Shared, *more) for field in dataclasses.fields(part)),
    ]
    return {name: f"--{name.replace('_', '-')}" for name in names}


def _flags_to_know(config: Any, typed: str, variants: Mapping[str, str]) -> str:
    """Returns the short help of a preset. typed: what runs it. variants: their lines, by name."""
    flags = _flags(config)
    # an earlier run has them
    known = flags.keys() - ({"weights"} if {"images", "old"} & flags.keys() else ())
    lines = [
        (f"{flags[name]} {values}".rstrip(), words)
        for name, (values, words) in TO_KNOW.items()
        if name in known
    ]
    width = max(len(flag) for flag, _ in lines)
    longest = max(map(len, variants))
    return "\n".join(
        [
            f"{config.summary}\n",
            f"usage: {typed} [flags]\n",
            *(f"  {flag:{width}}  {words}" for flag, words in lines),
            "\nvariants, by --variants:",
            *(f"  {name:{longest}}  {line}" for name, line in variants.items()),
            f"\nall flags, with their defaults: {typed} --help-all",
        ]
    )


def take_flag(flags: Sequence[str], flag: str) -> tuple[list[str], list[str]]:
    """Returns the values of a flag, "" where it has none, and all other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(flag, action="append", nargs="?", const="", default=[], dest="values")
    found, rest = parser.parse_known_args(flags)
    return found.values, rest


def _named_network(config: Any, flags: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """Reads --network first: the flags of a preset are those of its network."""
    names, rest = take_flag(flags, "--network")
    if not names or not hasattr(config, "network"):
        return config, flags
    if not names[-1]:
        raise InputError("network", f"name one of {', '.join(NETWORKS)}")
    return with_network(config, names[-1]), rest


def _several_projects(experiment: Experiment, config: Any, flags: Sequence[str]) -> Sequence[str]:
    """Returns flags of which every --project but the first is a value of --more-projects."""
    projects, rest = take_flag(flags, "--project")
    if len(projects) < 2:
        return flags
    if "more_projects" not in flat(config):
        raise InputError(
            "project",
            f"{experiment.paper.name} takes one; kpjax train --project A --project B learns from several",
        )
    return [*rest, "--project", projects[0], "--more-projects", *projects[1:]]


def _resolve(
    experiment: Experiment, preset: str, config: Any, arguments: Sequence[str]
) -> tuple[Any, int]:
    """Returns the config with what its preset chooses from the data, step counts scaled to the
    typed `--steps`, and how many steps there are where none are typed.

    What the command line sets itself stays.
    """
    if config.steps < 1:
        raise InputError("steps", f"{config.steps} steps train nothing; must be at least 1")
    given, typed = flat(config), typed_fields(config, arguments)
    base = dataclasses.replace(config, steps=experiment.presets[preset].steps)
    base = experiment.resolved(base, typed) if experiment.resolved else base
    usual = base.steps
    if "steps" in typed:
        base = base.shortened(config.steps)
    config = configs.with_weights(
        replace_fields(base, **{name: given[name] for name in typed if name != "network"}), typed
    )
    return config, usual


def typed_fields(config: Any, arguments: Sequence[str]) -> frozenset[str]:
    """Returns the fields of a config that were typed."""
    typed = typed_flags(arguments)
    return frozenset({*typed, *(name.removeprefix("no_") for name in typed)} & set(flat(config)))


def chosen_variants(
    experiment: Experiment, preset: str, config: Any, names: Sequence[str]
) -> list[str]:
    """Returns the variants that a command names.

    Raises InputError for an unknown one, or one that does not suit the preset.
    """
    possible = list(experiment.paper.applicable(preset, config))
    if not names:
        return [name for name in experiment.paper.short_list(preset, config) if name in possible]
    if list(names) == ["all"]:
        return possible
    for name in names:
        if name not in possible:
            reason, guess = (
                (f"does not suit preset {preset!r}; it has", "")
                if name in experiment.paper.variants
                else ("is unknown; there are", suggest_name(name, possible))
            )
            raise InputError("variants", f"{name!r} {reason} {', '.join(possible)}{guess}")
    return list(dict.fromkeys(names))


def prepare_process(command: Command) -> None:
    """Joins the other hosts, keeps compiled programs, so that a repeated run starts at once, and
    prints first lines.

    Raises InputError without a wanted accelerator, and for hosts that differ or share no folder.
    """
    shared = command.shared
    keep_programs(shared.workdir)
    join(shared.coordinator, shared.num_processes, shared.process_id)
    if shared.require_accelerator:
        require_accelerator()
    with flags_in_messages(_flags(command.config)):
        fit_options(shared)  # refuses what is missing before anything is trained
    job = command.jobs()[0]
    flags = {name: value for name, value in vars(shared).items() if name not in OF_ONE_HOST}
    check_alike(
        "the command",
        flat_identity(
            {
                **programs(),
                "preset": command.preset,
                "flags": flags | {"variants": command.variants},
                **job.identity(),
            }
        ),
    )
    check_folder(command.folder.parent)
    # results.json has the versions, too
    devices, packages = environment_lines()
    print(devices)
    if not command.experiment.beside:  # whose report says these
        print(packages, *command.notes, sep="\n")


def over_devices(command: Command, devices: int = 0) -> Command:
    """Returns the command with batches that divide over all devices, where the preset's do not and
    none was typed.

    devices: how many; 0 for those of this process.
    """
    devices = devices or jax.device_count()
    multiple = devices * command.config.STREAMS_OF_A_BATCH
    typed = typed_flags(command.arguments)
    rounded = {
        name: max(round(size / multiple), 1) * multiple
        for name, size in flat(command.config).items()
        if name.endswith("batch_size") and size % multiple and name not in typed
    }
    for name, size in rounded.items():
        print(
            f"{name}: {size} in place of the preset's {flat(command.config)[name]}, to divide over "
            f"{devices} devices"
        )
    # as if it had been typed
    more = [f"--{name.replace('_', '-')}={size}" for name, size in rounded.items()]
    return command._replace(
        config=replace_fields(command.config, **rounded), arguments=(*command.arguments, *more)
    )


def show_table(command: Command) -> epath.Path:
    """Prints the table of a preset and writes its report, whose path it returns."""
    experiment, preset, config = command.experiment, command.preset, command.config
    paper = experiment.paper
    shown = [
        name
        for name in paper.applicable(preset, config)
        if name in command.variants or (command.folder / name).is_dir()
    ]
    columns, without_weights, notes = (
        paper.columns(config),
        command.without_weights,
        command.notes,
    )
    printed = {name: paper.numbers(preset, config, name) for name in shown}
    # The paper's numbers stand beside ours only where both start alike.
    lines = reports.tabulate(
        command.folder,
        [
            reports.Entry(
                name,
                variant.kind,
                "" if experiment.beside else variant.label,
                {} if without_weights else printed[name],
                variant.line,
            )
            for name in shown
            for variant in [paper.variants[name]]
        ],
        columns,
        command.shared.first_seed in TUNING_SEEDS,
    )
    if mixed := mixed_programs([run for line in lines for run in line.runs.finished]):
        notes = [*notes, mixed]
        print(mixed)
    typed = f"{spell_command(experiment, preset)} {shlex.join(command.arguments[1:])}".rstrip()
    if experiment.beside and (
        found := experiment.beside.report(
            command.folder,
            lines,
            columns,
            summary=config.summary,
            notes=notes,
            command=typed,
            usual_steps=command.usual_steps,
        )
    ):
        report, shown_run = found
        print(f"\nreport: {report}", *experiment.beside.next_lines(command, shown_run), sep="\n")
        return epath.Path(report)
    print("\n" + reports.console_table(lines, columns, screen_width()))
    if without_weights:
        notes += [
            f"the paper's {column.heading}: "
            + ", ".join(
                f"{name} {found[column.metric]:g}"
                for name, found in printed.items()
                if column.metric in found
            )
            for column in columns
            if any(column.metric in found for found in printed.values())
        ]
        print("\n" + "\n".join(notes))
    runs = {line.entry.variant: line.runs.finished for line in lines}
    compared = _comparisons(command, {name: runs[name] for name in shown}, columns[0])
    print("", *compared, sep="\n")
    report = reports.write_report(
        command.folder,
        lines,
        columns,
        title=f"{paper.name} {preset}: {config.summary}",
        summary=". ".join([*notes, *compared]),
        commands=[typed],
    )
    print(
        f"\nreport: {report}",
        *(experiment.beside.next_lines(command) if experiment.beside else ()),
        sep="\n",
    )
    return report


def _comparisons(
    command: Command, finished: Mapping[str, Sequence[FinishedRun]], column: reports.Column
) -> list[str]:
    """Returns what every variant cost, and how methods differ from controls over pairs of equal
    seeds, a line each.
    """
    runs = {
        name: [
            next((run for run in of_variant if run.seed == seed), None) for seed in command.seeds
        ]
        for name, of_variant in finished.items()
    }
    kinds = {name: command.experiment.paper.variants[name].kind for name in runs}
    lines = [
        f"{name}: {cost}" for name in runs if (cost := reports.cost_text(runs[name])) != "not run"
    ]
    for one, other in itertools.product(runs, runs):
        if (
            (kinds[one], kinds[other]) == ("method", "control")
            and len(command.seeds) > 1
            and (found := reports.paired_differences(runs[one], runs[other], column.metric))
        ):
            lines.append(
                f"{column.heading}: {one} less {other} "
                + reports.difference_text(
                    found, len(command.seeds), factor=column.factor, decimals=column.decimals
                )
            )
    return lines


def in_processes(command: Command) -> None:
    """Runs a command in several processes, which share its runs; none starts over. SIGTERM and
    Ctrl-C end them, too.

    Raises RunError where one fails, and Interrupted after SIGTERM.
    """

    def stop(number: int, frame: Any) -> None:
        raise Interrupted("stopped by SIGTERM, as all processes are; the same command goes on")

    module = (
        ["kpjax", "train", command.experiment.paper.name]
        if command.preset == OWN
        else [f"experiments.{command.experiment.paper.name}", command.preset]
    )
    rest = command.arguments[1:]
    for flag in ("--jobs", "--begin-at", "--no-fresh"):
        rest = take_flag(rest, flag)[1]
    words = [sys.executable, "-m", *module, *rest, "--no-fresh"]
    first = command.shared.begin_at * command.shared.jobs
    visible = os.environ.get(
        "CUDA_VISIBLE_DEVICES", ",".join(map(str, range(command.shared.jobs)))
    ).split(",")
    children, before = [], signal.signal(signal.SIGTERM, stop)
    try:
        for number in range(command.shared.jobs):  # each sees one of this machine's accelerators
            # In a group of its own: Ctrl-C reaches this process alone, which lets each save its
            # step.
            children.append(
                subprocess.Popen(
                    [*words, "--begin-at", str(first + number)],
                    process_group=0,
                    env=os.environ
                    | {
                        "CUDA_VISIBLE_DEVICES": visible[number % len(visible)],
                        "TPU_VISIBLE_CHIPS": str(number),
                        "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
                        "TPU_PROCESS_BOUNDS": "1,1,1",
                    },
                )
            )
        codes = [child.wait() for child in children]
    except BaseException:
        for child in children:
            child.terminate()
        for child in children:  # it saves its step first
            child.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed := [code for code in codes if code]:
        left = [job.title for job in command.jobs() if not job.has_results]
        names = f". Not finished: {'; '.join(left)}" if left else ""
        raise RunError(
            f"{len(failed)} of {len(children)} processes failed; their lines say why, and the same command "
            f"goes on{names}"
        )


def run(experiment: Experiment, arguments: Sequence[str]) -> epath.Path:
    """Runs what a command line asks for and returns the path of the report.

    Raises RunError at the end, with their names, if some of several runs have failed.
    """
    command = read_command(experiment, arguments)
    if command.shared.rehearse:
        return rehearse(command)
    if command.shared.jobs > 1:
        if command.shared.fresh:
            start_over(command.jobs())
        try:
            in_processes(command)
        except Interrupted:
            raise
        except RunError:
            if any(job.has_results for job in command.jobs()):
                show_table(command)
            raise
        return show_table(command)
    prepare_process(command)
    command = over_devices(command)
    with flags_in_messages(_flags(command.config)):
        if command.shared.fresh:
            agreed("starting over", lambda: start_over(command.jobs()))
        jobs = command.jobs()
        all_of_it = AllOfIt(jobs)
        options = dataclasses.replace(
            jobs[0].options, loggers=(*jobs[0].options.loggers, all_of_it)
        )
        jobs = [job._replace(options=options) for job in jobs]
        if experiment.beside:
            experiment.beside.check(command, jobs)
        failed = run_jobs(jobs)
    if len(failed) == len(jobs):  # a table would show nothing new
        raise_for_failures(failed)
    # process 0 writes it, of several
    report = epath.Path(agreed("the report", lambda: os.fspath(show_table(command))))
    raise_for_failures(failed)
    return report


def run_jobs(jobs: Sequence[Job]) -> dict[Job, str]:
    """Runs the jobs of one command in turn, and returns those that have failed with their errors in
    a line each.

    A single job raises its own error. So does the first job where it is an InputError: all read the
    same input. On several hosts the first one that fails ends all, for no host knows what another
    has met.
    """
    flags = _flags(jobs[0].config)
    failed: dict[Job, str] = {}

    def work(job: Job) -> None:
        with flags_in_messages(flags):
            run_job(job)

    goes_on = len(jobs) > 1 and jax.process_count() == 1
    in_turn(jobs, work, failed=failed if goes_on else None, alike=True)
    return failed


def rehearse(command: Command) -> epath.Path:
    """Does all that a long run would do first: opens the data, compiles every stage, takes two steps
    of each, saves a checkpoint after the first and goes on from it.

    For one seed, in a folder beside the runs, which is removed. Returns the preset's folder.
    """
    prepare_process(command)
    command, began = over_devices(command), time.monotonic()
    beside = absolute(command.shared.workdir)
    place = beside / agreed("a folder to rehearse in", lambda: f".rehearsal-{uuid4().hex}")
    options = dataclasses.replace(fit_options(command.shared), loggers=(), profile=None)
    try:
        with flags_in_messages(_flags(command.config)):
            for name in command.variants:
                job = command.job(name, command.shared.first_seed)
                run_job(job._replace(workdir=place, options=options, rehearses=True))
    finally:
        if jax.process_index() == 0:
            remove(place)
    print(
        f"\nrehearsed in {time.monotonic() - began:.0f} s: every stage took two steps, the second from a "
        "checkpoint; the same command without --rehearse trains"
    )
    return command.folder


def main(experiment: Experiment) -> None:
    """Runs `python -m experiments.<system>`."""
    raise SystemExit(exit_code_of(lambda: run(experiment, sys.argv[1:]), screen_width()))
