"""Runs a preset with every combination of some flags' values, or with every line of a file, and joins one report.

Command   python -m experiments sweep regda demo --grid learning-rate=0.003,0.01 trade-off=0.5,1 --seeds 2
          python -m experiments sweep regda demo --points flags.txt --variants regda

--grid FLAG=VALUE,VALUE... takes all combinations. --points FILE has the flags of one point a line. All other flags are
the preset's, and the same for all points. The same command resumes.

Any number of processes may work on one sweep, each started by the same command on a folder that all of them share: each
takes runs that nobody has in work. A process trains on the devices of its own machine; for one training on several
hosts, start `python -m experiments.<system>` there. Buckets have no locks: in a bucket one process works at a time.
"""
import dataclasses
import itertools
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etils import epath

from experiments.engine.command_line import Command, prepared_together, read_command
from experiments.engine.parsing import exit_code_of, parse_known
from experiments.engine.queue import progress_lines, raise_for_failures, work_through
from experiments.engine.system import system_of
from kpjax import InputError
from kpjax.reports.report import write_report
from kpjax.reports.table import Entry, lines_of, read_variants, text_table


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The points of a sweep; all other flags are those of the preset."""

    grid: tuple[str, ...] = ()  # FLAG=VALUE,VALUE...
    points: Path | None = None  # a file with the flags of one point a line


def points_of(asked: Sweep) -> dict[str, list[str]]:
    """Returns the flags of each point by its name. Raises InputError for a grid or a file that says nothing."""
    if bool(asked.grid) == (asked.points is not None):
        raise InputError("grid", "give it as FLAG=VALUE,VALUE..., or a file of flags as points, one of the two")
    if asked.points is not None:
        try:
            listed = [shlex.split(line) for line in asked.points.read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise InputError("points", f"{asked.points} cannot be read ({error})") from None
        listed = [flags for flags in listed if flags]
    else:
        axes = []
        for axis in asked.grid:
            flag, _, values = axis.partition("=")
            if not flag or not all(values.split(",")):
                raise InputError("grid", f"{axis!r} is no FLAG=VALUE,VALUE...")
            axes.append([(f"--{flag.removeprefix('--')}", value) for value in values.split(",")])
        listed = [list(itertools.chain(*combined)) for combined in itertools.product(*axes)]
    if not listed:
        raise InputError("points", f"{asked.points} is empty; write the flags of one point a line")
    return {re.sub(r"[^\w.+]+", "-", " ".join(flags)).strip("-"): flags for flags in listed}


def write_joined(commands: dict[str, Command], arguments: Sequence[str]) -> epath.Path:
    """Prints one table of all points and writes its report, whose path it returns."""
    first = next(iter(commands.values()))
    system, columns = first.system, first.system.columns(first.config)
    runs = []
    for point, command in commands.items():
        found = read_variants(command.folder)
        for name in command.variants:
            variant, called = system.variants[name], name if len(command.variants) > 1 else ""
            runs.append((Entry(f"{point} {name}", variant.kind, f"{called} {point}".strip()), found.get(name)))
    lines = lines_of(runs, columns)
    print("\n" + text_table(lines, columns))
    preset = first.preset.partition("-")[0]
    return write_report(first.folder.parent / f"{preset}-sweep", lines, columns,
                        title=f"{system.name} {preset}: a sweep of {len(commands)} points",
                        summary=first.config.summary, commands=["python -m experiments sweep " + shlex.join(arguments)])


def main(arguments: Sequence[str]) -> epath.Path:
    """Runs the sweep of a command line and returns the path of its report. Raises RunError if a run has failed."""
    if len(arguments) < 2 or {"-h", "--help"} & set(arguments):
        print(__doc__)
        if arguments and not {"-h", "--help"} & set(arguments):
            raise InputError("experiments sweep: name a system and a preset")
        raise SystemExit(0)
    name, preset, *flags = arguments
    asked, rest = parse_known(Sweep, flags, prog="python -m experiments sweep")
    system = system_of(name, preset)
    commands = {}
    for point, of_point in points_of(asked).items():
        command = read_command(system, [preset, *rest, *of_point])
        # Each process is a run of its own, even where a cluster has started several.
        commands[point] = command._replace(preset=f"{preset}-{point}",
                                           shared=dataclasses.replace(command.shared, num_processes=1))
    commands = prepared_together(commands)
    progress = work_through(system, [job for command in commands.values() for job in command.jobs()])
    report = write_joined(commands, arguments)
    print("\n" + "\n".join(progress_lines(progress)) + f"\nreport: {report}")
    raise_for_failures(progress)
    return report


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
