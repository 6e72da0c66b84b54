"""A table's numbers at one glance: every seed of every variant on one axis, as SVG that stands inside a page."""
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from kpjax.viewing.curves import COLOURS, number_text, shortened, ticks


class Dots(NamedTuple):
    """One row of a dot plot: its seeds' values, its colour, and the paper's number if there is one."""

    label: str
    colour: int
    values: Sequence[float]
    paper: float | None = None


def dot_plot(groups: Sequence[tuple[str, Sequence[Dots]]], *, title: str) -> str:
    """Every seed as a ring, their mean as a bar across, the paper's number as a diamond; rows grouped under headings.

    Rows without a finite value or a paper's number are left out. Empty text if nothing is left.
    """
    groups = [(name, [row._replace(values=[v for v in row.values if math.isfinite(v)]) for row in rows])
              for name, rows in groups]
    groups = [(name, [row for row in rows if row.values or row.paper is not None]) for name, rows in groups]
    groups = [(name, rows) for name, rows in groups if rows]
    numbers = [v for _, rows in groups for row in rows
               for v in [*row.values, *([] if row.paper is None else [row.paper])]]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    margin = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-6)
    low, high = low - margin, high + margin
    width, left, right, step = 480, 146, 14, 20
    height = 4 + sum(25 + step * len(rows) for _, rows in groups) + 24

    def x(value):
        return left + (value - low) / (high - low) * (width - left - right)

    bottom = height - 24
    parts = []
    for value in ticks(low, high, 6):
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="8" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">'
                     f"{number_text(value)}</text>")
    y = 4
    for name, rows in groups:
        parts.append(f'<text class="heading" x="0" y="{y + 17}">{escape(name)}</text>')
        y += 25
        for row in rows:
            middle, colour = y + step / 2, row.colour % COLOURS
            parts.append(f'<text class="name" x="{left - 12}" y="{middle + 4:.1f}" text-anchor="end">'
                         f"{escape(shortened(row.label, 24))}</text>")
            if row.paper is not None:
                parts.append(f'<path class="diamond" d="M{x(row.paper) - 5:.1f} {middle:.1f}l5 -5l5 5l-5 5Z"/>')
            for value in row.values:
                parts.append(f'<circle class="ring line-{colour}" cx="{x(value):.1f}" cy="{middle:.1f}" r="4"/>')
            if row.values:
                mean = x(math.fsum(row.values) / len(row.values))
                parts.append(f'<line class="mean line-{colour}" x1="{mean:.1f}" x2="{mean:.1f}" '
                             f'y1="{middle - 8:.1f}" y2="{middle + 8:.1f}"/>')
            y += step
    return (f'<svg class="dots" viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>'
            + "".join(parts) + "</svg>")
