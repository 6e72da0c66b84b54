"""Numbers that the papers print. They stand in `<system>/paper.txt`, in tables like the papers'
own.

A table begins with a line `[name]`. Its lines have keys, a bar and numbers; the first names the
keys and the metrics, and "-" is a number that is not printed. Keys are a preset, a variant, and
fields of the config; "*" stands for any characters. Other lines are remarks.
"""

import functools
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

PAPERS = Path(__file__).parent


class Line(NamedTuple):
    """A line of a table."""

    table: str
    keys: Mapping[str, str]
    numbers: Mapping[str, float]  # by metric, in the unit of the column


@functools.lru_cache
def lines_of(system: str) -> tuple[Line, ...]:
    """Reads all tables of a system, none where its paper has no file."""
    path = PAPERS / system / "paper.txt"
    found, table, header = [], "", None
    for line in path.read_text().splitlines() if path.exists() else ():
        keys, bar, cells = line.partition("|")
        if line.startswith("["):
            table, header = line.strip("[]"), None
        elif bar and header is None:
            header = keys.split(), cells.split()
        elif bar:
            numbers = zip(header[1], cells.split(), strict=True)
            found.append(
                Line(
                    table,
                    dict(zip(header[0], keys.split(), strict=True)),
                    {metric: float(number) for metric, number in numbers if number != "-"},
                )
            )
    return tuple(found)


def paper_numbers(system: str, /, **where: Any) -> dict[str, float]:
    """Returns what a paper prints, by metric: of several tables the first one's number.

    where: what the keys of a line must agree with, such as preset and variant; lines with other
    keys are left out.
    """
    found: dict[str, float] = {}
    for line in lines_at(system, **where):
        found = {**line.numbers, **found}
    return found


def lines_at(system: str, /, **where: Any) -> list[Line]:
    """Returns the lines with which `where` agrees, as of `paper_numbers`, in order."""
    return [
        line
        for line in lines_of(system)
        if all(
            key in where and fnmatchcase(str(where[key]), pattern)
            for key, pattern in line.keys.items()
        )
    ]
