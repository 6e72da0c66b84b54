"""Tables of labels: csv rows with their line numbers, and the layout that DeepLabCut and Lightning
Pose share.
"""

import codecs
import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from kpjax.errors import InputError
from kpjax.files import atomic, foreign, read_content
from kpjax.formats.hdf5 import check_hdf5
from kpjax.formats.names import forward
from kpjax.formats.project import Report

FOLDER = "labeled-data"
SCORER = "converted"  # scorer of tables of labels that are written
_SEPARATORS = (",", ";", "\t")
_HEADER = ("scorer", "individuals", "bodyparts", "coords")
_COORDINATES = (("x", "y", "likelihood"), ("x", "y", "visible"), ("x", "y"))
_H5_KEY = "df_with_missing"
ONE_OF_TWO = "one of x and y is empty; give both or none"
Key = tuple[str, int | None]  # an image's path, or a video's and the number of a frame

# Csv tables whose first line names their columns


class Row(NamedTuple):
    """A row: what is said about it, and its cells by column."""

    report: Report
    cells: Mapping[str, str]
    separator: str

    def get(self, column: str) -> str:
        """Returns a cell, "" in a table without this column."""
        return self.cells.get(column, "")

    def fault(self, text: str, field: str = "") -> None:
        """Adds a fault of the row, or of one of its fields."""
        place = self.report.within(field) if field else self.report
        place.fault(text)

    def number(self, column: str) -> float:
        """Returns the number in a cell as `number` does."""
        return number(self.get(column), self.report.within(column), self.separator)

    def frame(self) -> int | None:
        """Returns the number in the column `frame`; None, with a fault, for anything else."""
        cell = self.get("frame")
        found = whole_number(cell)
        if found is None:
            self.fault(
                f"{cell!r:.60} where the number of a frame belongs, from 0; correct it", "frame"
            )
        return found

    def place(self, column: str = "image") -> Key | None:
        """Returns what a row is about; None, with a fault, if it names neither.

        column: of the images.
        """
        image = self.get(column)
        if image:
            return forward(image), None
        video = self.get("video")
        if video:
            number = self.frame()
            return None if number is None else (forward(video), number)
        self.fault("empty; name the image, or the video and the frame, or delete the row", "image")
        return None


class Rows(NamedTuple):
    """A table."""

    columns: Mapping[str, int]  # their places by name, in order
    rows: tuple[Row, ...]

    def lacks(self, *wanted: str) -> list[str]:
        """Returns the columns that are not there."""
        return [name for name in wanted if name not in self.columns]


def read_rows(path: Path, report: Report, known: Collection[str]) -> Rows:
    """Reads a csv file in UTF-8 or UTF-16 whose cells are separated by commas, semicolons or tabs.

    report: Receives a fault for every row with a wrong number of cells, which is left out. known:
    Columns that may be written in capitals.
    """
    separator = separator_of(first_line(path))
    found = []
    for line, cells in _csv_lines(path, path.name, separator):
        if any(cells):
            found.append((report.at(f"{path.name} line {line}"), cells))
    if not found:
        raise InputError(f"{path.name}: the table is empty; save the labels again")
    (first, header), *lines = found
    header = [name.lower() if name.lower() in known else name for name in header]
    columns = {name: place for place, name in enumerate(header)}
    times = Counter(header)
    again = [name for name in columns if name and times[name] > 1]
    if again:
        raise InputError(
            f"{first.place}: two columns are called {again[0]!r}; rename or delete one"
        )
    rows = []
    for row, cells in lines:
        cells = _without_empty_tail(cells, len(header))
        if len(cells) != len(header):
            row.fault(
                f"{len(cells)} cells where the header has {len(header)} columns; restore the row"
            )
            continue
        by_column = dict(zip(header, cells, strict=True))
        rows.append(Row(row, by_column, separator))
    return Rows(columns, tuple(rows))


def separator_of(header: str) -> str:
    """Returns the character that separates the names of a header."""
    return max(_SEPARATORS, key=header.count)


