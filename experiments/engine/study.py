"""Runs of a table: what a table lacks is trained, and the table is shown from the runs.

The tables are those of `tables.py` and `paper_tables.py` of a system, so each table of a page is one command. Runs of a
preset lie where the system's own command puts them; those of other settings have a folder of their own beside the
preset's, so tables share runs.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from experiments.engine.command_line import Command, over_devices, prepare_process
from experiments.engine.pages import Table, key_of, place_of, table_text
from experiments.engine.queue import called, work_through, write_page
from experiments.engine.results import Numbers, Result
from experiments.engine.system import Job
from experiments.engine.tables import cost_text, runs_of
from kpjax import InputError
from kpjax.reports.table import markdown, read_run


class Place(NamedTuple):
    """A run of every seed that a table needs."""

    preset: str
    settings: tuple[tuple[str, Any], ...]  # that differ from the command's
    variant: str

    def key(self, system: str) -> tuple[str, str, str]:
        """Returns how `results.csv` names it."""
        return key_of(system, self.preset, dict(self.settings), self.variant)


def places_of(table: Table, commands: Mapping[str, Command]) -> list[Place]:
    """Returns what has to be run for a table, each place once; variants that do not suit a setting are left out."""
    found: dict[Place, None] = {}
    for row in table.rows:
        for column in table.columns:
            for preset, settings, variant in place_of(table, row, column):
                command = commands[preset]
                if variant in command.system.applicable(preset, command.varied(settings)):
                    found[Place(preset, tuple(sorted(settings.items())), variant)] = None
    return list(found)


def chosen_rows(table: Table, variants: Sequence[str]) -> Table:
    """Returns a table with the rows of some variants. Raises InputError for one that it does not have."""
    if missing := [name for name in variants if name not in {row.variant for row in table.rows}]:
        raise InputError("variants", f"the table has no row of {missing[0]!r}; there are "
                         f"{', '.join(dict.fromkeys(row.variant for row in table.rows))}")
    return table._replace(rows=[row for row in table.rows if {row.variant, row.minus} <= {*variants, ""}])


def jobs_of(place: Place, commands: Mapping[str, Command]) -> list[Job]:
    """Returns the runs of a place, one for each seed."""
    command = commands[place.preset]
    return [command.varied_job(place.variant, seed, dict(place.settings)) for seed in command.seeds]


def numbers_of(jobs: Mapping[Place, Sequence[Job]], system: str) -> Iterator[Result]:
    """Yields all metrics of those runs that are finished."""
    for place, of_place in jobs.items():
        key = place.key(system)
        for job in of_place:
            if (job.folder / "results.json").exists():
                run = read_run(job.folder)
                for metric, value in run.metrics.items():
                    yield Result(*key, str(job.seed), metric, value, steps=run.steps, seconds=run.wall_seconds,
                                 commit="")


def page(title: str, table: Table, jobs: Mapping[Place, Sequence[Job]], system: str) -> str:
    """Returns a table, the runs that it lacks, and what each of the others cost in training."""
    numbers = Numbers(list(dict.fromkeys(numbers_of(jobs, system))))  # two places may be one run
    missing = dict.fromkeys(called(job) for of_place in jobs.values() for job in of_place
                            if not (job.folder / "results.json").exists())
    costs = {tuple(of_place): [place.preset, place.key(system)[1], place.variant, cost_text(runs_of(of_place))]
             for place, of_place in jobs.items()}
    return "\n\n".join([
        f"# {title}", table_text(table, numbers, system, source=False).strip(),
        *([f"Not finished: {'; '.join(missing)}."] if missing else []),
        markdown(["preset", "settings", "variant", "training"], list(costs.values()))]) + "\n"


def started(commands: Mapping[str, Command]) -> dict[str, Command]:
    """Prepares the process and returns commands as they run on its devices.

    Raises InputError for flags that a single command alone has, and what `prepare_process` does.
    """
    first = next(iter(commands.values()))
    for name in ("fresh", "measure_again"):
        if getattr(first.shared, name):
            raise InputError(f"--{name.replace('_', '-')}: many runs resume, since others may work on them; choose "
                             "another --workdir, or give the flag to the system's own command")
    prepare_process(first)
    return {name: over_devices(command) for name, command in commands.items()}


def run_table(title: str, table: Table, commands: Mapping[str, Command], path: epath.Path) -> epath.Path:
    """Runs what a table lacks, all of it for one seed after another; prints it, writes it, and returns the page's path.

    commands: by preset. Raises what `started` does, InputError for a preset that does not suit the table, and RunError
    at the end if a run has failed.
    """
    for command in commands.values() if table.check else ():
        table.check(command.config)
    commands = started(commands)
    system, jobs = commands[table.preset].system, {one: jobs_of(one, commands) for one in places_of(table, commands)}
    outcome = work_through(system, [one for of_seed in zip(*jobs.values(), strict=True) for one in of_seed])
    return write_page(path, page(title, table, jobs, system.name), outcome)
