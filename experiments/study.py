"""Runs what a table of a page lacks, and shows it.

Command   python -m experiments study regda --seeds 5            the headline table
          python -m experiments study pyramids claims            the rows that the claims ask for
          python -m experiments study regda paper --preset dsprites_colour_noisy
          python -m experiments study semi_supervised paper --preset "lsp labelled=0.05"
          python -m experiments study regda tries --first-seed 100  a table of tuning seeds

Tables stand in `experiments/<system>/results.py`. All other flags are those of the presets, but for
--fresh, --jobs and --rehearse, and hold for all runs. Several processes may work on one table, and
--begin-at lets each begin with another run; the same command resumes. The table is printed, and
written beside the runs.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

from etils import epath
from tyro.conf import Positional, arg

from experiments.measure.queue import choose_lines, run_table
from experiments.measure.render import Room, papers_with_tables, room_of
from experiments.measure.rows import EXPERIMENTS
from kpjax import InputError
from kpjax.papers.command_line import read_command
from kpjax.papers.parsing import exit_code_of, flags_in_messages, flags_of, parse


@dataclasses.dataclass(frozen=True)
class Study:
    """A table of a system; all other flags are those of its presets."""

    system: Annotated[Positional[str], arg(metavar="SYSTEM")]
    table: Annotated[Positional[str], arg(metavar="TABLE")]  # headline where none is typed
    preset: str = ""  # the only one of the table to run
    variants: tuple[str, ...] = ()  # the only ones of the table to run


@flags_in_messages(flags_of(Study))
def main(arguments: Sequence[str], *, room: Room | None = None) -> epath.Path:
    """Runs the missing runs of a table, prints and writes it, and returns the path of the page.

    room: in place of that of the system which is typed. Raises InputError for an unknown system,
    table or flag, and RunError at the end if a run has failed.
    """
    if len(arguments) == 1 or (arguments[1:2] and arguments[1].startswith("-")):
        arguments = [arguments[0], "headline", *arguments[1:]]
    asked, flags = parse(
        Study,
        arguments,
        prog="python -m experiments study",
        description=__doc__,
        return_unknown_args=True,
    )
    if asked.system not in (known := papers_with_tables()):
        raise InputError("system", f"{asked.system!r} has no tables; there are {', '.join(known)}")
    room = room or room_of(EXPERIMENTS / asked.system)
    if asked.table not in room.tables:
        raise InputError("table", f"{asked.table!r} is unknown; there are {', '.join(room.tables)}")
    table = choose_lines(room.tables[asked.table], asked.variants, asked.preset)
    commands = {
        preset: read_command(room.experiment, [preset, *flags])
        for preset in dict.fromkeys(run.preset for run in table.runs())
    }
    first = next(iter(commands.values()))
    return run_table(
        f"{room.name}, {asked.table}",
        room,
        table,
        commands,
        first.folder.parent / f"{asked.table}.md",
    )


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
