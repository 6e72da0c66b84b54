"""What every experiment's command line does: presets with typed flags, variants by seeds, the table and the report."""
import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from kpjax.errors import InputError, RunError
from kpjax.files import start_over
from kpjax.reports.report import write_report
from kpjax.reports.table import Column, Row, text_table
from kpjax.training.interruption import Interrupted
from kpjax.training.logging import environment_lines, require_accelerator
from kpjax.training.malloc import keep_freed_memory

ALIASES = {"size": "image_size"}  # other names of flags


class Variant(NamedTuple):
    """A row of the table."""

    kind: str  # method, rival, control, ablation or bound
    line: str  # what it is, in one line
    label: str = ""  # how the paper calls it
    paper: Mapping[str, float] = {}  # the paper's numbers by metric, where they do not depend on the preset


class Job(NamedTuple):
    """One variant of one seed, as an experiment's `run` gets it."""

    config: Any
    preset: str
    variant: str
    seed: int
    workdir: Path
    data_dir: Path


class Experiment(NamedTuple):
    """What a module of this package tells about itself under the name EXPERIMENT."""

    name: str
    summary: str  # one line
    presets: Mapping[str, Any]  # name -> a frozen dataclass with fields `summary` and `steps` (of the last stage)
    variants: Mapping[str, Variant]
    short_list: Callable[[str, Any], Sequence[str]]  # (preset, config) -> the variants to run without --variants
    applicable: Callable[[str, Any], Sequence[str]]  # the variants that --variants all means for a preset
    shortened: Callable[[Any, int], Any]  # (config, steps of the last stage) -> config with all stages scaled
    run: Callable[[Job], None]  # trains and evaluates one job, or finds it done; writes its results.json
    columns: Callable[[Any], Sequence[Column]]  # of the table
    paper: Callable[[str, Any, str], Mapping[str, float]]  # (preset, config, variant) -> the paper's numbers by metric
    # (preset, config, the fields that were typed) -> the config with all others chosen from the data, printing why; the
    # same for the same command, so that it resumes. `steps` is chosen even if typed: other counts are scaled with it.
    settled: Callable[[str, Any, frozenset[str]], Any] | None = None


def run_folder(job: Job, experiment: str) -> Path:
    """runs/<experiment>/<preset>/<variant>/seed-<n>."""
    return preset_folder(job.workdir, experiment, job.preset) / job.variant / f"seed-{job.seed}"


def preset_folder(workdir: Path, experiment: str, preset: str) -> Path:
    """runs/<experiment>/<preset>, absolute."""
    return Path(workdir).absolute() / experiment / preset


def _arguments(experiment: Experiment, preset: str) -> type:
    """The dataclass of all flags of one preset: the shared ones, and every field of its config."""
    config = experiment.presets[preset]
    doc = f"{config.summary}\n\nVariants: {', '.join(experiment.applicable(preset, config))}"
    shared = [
        ("variants", tuple[str, ...], (), "rows to run, by name; 'all' for every one (default: a short list)"),
        ("seeds", int, 1, "how many seeds"),
        ("first_seed", int, 0, "the first of them"),
        ("workdir", Path, Path("runs"), "where runs are kept; the same command on the same folder resumes"),
        ("data_dir", Path, Path("~/kpjax_data"), "where prepared datasets are kept"),
        ("fresh", bool, False, "start over instead of resuming"),
        ("require_accelerator", bool, False, "fail rather than fall back to a CPU"),
    ]
    annotated = [(name, Annotated[kind, tyro.conf.arg(help=text)], dataclasses.field(default=value))
                 for name, kind, value, text in shared]
    annotated.append(("config", tyro.conf.OmitArgPrefixes[type(config)], dataclasses.field(default=config)))
    made = dataclasses.make_dataclass(f"{experiment.name}_{preset}", annotated, frozen=True)
    made.__doc__ = doc
    return made


def _one_line(text: str) -> str:
    """The message in a boxed, coloured, many-line error of a parser."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip("│╭╮╰╯─ \t") for line in text.splitlines()]
    lines = [line for line in lines if line.strip("-")]  # not the rules that a parser draws without a terminal
    return " ".join(line for line in lines if "For full helptext" not in line and "Parsing error" not in line)


def parse(experiment: Experiment, arguments: Sequence[str]) -> tuple[str, Any]:
    """(preset, flags). Raises InputError in one line for an unknown preset, flag or value; exits 0 for --help."""
    known = ", ".join(experiment.presets)
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(len(name) for name in experiment.presets)
        print(f"{experiment.summary}\n\nusage: python -m experiments.{experiment.name} PRESET [flags]\n\npresets:")
        for name, config in experiment.presets.items():
            print(f"  {name:{width}}  {config.summary}")
        print(f"\nflags of a preset: python -m experiments.{experiment.name} PRESET --help")
        if arguments:
            raise SystemExit(0)
        raise InputError(f"experiments.{experiment.name}: name a preset: {known}")
    preset, *flags = arguments
    if preset not in experiment.presets:
        raise InputError(f"experiments.{experiment.name}: preset {preset!r} is unknown; there are {known}")
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught), contextlib.redirect_stdout(
                sys.stdout if {"-h", "--help"} & set(flags) else caught):
            parsed = tyro.cli(_arguments(experiment, preset), prog=f"python -m experiments.{experiment.name} {preset}",
                              args=flags, description=experiment.presets[preset].summary)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(f"experiments.{experiment.name} {preset}: {_one_line(caught.getvalue())}") from None
    return preset, parsed


def chosen_variants(experiment: Experiment, preset: str, config: Any, names: Sequence[str]) -> list[str]:
    """The variants that a command names. Raises InputError for an unknown one, or one that a preset cannot have."""
    possible = list(experiment.applicable(preset, config))
    if not names:
        return list(experiment.short_list(preset, config))
    if list(names) == ["all"]:
        return possible
    for name in names:
        if name not in experiment.variants:
            raise InputError(f"--variants: {name!r} is unknown; there are {', '.join(experiment.variants)}")
        if name not in possible:
            raise InputError(f"--variants: {name!r} makes no sense on preset {preset!r}; it has {', '.join(possible)}")
    return list(dict.fromkeys(names))


def _typed(config: Any, arguments: Sequence[str]) -> frozenset[str]:
    """The fields of a config that a command line sets itself, under their own names or other ones: those in ALIASES and
    in FLAGS of the config's class."""
    flags = {argument[2:].partition("=")[0].replace("-", "_") for argument in arguments if argument.startswith("--")}
    other_names = ALIASES | getattr(config, "FLAGS", {})
    names = {other_names.get(name, name) for name in flags | {flag.removeprefix("no_") for flag in flags}}
    return frozenset(field.name for field in dataclasses.fields(config) if field.name in names)


