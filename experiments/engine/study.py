"""Runs of a table: what a table of a page lacks is trained, and the table is shown from the runs.

The tables are those of `experiments/<system>/tables.py`, so each table of a page is one command. Runs of a preset lie
where the system's own command puts them; those of other settings have a folder of their own beside the preset's, so
tables share runs.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.engine.command_line import Command
from experiments.engine.configs import settings_text
from experiments.engine.pages import Table, place_of, table_text
from experiments.engine.results import Numbers, Result
from experiments.engine.system import Job
from experiments.engine.tables import cost_text
from kpjax import InputError
from kpjax.reports.table import markdown, read_run


class Place(NamedTuple):
    """A run of every seed that a table needs."""

    preset: str
    settings: tuple[tuple[str, Any], ...]  # that differ from the command's
    variant: str

    @property
    def key(self) -> tuple[str, str, str]:
        """How `results.csv` names it."""
        return self.preset, settings_text(dict(self.settings)), self.variant


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
        raise InputError(f"variants: the table has no row of {missing[0]!r}; there are "
                         f"{', '.join(dict.fromkeys(row.variant for row in table.rows))}")
    return table._replace(rows=[row for row in table.rows if row.variant in variants])


def jobs_of(place: Place, commands: Mapping[str, Command]) -> list[Job]:
    """Returns the runs of a place, one for each seed."""
    command = commands[place.preset]
    return [command.varied_job(place.variant, seed, dict(place.settings)) for seed in command.seeds]


def numbers_of(jobs: Mapping[Place, Sequence[Job]]) -> Iterator[Result]:
    """Yields all metrics of those runs that are finished."""
    for place, of_place in jobs.items():
        for job in of_place:
            if (job.folder / "results.json").exists():
                run = read_run(job.folder)
                for metric, value in run.metrics.items():
                    yield Result(*place.key, str(job.seed), metric, value, steps=run.steps, seconds=run.wall_seconds,
                                 commit="")


def page(title: str, table: Table, jobs: Mapping[Place, Sequence[Job]], system: str) -> str:
    """Returns a table, and what each of its places cost in training."""
    shown = table_text(table, Numbers(list(numbers_of(jobs))), system, source=False)
    costs = [[place.preset, place.key[1], place.variant, cost_text(of_place)] for place, of_place in jobs.items()]
    return "\n\n".join([f"# {title}", shown.strip(), markdown(["preset", "settings", "variant", "training"],
                                                              costs)]) + "\n"
