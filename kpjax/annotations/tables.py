"""Rows of a csv file with the numbers of their lines."""
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.names import forward

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


# Tables as DeepLabCut and Lightning Pose keep them: a header of three or four rows, an image or frame per row


HEADER = ("scorer", "individuals", "bodyparts", "coords")
KINDS = (("x", "y"), ("x", "y", "visible"), ("x", "y", "likelihood"))
H5_KEY = "df_with_missing"
FOLDER = "labeled-data"


class Table(NamedTuple):
    """What one file says."""

    scorer: str
    points: tuple[tuple[str, str], ...]  # individual ("" without that header row) and body part of each point
    coordinates: tuple[str, ...]  # x and y, perhaps with visible or likelihood behind them
    keys: tuple[str | int, ...]  # of the rows: paths with forward slashes as written, or numbers of frames
    lines: tuple[int, ...]  # of the rows in their csv file, from 1
    values: np.ndarray  # (rows, points, coordinates) float64, nan where a cell is empty


def read_table(path: Path, label: str, faults: list[str]) -> Table | None:
    """The table of a .csv or .h5 file; rows that are damaged are left out.

    label: what faults call the file. None (and a fault) if the file or its header cannot be used.
    """
    lines = _lines_of_h5(path, label, faults) if path.suffix == ".h5" else _lines_of_csv(path, label, faults)
    return None if lines is None else _table(lines, label, faults)


def table_text(table: Table, key_cells: int = 1) -> str:
    """The csv of a table. Numbers keep all their digits; nan becomes an empty cell.

    key_cells: 3 writes a path's folder, video and image into a cell each, as DeepLabCut does for labels.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for name, row in _header(table):
        writer.writerow([name, *[""] * (key_cells - 1), *row])
    for key, values in zip(table.keys, table.values.reshape(len(table.keys), -1).tolist(), strict=True):
        cells = _parts(str(key)) if key_cells == 3 else [key]
        writer.writerow([*cells, *("" if math.isnan(value) else repr(value) for value in values)])
    return file.getvalue()


def write_h5(table: Table, path: Path, key_cells: int = 1) -> Path:
    """Writes the table for pandas, in the fixed format that older versions of pandas read too.

    Raises ImportError without pandas and tables, the extra kpjax[dlc].
    """
    import pandas

    names, rows = zip(*_header(table), strict=True)
    columns = pandas.MultiIndex.from_arrays([pandas.Index(row, dtype=object) for row in rows], names=names)
    if key_cells == 3:
        parts = zip(*(_parts(str(key)) for key in table.keys), strict=True)
        index = pandas.MultiIndex.from_arrays([pandas.Index(part, dtype=object) for part in parts])
    else:
        index = pandas.Index(table.keys, dtype=None if all(isinstance(key, int) for key in table.keys) else object)
    frame = pandas.DataFrame(table.values.reshape(len(table.keys), -1), index=index, columns=columns)
    partial = path.with_name(f".{path.stem}.partial.h5")
    try:
        frame.to_hdf(partial, key=H5_KEY, mode="w", format="fixed")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _header(table: Table) -> list[tuple[str, list[str]]]:
    """The names and cells of the header rows."""
    columns = [(individual, part, name) for individual, part in table.points for name in table.coordinates]
    individuals, parts, names = ([column[n] for column in columns] for n in range(3))
    rows = [("scorer", [table.scorer] * len(columns)), ("individuals", individuals), ("bodyparts", parts),
            ("coords", names)]
    return rows if any(individuals) else [rows[0], *rows[2:]]


def _parts(key: str) -> list[str]:
    """Folder, video and image."""
    return [FOLDER, *key.split("/")[-2:]]


def _lines_of_csv(path: Path, label: str, faults: list[str]) -> list[list[str]] | None:
    text = read_text(path, label, faults)
    if text is None:
        return None
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        faults.append(f"{label} is no csv table: {error}; save it anew")
        return None


def _lines_of_h5(path: Path, label: str, faults: list[str]) -> list[list[str]] | None:
    """An .h5 table as the cells that its csv would have."""
    try:
        import pandas
        import tables  # noqa: F401  pandas names it only in passing
    except ImportError as error:
        faults.append(f'{label} needs pandas and tables ({error}); install the extra kpjax[dlc], or save the labels as '
                      "csv with DeepLabCut")
        return None
    try:
        frame = pandas.read_hdf(path, H5_KEY)
        if not isinstance(frame, pandas.DataFrame) or not set(frame.columns.names) <= set(HEADER):
            raise ValueError(f"{H5_KEY} is no table with the header {', '.join(HEADER)}")
        values = frame.to_numpy(np.float64)
    except Exception as error:  # pandas raises many kinds on a damaged file, or on one of another version or tool
        reason = " ".join(str(error).split())[:200]
        faults.append(f"{label} cannot be read: {reason}; save the labels as csv with DeepLabCut")
        return None
    keys = [list(key) if isinstance(key, tuple) else [key] for key in frame.index]
    margin = [""] * (len(keys[0]) - 1 if keys else 0)
    header = [[level, *margin, *map(str, frame.columns.get_level_values(level))] for level in frame.columns.names]
    cells = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in values]
    return header + [[*map(str, key), *row] for key, row in zip(keys, cells, strict=True)]


def has_header(path: Path) -> bool:
    """Whether a file begins as such a table does."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline().split(",")[0].split(";")[0].strip() == "scorer"
    except OSError:
        return False


