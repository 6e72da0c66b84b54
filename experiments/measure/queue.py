"""Runs of a table: what a table lacks is trained, and the table is shown from the runs.

Runs of a preset lie where the system's own command puts them; those of other settings have a folder of their own beside
the preset's, so tables share runs.
"""
from collections.abc import Iterator, Mapping, Sequence

from etils import epath

from experiments.measure.render import Room, Run, Table, runs_of, settings_of, table_text
from experiments.measure.rows import Result, by_run
from kpjax import InputError
from kpjax.files import write_text
from kpjax.systems.command_line import Command, prepared_together
from kpjax.systems.configs import flat
from kpjax.systems.queue import Progress, called, progress_lines, raise_for_failures, work_through
from kpjax.systems.reports.table import markdown, read_run
from kpjax.systems.system import Job
from kpjax.systems.tables import cost_text, runs_in


def chosen(table: Table, variants: Sequence[str] = (), preset: str = "") -> Table:
    """Returns a table with the lines of some variants and of a preset, with its settings; all where none is named.

    Raises InputError for one that it does not have.
    """
    def place(run: Run) -> str:
        return f"{run.preset} {run.settings}".strip()

    for field, names, known in (("variants", variants, [run.variant for run in table.runs()]),
                                ("preset", [preset] if preset else [], [place(run) for run in table.runs()])):
        if missing := [name for name in names if name not in known]:
            raise InputError(field, f"the table has no {missing[0]!r}; there are {', '.join(dict.fromkeys(known))}")
    if preset and isinstance(table.preset, tuple):
        table = table._replace(preset=preset)
    return table._replace(lines=[line for line in table.lines if all(
        run.variant in (variants or (run.variant,)) and place(run) == (preset or place(run))
        for column, _ in table.columns for run in runs_of(line, column))])


def jobs_of(table: Table, commands: Mapping[str, Command]) -> dict[Run, list[Job]]:
    """Returns the jobs of all that a table shows, one for each seed; variants that do not suit a preset are left out.

    commands: by preset.
    """
    found = {}
    for run in table.runs():
        command, settings = commands[run.preset], settings_of(run)
        if run.variant in command.system.applicable(run.preset, command.varied(settings)):
            found[run] = [command.varied_job(run.variant, seed, settings) for seed in command.seeds]
    return found


def numbers_of(jobs: Mapping[Run, Sequence[Job]]) -> Iterator[Result]:
    """Yields all metrics of those jobs that are finished."""
    for of, of_seeds in jobs.items():
        for job in of_seeds:
            if (job.folder / "results.json").exists():
                run = read_run(job.folder)
                for metric, value in run.metrics.items():
                    yield Result(*of, str(job.seed), metric, value, run.steps, run.wall_seconds, commit="")


def page(title: str, room: Room, table: Table, jobs: Mapping[Run, Sequence[Job]]) -> str:
    """Returns a table, the runs that it lacks, and what each of the others cost in training."""
    missing = dict.fromkeys(called(job) for of_seeds in jobs.values() for job in of_seeds
                            if not (job.folder / "results.json").exists())
    config = {run: flat(of_seeds[0].config) for run, of_seeds in jobs.items()}
    shown = table_text(room._replace(numbers=by_run(numbers_of(jobs))), table,
                       fields=lambda run: config.get(run, {}), source=False)
    return "\n\n".join([
        f"# {title}", shown.strip(), *([f"Not finished: {'; '.join(missing)}."] if missing else []),
        markdown(["preset", "settings", "variant", "training"], [
            [*run, cost_text(runs_in([job.folder for job in of_seeds]))] for run, of_seeds in jobs.items()])]) + "\n"


def run_table(title: str, room: Room, table: Table, commands: Mapping[str, Command], path: epath.Path) -> epath.Path:
    """Runs what a table lacks, all of it for one seed after another; prints it, writes it, and returns the page's path.

    commands: by preset. Raises what `prepared_together` does, and RunError at the end if a run has failed.
    """
    commands = prepared_together(commands)
    jobs = jobs_of(table, commands)
    system = next(iter(commands.values())).system
    progress = work_through(system, [one for of_seed in zip(*jobs.values(), strict=True) for one in of_seed])
    return write_page(path, page(title, room, table, jobs), progress)


def write_page(path: epath.Path, text: str, progress: Progress) -> epath.Path:
    """Writes and prints a page about a list of jobs, and returns its path. Raises RunError if a job has failed."""
    write_text(path, text)
    print(f"\n{text}\n{path}\n" + "\n".join(progress_lines(progress)))
    raise_for_failures(progress)
    return path