def number(cell: str, report: Report, separator: str = ",") -> float:
    """Parses a cell: nan if it is empty or "nan"; inf, with a fault, if it is no number.

    A comma may be the decimal point where cells are separated by something else.
    """
    with_point = cell if separator == "," else cell.replace(",", ".")
    try:
        value = float(with_point or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        report.fault(f"{cell!r} where a number belongs; correct it, or leave the cell empty")
        return math.inf
    return value


def whole_number(cell: str) -> int | None:
    """Returns the number that a cell of at most 15 plain digits, perhaps with ".0", stands for;
    None for all else.
    """
    digits = cell.removesuffix(".0")
    if digits.isascii() and digits.isdecimal() and len(digits) <= 15:
        return int(digits)
    return None


def rows_text(rows: Iterable[Sequence[object]]) -> str:
    """Formats rows as csv. Floats keep all their digits; nan becomes an empty cell."""
    file = io.StringIO()
    _write_to(file, rows)
    return file.getvalue()


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    """Writes rows as `rows_text` formats them, whole or not at all, one after the other: those of a
    long video are more than memory holds. Returns the path.
    """
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        _write_to(file, rows)
    return path


def _write_to(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    def shown(cell: object) -> object:
        return "" if isinstance(cell, float) and math.isnan(cell) else cell

    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow([shown(cell) for cell in row])


def first_line(path: Path) -> str:
    """Returns the first line of a table, "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(1_000_000)
    except OSError:
        return ""
    text = start.decode(_encoding_of(start), errors="replace")
    return next(iter(text.splitlines()), "")


def _encoding_of(content: bytes) -> str:
    """Returns the encoding of a table by its first bytes: UTF-8, or UTF-16 as spreadsheets save
    "Unicode text".
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _csv_lines(path: Path, label: str, separator: str) -> list[tuple[int, list[str]]]:
    """Returns the lines of a csv file that have cells, numbered.

    Raises InputError unless it is csv in UTF-8 or -16.
    """
    content = read_content(path)
    lines = []
    before = 0
    with foreign(label, "save the table as csv in UTF-8"):
        text = content.decode(_encoding_of(content))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for cells in reader:
            if cells:
                lines.append((before + 1, [cell.strip() for cell in cells]))
            before = reader.line_num
    return lines


def _without_empty_tail(cells: Sequence[str], width: int) -> Sequence[str]:
    """Drops the cells beyond `width` if they are empty, as spreadsheets append them."""
    return cells if any(cells[width:]) else cells[:width]


# A header of three or four rows, then an image or frame per row


class Table(NamedTuple):
    """A table of labels or predictions in DeepLabCut's layout."""

    scorer: str  # of all columns; "" if they have several or none
    #: individual ("" without that header row) and body part of each point
    points: tuple[tuple[str, str], ...]
    coordinates: tuple[str, ...]  # x and y, then perhaps visible or likelihood
    #: keys of the rows: stored paths with forward slashes, or frame numbers
    keys: tuple[str | int, ...]
    values: np.ndarray  # (rows, points, coordinates) float64, nan where a cell is empty

    def with_points(self, which: Sequence[bool]) -> "Table":
        """Returns the table with some of its points only."""
        points = tuple(itertools.compress(self.points, which))
        return self._replace(points=points, values=self.values[:, np.array(which, bool)])


def read_table(path: Path, report: Report) -> Table:
    """Reads a .csv or .h5 table. Raises InputError if the file or its header is unusable.

    report: Receives a fault for every damaged row, which is left out.
    """
    label = report.place
    if path.suffix.lower() != ".h5":
        return _parse(_csv_lines(path, label, ","), report)
    try:
        import h5py  # noqa: F401
        import pandas
        import tables  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{label} needs h5py, pandas and tables ({error}); install the extra kpjax[dlc], or save the "
            "labels as csv with DeepLabCut"
        ) from None
    with foreign(label, "save the labels as csv with DeepLabCut"):
        check_hdf5(path, code=True)
        with pandas.HDFStore(path, "r") as store:
            keys = store.keys()
        key = keys[0] if len(keys) == 1 else _H5_KEY  # napari-deeplabcut calls its table otherwise
        frame = pandas.read_hdf(path, key)
        frame.index.names = [None] * frame.index.nlevels
        # As the lines that its csv would have.
        lines = list(enumerate(csv.reader(io.StringIO(frame.astype(np.float64).to_csv())), start=1))
    return _parse(lines, report)


def has_table_header(path: Path) -> bool:
    """Returns whether a file begins like such a table."""
    if not path.is_file():
        return False
    first_cell, *_ = re.split("[,;\t]", first_line(path))
    return first_cell.strip() == "scorer"


def _header_rows(table: Table) -> list[tuple[str, list[str]]]:
    """Returns the name and the cells of each header row."""
    columns = ((table.scorer, *point, name) for point in table.points for name in table.coordinates)
    rows = zip(_HEADER, zip(*columns, strict=True), strict=True)
    return [(name, [*row]) for name, row in rows if name != "individuals" or any(row)]


def table_text(table: Table, key_cells: int = 1) -> str:
    """Formats a table as csv.

    key_cells: 3 splits paths into folder, video and image, as DeepLabCut does for labels.
    """
    empty = [""] * (key_cells - 1)
    rows = [[name, *empty, *row] for name, row in _header_rows(table)]
    numbers = table.values.reshape(len(table.keys), -1).tolist()
    for key, values in zip(table.keys, numbers, strict=True):
        first = _parts(key) if key_cells == 3 else [key]
        rows.append([*first, *values])
    return rows_text(rows)


def write_h5(table: Table, path: Path, key_cells: int = 1) -> Path:
    """Writes a table (`table_text`) for pandas, also older ones.

    Raises ImportError without kpjax[dlc].
    """
    import pandas

    names, rows = zip(*_header_rows(table), strict=True)
    columns = pandas.MultiIndex.from_arrays(
        [pandas.Index(row, dtype=object) for row in rows], names=names
    )
    if key_cells == 3:
        parts = zip(*map(_parts, table.keys), strict=True)
        index = pandas.MultiIndex.from_arrays([pandas.Index(part, dtype=object) for part in parts])
    else:
        are_numbers = all(isinstance(key, int) for key in table.keys)
        index = pandas.Index(table.keys, dtype=None if are_numbers else object)
    values = table.values.reshape(len(table.keys), -1)
    frame = pandas.DataFrame(values, index=index, columns=columns)
    with atomic(path) as partial:
        frame.to_hdf(partial, key=_H5_KEY, mode="w", format="fixed")
    return path


def _parts(key: str | int) -> list[str]:
    return [FOLDER, *str(key).split("/")[-2:]]


def _parse(lines: Sequence[tuple[int, list[str]]], report: Report) -> Table:
    """Returns a table of lines, each with its number in the file from 1 and its cells."""
    head = {cells[0]: (line, cells) for line, cells in lines[:4] if cells[0] in _HEADER}
    missing = [row for row in ("bodyparts", "coords") if row not in head]
    if missing:
        raise InputError(
            f"{report.place}: header row {missing[0]} is missing; save the labels anew, with commas between cells"
        )
    last, names = head["coords"]
    first = next((at for at, cell in enumerate(names) if at and cell), len(names))
    _, parts = head["bodyparts"]
    _, individuals = head.get("individuals", (0, [""] * len(names)))
    # The places of each point's coordinates; spreadsheets add columns that are empty.
    points: dict[tuple[str, str], dict[str, int]] = {}
    columns = itertools.zip_longest(names, individuals, parts, fillvalue="")
    for at, (name, individual, part) in enumerate(columns):
        if not name or at < first:
            continue
        own = points.setdefault((individual, part), {})
        if name in own:
            raise InputError(
                f"{report.place}: body part {part!r} occurs twice in the header; give each a name of its own"
            )
        own[name] = at
    kind: tuple[str, ...] = ()
    for coordinates in _COORDINATES:
        if all(tuple(own)[: len(coordinates)] == coordinates for own in points.values()):
            kind = coordinates
            break
    if not points or not kind:
        raise InputError(
            f"{report.place}: bodyparts and coords must name x and y of each part; save the labels anew"
        )
    places = {point: [own[name] for name in kind] for point, own in points.items()}
    width = 1 + max(at for own in points.values() for at in own.values())
    keys = []
    values = []
    for line, cells in lines:
        if line <= last or not any(cells):
            continue
        row = report.at(f"{report.place} line {line}")
        numbers = _numbers(cells, places, width, row)
        if numbers is not None:
            keys.append(forward("/".join(cells[:first])))
            values.append(numbers)
    stacked = np.array(values, np.float64).reshape(len(keys), len(points), len(kind))
    _, scored = head.get("scorer", (0, []))
    scorers = {cell for cell in scored[1:] if cell}
    scorer = scorers.pop() if len(scorers) == 1 else ""
    return Table(scorer, tuple(points), kind, tuple(keys), stacked)


def _numbers(
    cells: Sequence[str],
    places: Mapping[tuple[str, str], Sequence[int]],
    width: int,
    report: Report,
) -> list[float] | None:
    """Returns the numbers of a row; None, with a fault, if it is damaged.

    places: of each point's cells. width: of the columns that have a name.
    """
    before = len(report.faults)
    cells = _without_empty_tail(cells, width)
    if len(cells) != width:
        report.fault(f"{len(cells)} columns where {width} belong; restore the row")
        return None
    values = []
    for point, own in places.items():
        named = report.within(" of ".join(filter(None, point[::-1])))
        numbers = [number(cells[at], named) for at in own]
        x, y, *_ = numbers
        if math.isnan(x) != math.isnan(y):
            named.fault(ONE_OF_TWO)
        values += numbers
    return values if len(report.faults) == before else None
