"""Runs what a table of a page lacks, and shows it.

Command   python -m experiments study regda demo --seeds 5
          python -m experiments study semi_supervised table1 --preset lsp --weights hrnet_w32.pth --seeds 3
          python -m experiments study incremental triples --seeds 5 --variants kamp_rerendered self_training

Tables stand in `experiments/<system>/tables.py`. All other flags are those of the preset, and hold for all runs.
Several processes may work on one table; the same command resumes. The table is printed, and written beside the runs.
"""
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from etils import epath
from tyro.conf import Positional, arg

from experiments.engine.command_line import over_devices, prepare_process, read_command
from experiments.engine.pages import presets_of, tables_of
from experiments.engine.parsing import exit_code_of, parse_known
from experiments.engine.queue import work_through, write_page
from experiments.engine.results import EXPERIMENTS
from experiments.engine.study import chosen_rows, jobs_of, page, places_of
from experiments.engine.system import System, system_of
from kpjax import InputError


@dataclass(frozen=True)
class Study:
    """A table of a system; all other flags are those of its preset."""

    system: Annotated[Positional[str], arg(metavar="SYSTEM")]
    table: Annotated[Positional[str], arg(metavar="TABLE")]
    preset: str = ""  # in place of the table's


def main(arguments: Sequence[str], *, system: System | None = None) -> epath.Path:
    """Runs the missing runs of a table, prints and writes it, and returns the path of the page.

    system: in place of the one with the name that is typed. Raises InputError for an unknown table or flag, and
    RunError at the end if a run has failed.
    """
    asked, flags = parse_known(Study, arguments, prog="python -m experiments study", description=__doc__)
    system = system or system_of(asked.system)
    tables = tables_of(EXPERIMENTS / system.name)
    if asked.table not in tables:
        raise InputError(f"table: {asked.table!r} is unknown; {system.name} has {', '.join(tables)}")
    table = tables[asked.table]
    if asked.preset:
        table = table._replace(preset=asked.preset)
    commands = {preset: read_command(system, [preset, *flags]) for preset in presets_of(table)}
    first = commands[table.preset]
    if "--variants" in flags:
        table = chosen_rows(table, first.variants)
    prepare_process(first)
    commands = {preset: over_devices(command) for preset, command in commands.items()}
    jobs = {place: jobs_of(place, commands) for place in places_of(table, commands)}
    in_order = [one for by_seed in zip(*jobs.values(), strict=True) for one in by_seed]  # a whole table of each seed
    outcome = work_through(system, in_order)
    return write_page(first.folder / f"{asked.table}.md", page(
        f"{asked.table}, {table.preset}: {first.config.summary}", table, jobs, system.name), outcome)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
