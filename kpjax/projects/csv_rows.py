"""Rows of a csv file with the numbers of their lines."""
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SEPARATORS = (",", ";", "\t")


class Rows(NamedTuple):
    """A table whose first line names its columns."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]  # the line of each row, from 1, and its cells
    separator: str


def read_text(path: Path, label: str, faults: list[str]) -> str | None:
    """The text of a csv file that faults call `label`. None, and a fault, if it cannot be read or is no UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[:error.start].count(b"\n") + 1
        faults.append(f"{label} line {line}: byte 0x{error.object[error.start]:02x} is no UTF-8; save the table as "
                      "UTF-8")
    except OSError as error:
        faults.append(f"{label} cannot be read: {error.strerror}; look at its permissions")
    return None


def read_rows(path: Path, faults: list[str]) -> Rows | None:
    """The rows of a csv file that are not empty, those of another length than the header left out with a fault.

    Cells may be separated by commas, semicolons or tabs, as the header is. None, and a fault, for a file that cannot
    be read as UTF-8, is empty, or has a quote that does not end.
    """
    text = read_text(path, path.name, faults)
    if text is None:
        return None
    separator = separator_of(text.split("\n", 1)[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found = []
    try:
        before = 0
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((before + 1, tuple(cell.strip() for cell in cells)))
            before = reader.line_num
    except csv.Error as error:
        faults.append(f"{path.name} line {reader.line_num}: no csv ({error}); look for a quote that does not end")
        return None
    if not found:
        faults.append(f"{path.name}: the table is empty; save the labels again")
        return None
    header = found[0][1]
    if repeated := [name for name in header if name and header.count(name) > 1]:
        faults.append(f"{path.name} line {found[0][0]}: two columns are called {repeated[0]!r}; rename or delete one")
        return None
    rows = []
    for line, cells in found[1:]:
        while len(cells) > len(header) and not cells[-1]:  # spreadsheets add empty cells
            cells = cells[:-1]
        if len(cells) == len(header):
            rows.append((line, cells))
        else:
            faults.append(f"{path.name} line {line}: {len(cells)} cells where the header has {len(header)} columns; "
                          "restore the row")
    return Rows(header, tuple(rows), separator)


def separator_of(header: str) -> str:
    """The character between the names of a header."""
    return max(SEPARATORS, key=header.count)


def number(cell: str, where: str, rows: Rows, faults: list[str]) -> float:
    """A cell as a finite number, nan if it is empty or nan; infinite, and a fault, if it is something else.

    Where cells are not separated by commas, a comma may stand for the decimal point.
    """
    if cell.lower() in ("", "nan"):
        return math.nan
    try:
        value = float(cell if rows.separator == "," else cell.replace(",", "."))
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        faults.append(f"{where}: {cell!r} where a number belongs; mend it, or leave the cell empty")
        return math.inf
    return value


def text_of(rows: Sequence[Sequence[object]]) -> str:
    """Rows as csv; floating-point numbers keep all their digits and nan becomes an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row])
    return file.getvalue()