def _table(lines: Sequence[Sequence[str]], label: str, faults: list[str]) -> Table | None:
    head = {line[0].strip(): line for line in lines[:4] if line and line[0].strip() in HEADER}
    if missing := [row for row in ("bodyparts", "coords") if row not in head]:
        split = lines[0][0].count(";") if lines and lines[0] else 0
        mend = "its cells are separated by semicolons, save them with commas" if split else "save the labels anew"
        faults.append(f"{label}: header row {missing[0]} is missing; {mend}")
        return None
    coordinates = [cell.strip() for cell in head["coords"]]
    first = next((at for at, cell in enumerate(coordinates) if at and cell), len(coordinates))
    names = coordinates[first:]
    parts = [cell.strip() for cell in head["bodyparts"][first:]]
    individuals = [cell.strip() for cell in head["individuals"][first:]] if "individuals" in head else [""] * len(parts)
    kind = next((kind for kind in KINDS[::-1] if tuple(names[:len(kind)]) == kind), ())
    columns = list(zip(individuals, parts, strict=False))
    points = columns[::len(kind)] if kind else []
    if not points or names != list(kind) * len(points) or columns != [one for one in points for _ in kind]:
        faults.append(f"{label}: header rows bodyparts and coords must name x and y of each part in turn; save the "
                      "labels anew")
        return None
    if repeated := [one for one in points if points.count(one) > 1]:
        whose = f" of {repeated[0][0]!r}" if repeated[0][0] else ""
        faults.append(f"{label}: body part {repeated[0][1]!r}{whose} occurs twice in the header; give each a name of "
                      "its own")
        return None
    scorer = next((cell.strip() for cell in head.get("scorer", [])[1:] if cell.strip()), "")
    return _with_rows(Table(scorer, tuple(points), kind, (), (), np.zeros((0, len(points), len(kind)))), lines,
                      lines.index(head["coords"]) + 1, label, faults)


def _with_rows(table: Table, lines: Sequence[Sequence[str]], header: int, label: str, faults: list[str]) -> Table:
    width, kind = len(table.points) * len(table.coordinates), len(table.coordinates)
    keys, at, values = [], [], []
    for line, row in enumerate(lines, start=1):
        if line <= header or not any(cell.strip() for cell in row):
            continue
        key_cells = 3 if row[0].strip() == FOLDER else 1
        while len(row) > key_cells + width and not row[-1].strip():  # spreadsheets add empty cells
            row = row[:-1]
        if len(row) != key_cells + width:
            faults.append(f"{label} line {line}: {len(row)} columns where {key_cells + width} belong; restore the row")
            continue
        before, numbers = len(faults), []
        for number, point in enumerate(table.points):
            cells = row[key_cells + number * kind:][:kind]
            where = f"{label} line {line}, {_name(point)}"
            if bool(cells[0].strip()) != bool(cells[1].strip()):
                faults.append(f"{where}: one of x and y is empty; give both or none")
                continue
            numbers += [_number(cell, where, faults) for cell in cells]
        if len(faults) == before:
            keys.append(forward("/".join(cell.strip() for cell in row[:key_cells])))
            at.append(line)
            values.append(numbers)
    shape = (len(keys), len(table.points), kind)
    return table._replace(keys=tuple(keys), lines=tuple(at), values=np.array(values, np.float64).reshape(shape))


def _name(point: tuple[str, str]) -> str:
    return " of ".join(name for name in point[::-1] if name)


def _number(cell: str, where: str, faults: list[str]) -> float:
    """A cell as a number, nan if it is empty, nan and a fault if it is neither."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        faults.append(f"{where}: {cell!r} where a number belongs; leave the cell empty if there is none")
        return math.nan
    if not math.isfinite(value):
        faults.append(f"{where}: {cell.strip()} where a finite number belongs; leave the cell empty if there is none")
    return value
