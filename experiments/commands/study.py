"""Runs what a table of a page lacks, and shows it.

Command   python -m experiments study regda sprites --seeds 3
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

from experiments.engine.command_line import read_command
from experiments.engine.pages import on_present_split, presets_of, rooms, system_in, tables_of
from experiments.engine.parsing import exit_code_of, flags_in_messages, flags_of, parse_known
from experiments.engine.results import EXPERIMENTS
from experiments.engine.study import chosen_rows, run_table
from experiments.engine.system import System
from kpjax import InputError


@dataclass(frozen=True)
class Study:
    """A table of a system; all other flags are those of its preset."""

    system: Annotated[Positional[str], arg(metavar="SYSTEM")]
    table: Annotated[Positional[str], arg(metavar="TABLE")]
    preset: str = ""  # in place of the table's


@flags_in_messages(flags_of(Study) | {"variants": "--variants"})
def main(arguments: Sequence[str], *, system: System | None = None) -> epath.Path:
    """Runs the missing runs of a table, prints and writes it, and returns the path of the page.

    system: in place of the one with the name that is typed. Raises InputError for an unknown system, table or flag, and
    RunError at the end if a run has failed.
    """
    asked, flags = parse_known(Study, arguments, prog="python -m experiments study", description=__doc__)
    known = [room.name for room in rooms()]
    system = system or (system_in(asked.system) if asked.system in known else None)
    if system is None:
        raise InputError("system", f"{asked.system!r} has no tables; there are {', '.join(filter(system_in, known))}")
    tables = tables_of(EXPERIMENTS / system.name)
    if asked.table not in tables:
        raise InputError("table", f"{asked.table!r} is unknown; there are {', '.join(tables)}")
    table = on_present_split(tables[asked.table])
    if asked.preset:
        table = table._replace(preset=asked.preset)
    commands = {preset: read_command(system, [preset, *flags]) for preset in presets_of(table)}
    first = commands[table.preset]
    if first.shared.variants not in ((), ("all",)):
        table = chosen_rows(table, first.variants)
    return run_table(f"{asked.table}, {table.preset}: {first.config.summary}", table, commands,
                     first.folder / f"{asked.table}.md")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