def _settled(experiment: Experiment, preset: str, config: Any, typed: frozenset[str]) -> Any:
    """The config with what its preset chooses from the data, and with everything that counts steps scaled as typed
    `steps` are, but for what the command line sets itself."""
    if config.steps < 1:
        raise InputError(f"--steps: {config.steps} steps train nothing; give 1 or more")
    base = dataclasses.replace(config, steps=experiment.presets[preset].steps)
    base = experiment.settled(preset, base, typed) if experiment.settled else base
    if "steps" in typed:
        base = experiment.shortened(base, config.steps)
    return dataclasses.replace(base, **{name: getattr(config, name) for name in typed})


def use_compile_cache() -> None:
    """Programs compiled once on this machine are read back, so that a resumed or repeated run starts at once."""
    import jax

    if jax.config.jax_compilation_cache_dir:  # of JAX_COMPILATION_CACHE_DIR, or of whoever called
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kpjax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


class Command(NamedTuple):
    """What a command line asks for."""

    experiment: Experiment
    preset: str
    config: Any  # with the steps of all stages scaled as asked for
    variants: Sequence[str]
    seeds: range
    workdir: Path
    data_dir: Path
    fresh: bool
    require_accelerator: bool
    arguments: Sequence[str]  # as typed


def read_command(experiment: Experiment, arguments: Sequence[str]) -> Command:
    """Everything that a command line asks for, checked. Raises InputError as `parse` does, and for impossible rows."""
    preset, flags = parse(experiment, arguments)
    if flags.seeds < 1:
        raise InputError(f"--seeds: {flags.seeds} is no count of seeds; give 1 or more")
    if flags.first_seed < 0:
        raise InputError(f"--first-seed: {flags.first_seed}; seeds count from 0")
    config = _settled(experiment, preset, flags.config, _typed(flags.config, arguments))
    return Command(experiment, preset, config, chosen_variants(experiment, preset, config, flags.variants),
                   range(flags.first_seed, flags.first_seed + flags.seeds), Path(flags.workdir),
                   Path(flags.data_dir).expanduser(), flags.fresh, flags.require_accelerator, tuple(arguments))


def jobs_of(command: Command) -> list[Job]:
    """A job for every seed and variant, seed by seed."""
    return [Job(command.config, command.preset, name, seed, command.workdir, command.data_dir)
            for seed in command.seeds for name in command.variants]


def prepare_process(command: Command) -> None:
    """The cache of compiled programs, memory on a CPU, the check for an accelerator, and the first lines of a run."""
    import jax

    use_compile_cache()
    if jax.default_backend() == "cpu":
        keep_freed_memory()
    if command.require_accelerator:
        require_accelerator()
    print(*environment_lines(), sep="\n")


def show_table(command: Command) -> Path:
    """Prints the table of a preset and writes its report, whose path it returns."""
    experiment, preset, config = command.experiment, command.preset, command.config
    folder = preset_folder(command.workdir, experiment.name, preset)
    shown = [name for name in experiment.applicable(preset, config)
             if name in command.variants or (folder / name).is_dir()]
    rows = [Row(name, experiment.variants[name].kind, experiment.variants[name].label,
                experiment.paper(preset, config, name), experiment.variants[name].line) for name in shown]
    columns = experiment.columns(config)
    print("\n" + text_table(folder, rows, columns))
    typed = f"python -m experiments.{experiment.name} " + " ".join(command.arguments)
    report = write_report(folder, rows=rows, columns=columns, title=f"{experiment.name} {preset}: {config.summary}",
                          commands=[typed])
    print(f"\nreport: {report}")
    return report


def run(experiment: Experiment, arguments: Sequence[str]) -> Path:
    """Runs what a command line asks for and returns the path of the report."""
    command = read_command(experiment, arguments)
    prepare_process(command)
    folder = preset_folder(command.workdir, experiment.name, command.preset)
    for seed in command.seeds:
        jobs = [job for job in jobs_of(command) if job.seed == seed]
        if command.fresh:
            for old in [run_folder(job, experiment.name) for job in jobs] + list(folder.glob(f"stages/*/seed-{seed}")):
                start_over(old)
        for job in jobs:
            experiment.run(job)
    return show_table(command)


def exit_code_of(main: Callable[[], Any]) -> int:
    """Runs a command: 0 if it ends, 2 with one line for input that a user can mend, 1 for a run that cannot go on, 143
    after SIGTERM, which leaves a checkpoint of the exact step."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def main(experiment: Experiment) -> None:
    """The body of `python -m experiments.<name>`."""
    raise SystemExit(exit_code_of(lambda: run(experiment, sys.argv[1:])))
