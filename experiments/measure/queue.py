"""Runs of a table: what a table lacks is trained, and the table is shown from the runs.

Runs of a preset lie where the system's own command puts them; those of other settings have a folder
of their own beside the preset's, so tables share runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from experiments.measure.render import Room, Run, Table, runs_of, table_text
from experiments.measure.rows import Result, by_run
from kpjax import InputError
from kpjax.files import write_text
from kpjax.papers.command_line import Command, Shared, over_devices, prepare_process
from kpjax.papers.configs import (
    TUNING_SEEDS,
    flat,
    read_settings,
    settings_text,
    value_text,
    with_settings,
)
from kpjax.papers.engine import Job, run as run_job
from kpjax.papers.queue import in_turn, raise_for_failures
from kpjax.papers.reports.report import cost_text, markdown
from kpjax.training.finished_runs import read_run, runs_in


def choose_lines(table: Table, variants: Sequence[str] = (), preset: str = "") -> Table:
    """Returns a table with the lines of some variants and of a preset, with its settings; all where
    none is named.

    Raises InputError for one that it does not have.
    """

    def place(run: Run) -> str:
        return f"{run.preset} {run.settings}".strip()

    for field, names, known in (
        ("variants", variants, [run.variant for run in table.runs()]),
        ("preset", [preset] if preset else [], [place(run) for run in table.runs()]),
    ):
        if missing := [name for name in names if name not in known]:
            raise InputError(
                field,
                f"the table has no {missing[0]!r}; there are {', '.join(dict.fromkeys(known))}",
            )
    if preset and isinstance(table.preset, tuple):
        table = table._replace(preset=preset)

    def wanted(run: Run) -> bool:
        return run.variant in (variants or (run.variant,)) and place(run) == (preset or place(run))

    lines = [
        line
        for line in table.lines
        if all(wanted(run) for column, _ in table.columns for run in runs_of(line, column))
    ]
    # Of a table of differences one side alone may be asked for.
    lines = lines or [f"{place(run)}/{run.variant}" for run in table.runs() if wanted(run)]
    if not lines:
        raise InputError(
            "variants", f"{', '.join(variants)}: none stands in the table with {preset!r}"
        )
    return table._replace(lines=lines)


def jobs_of(table: Table, commands: Mapping[str, Command]) -> dict[Run, list[Job]]:
    """Returns the jobs of all that a table shows, one for each seed; variants that do not suit a
    preset are left out.

    commands: by preset.
    """
    found = {}
    for run in table.runs():
        command, settings = commands[run.preset], read_settings(run.settings)
        if run.variant in command.experiment.paper.applicable(
            run.preset, with_settings(command.config, settings)
        ):
            found[run] = [
                varied_job(command, run.variant, seed, settings) for seed in command.seeds
            ]
    return found


def varied_job(command: Command, variant: str, seed: int, settings: Mapping[str, Any]) -> Job:
    """Returns a job with other settings, in a folder beside the preset's that names those the
    preset does not have.

    Settings that a stage which all such folders share depends on, by the config's `of_base`, stand
    first and are joined by "_": the stage is kept under what stands before the first "-".
    """
    own, preset = flat(command.experiment.presets[command.preset]), command.preset
    of_base = command.config.of_base() if hasattr(command.config, "of_base") else ()
    for name in sorted(settings, key=lambda name: name not in of_base):
        if own[name] != (value := settings[name]):
            text = value_text(value).replace("/", "+")
            preset += f"_{name}_{text}" if name in of_base else f"-{name}-{text}"
    differ = {name: value for name, value in settings.items() if own[name] != value}
    return command.job(variant, seed)._replace(
        config=with_settings(command.config, settings),
        preset=preset,
        settings=settings_text(command.settings | differ),
    )


def numbers_of(room: Room, jobs: Mapping[Run, Sequence[Job]]) -> Iterator[Result]:
    """Yields all metrics of those jobs that are finished."""
    for of, of_seeds in jobs.items():
        for job in of_seeds:
            if (job.folder / "results.json").exists():
                run = read_run(job.folder)
                for metric, value in run.metrics.items():
                    yield Result(
                        *room.stored(of),
                        str(job.seed),
                        metric,
                        value,
                        run.steps,
                        run.wall_seconds,
                        str(run.devices),
                    )


def page(title: str, room: Room, table: Table, jobs: Mapping[Run, Sequence[Job]]) -> str:
    """Returns a table, the runs that it lacks, and what each of the others cost in training."""
    missing = dict.fromkeys(
        f"{job.preset} {job.title}"
        for of_seeds in jobs.values()
        for job in of_seeds
        if not (job.folder / "results.json").exists()
    )
    config = {run: flat(of_seeds[0].config) for run, of_seeds in jobs.items()}
    found = by_run(numbers_of(room, jobs), tuning=table.tuning)
    shown = table_text(
        room._replace(numbers=found, tries=found),
        table,
        fields=lambda run: config.get(run, {}),
        source=False,
    )
    return (
        "\n\n".join(
            [
                f"# {title}",
                shown.strip(),
                *([f"Not finished: {'; '.join(missing)}."] if missing else []),
                markdown(
                    ["preset", "settings", "variant", "training"],
                    [
                        [*run, cost_text(runs_in([job.folder for job in of_seeds]))]
                        for run, of_seeds in jobs.items()
                    ],
                ),
            ]
        )
        + "\n"
    )


def check_flags(title: str, table: Table, shared: Shared) -> None:
    """Raises InputError for flags that a single command alone has, and for seeds that a table does
    not show.
    """
    if shared.fresh or shared.jobs > 1 or shared.rehearse:
        raise InputError(
            "--fresh, --jobs, --rehearse: many runs resume, and others may work on them: choose "
            "another --workdir, or start the same command twice; these flags are of a system's own "
            "command"
        )
    if table.tuning != (shared.first_seed in TUNING_SEEDS):
        shows = "tuning seeds alone" if table.tuning else "no tuning seeds"
        given = TUNING_SEEDS.start if table.tuning else 0
        raise InputError(
            f"--first-seed {shared.first_seed}: {title} shows {shows}, those from "
            f"{TUNING_SEEDS.start} on; give --first-seed {given}"
        )


def run_table(
    title: str, room: Room, table: Table, commands: Mapping[str, Command], path: epath.Path
) -> epath.Path:
    """Runs what a table lacks, all of it for one seed after another; prints it, writes it, and
    returns the page's path.

    commands: by preset. Raises InputError for flags that do not suit the table, what
    `prepare_process` does, and RunError at the end if a run has failed.
    """
    first = next(iter(commands.values()))
    check_flags(title, table, first.shared)
    prepare_process(first)
    commands = {name: over_devices(command) for name, command in commands.items()}
    jobs, failed = jobs_of(table, commands), {}
    in_order = [one for of_seed in zip(*jobs.values(), strict=True) for one in of_seed]
    begins = first.shared.begin_at % max(len(in_order), 1)
    in_turn(in_order[begins:] + in_order[:begins], run_job, failed=failed)
    write_text(path, text := page(title, room, table, jobs))
    print(f"\n{text}\n{path}")
    raise_for_failures(failed)
    return path
