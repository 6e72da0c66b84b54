"""Writes which versions were tried into the table that docs/start.md shows.

PYTHON .ci/versions.py "what ran without an error"

Run it by the Python that was tried: it finds the versions of its own environment. The row of the same Python
(3.13, say) and the same words is replaced.
"""

import csv
import platform
import sys
from importlib import metadata
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "docs" / "outputs" / "versions.csv"
PACKAGES = ("jax", "flax", "optax", "numpy", "av")
HEADER = ("python", *PACKAGES, "what ran")


def minor(row: list[str]) -> tuple[int, ...]:
    """Returns the Python of a row without its last number, as numbers."""
    return tuple(map(int, row[0].split(".")[:2]))


def main(ran: str) -> None:
    """Writes the row of this environment."""
    new = [platform.python_version(), *map(metadata.version, PACKAGES), ran]
    rows = []
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if tuple(header) != HEADER:
            rows = []
    rows = [row for row in rows if (minor(row), row[-1]) != (minor(new), ran)]
    rows = sorted([*rows, new], key=lambda row: (minor(row), row[-1]))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
