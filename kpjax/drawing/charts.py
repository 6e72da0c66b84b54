"""Forest plots, bars, coverage and errors by amount as SVG files that are legible on light and on dark pages."""
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from kpjax.drawing.curves import number_text, ticks

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 720, 300, 150, 24, 12, 44
# A file that a page shows as an image has no style sheet but its own.
STYLE = """text { font: 13px system-ui, sans-serif; fill: #24292f } .axis { stroke: #8c959f } .zero { stroke: #57606a;
stroke-dasharray: 3 3 } .above { stroke: #1a7f37; fill: #1a7f37 } .below { stroke: #cf222e; fill: #cf222e }
.open { stroke: #6e7781; fill: #6e7781 } .small { font-size: 12px }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .axis, .zero { stroke: #8b949e }
.above { stroke: #3fb950; fill: #3fb950 } .below { stroke: #f85149; fill: #f85149 }
.open { stroke: #9da7b1; fill: #9da7b1 } }"""


class Difference(NamedTuple):
    """A row: a mean and the ends of its interval."""

    label: str
    value: float
    low: float
    high: float


def forest_plot(rows: Sequence[Difference], *, title: str, axis: str) -> str:
    """Draws a line for every difference from low to high, with its mean as a square; "" without a row.

    An interval above zero, one below, and one that holds zero have colours of their own, and the numbers stand at the
    right. title: for screen readers. axis: below the ticks.
    """
    if not rows:
        return ""
    low, high = min(0.0, *(row.low for row in rows)), max(0.0, *(row.high for row in rows))
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    bottom = TOP + ROW * len(rows)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{TOP}" y2="{bottom}"/>',
             f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
             f'<text class="small" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{bottom + 36}" text-anchor="middle">'
             f"{escape(axis)}</text>"]
    parts += [f'<text class="small" x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle">'
              f"{number_text(value)}</text>" for value in ticks(low, high)]
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        style = "above" if row.low > 0 else "below" if row.high < 0 else "open"
        parts += [f'<text x="{LEFT - 10}" y="{y + 4.5}" text-anchor="end">{escape(row.label)}</text>',
                  f'<line class="{style}" stroke-width="2" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" '
                  f'y2="{y}"/>',
                  f'<rect class="{style}" x="{x(row.value) - 4:.1f}" y="{y - 4}" width="8" height="8"/>',
                  f'<text class="small" x="{WIDTH - RIGHT + 10}" y="{y + 4.5}">{row.value:+.1f} [{row.low:+.1f}, '
                  f"{row.high:+.1f}]</text>"]
    return _svg(bottom + BOTTOM, title, parts)


def bars(rows: Sequence[tuple[str, float]], *, title: str, highest: float) -> str:
    """Draws a bar for every value, from zero to `highest`, with its number at the end; the first one is emphasised.

    title: below the bars.
    """
    parts, left = [], LEFT // 2
    for number, (label, value) in enumerate(rows):
        y, width = TOP + 2 * ROW * number, value / highest * (WIDTH - left - 70)
        parts += [f'<text x="{left - 10}" y="{y + 23}" text-anchor="end">{escape(label)}</text>',
                  f'<rect class="{"open" if number else "above"}" x="{left}" y="{y + 4}" width="{width:.1f}" '
                  'height="30"/>',
                  f'<text x="{left + width + 8:.1f}" y="{y + 23}">{value:.1f}</text>']
    bottom = TOP + 2 * ROW * len(rows)
    parts.append(f'<text class="small" x="{left}" y="{bottom + 18}">{escape(title)}</text>')
    return _svg(bottom + 30, title, parts)


def coverage_plot(levels: np.ndarray, pooled: np.ndarray, by_keypoint: np.ndarray, names: Sequence[str]) -> str:
    """Draws the share of points within their radius against the level that the radius promises, both in percent.

    What is promised is the dashed diagonal: below it radii are too small, above it larger than they need be. A thin
    line for each keypoint, whose name a pointer shows, and a thick one for all points.

    Args:
        levels: (L,) rising, in (0, 1).
        pooled: (L,) shares of all points.
        by_keypoint: (L, K), nan where there is no label.
        names: (K,) of the keypoints.
    """
    side, left, low = 320, 60, 100 * min(0.4, float(levels[0]), float(np.nanmin([*pooled, *by_keypoint.ravel()])))

    def place(level: float, share: float) -> str:
        x, y = ((100 * value - low) / (100 - low) * side for value in (level, share))
        return f"{left + x:.1f},{TOP + side - y:.1f}"

    def line(style: str, shares: np.ndarray, width: float, name: str) -> str:
        points = " ".join(place(*pair) for pair in zip(levels, shares, strict=True) if np.isfinite(pair[1]))
        return (f'<polyline class="{style}" style="fill: none" stroke-width="{width}" points="{points}"><title>'
                f"{escape(name)}</title></polyline>")

    ends = [place(low / 100, low / 100).split(","), place(1, 1).split(",")]
    parts = [f'<line class="zero" x1="{ends[0][0]}" y1="{ends[0][1]}" x2="{ends[1][0]}" y2="{ends[1][1]}"/>',
             f'<line class="axis" x1="{left}" x2="{left + side}" y1="{TOP + side}" y2="{TOP + side}"/>',
             f'<line class="axis" x1="{left}" x2="{left}" y1="{TOP}" y2="{TOP + side}"/>',
             f'<text class="small" x="{left + side / 2}" y="{TOP + side + 36}" text-anchor="middle">'
             "level that a radius promises, %</text>",
             f'<text class="small" x="{left + side + 16}" y="{TOP + 14}">share of points within, %</text>',
             f'<text class="small" x="{left + side + 16}" y="{TOP + 34}">thick: all points; thin: each keypoint'
             "</text>"]
    for value in ticks(low, 100):
        x, y = place(value / 100, value / 100).split(",")
        parts += [f'<text class="small" x="{x}" y="{TOP + side + 18}" text-anchor="middle">{number_text(value)}</text>',
                  f'<text class="small" x="{left - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{number_text(value)}'
                  "</text>"]
    parts += [line("open", shares, 1, name) for name, shares in zip(names, by_keypoint.T, strict=True)]
    return _svg(TOP + side + BOTTOM, "Share of points within their radius, by level",
                [*parts, line("above", pooled, 3, "all points")])


def error_curves(amounts: Sequence[float], lines: Sequence[tuple[str, Sequence[float]]], *, title: str,
                 across: str, up: str) -> str:
    """Draws errors from zero up against amounts, which are spaced by their ratios; "" without an error.

    Args:
        amounts: (A,) rising, above 0; each has a tick.
        lines: names, and errors (A,), nan where nothing was measured. The first is emphasised.
        title: for screen readers.
        across: below the amounts.
        up: above the errors.
    """
    errors = np.array([line for _, line in lines], np.float64).reshape(len(lines), len(amounts))
    if not np.isfinite(errors).any():
        return ""
    side, left, width = 240, 60, 420
    first, last, highest = np.log(amounts[0]), np.log(amounts[-1]), 1.1 * float(np.nanmax(errors))

    def x(amount: float) -> float:
        return left + 20 + (np.log(amount) - first) / ((last - first) or 1) * (width - 40)

    def y(error: float) -> float:
        return TOP + 20 + side * (1 - error / highest)

    bottom = y(0)
    parts = [f'<line class="axis" x1="{left}" x2="{left + width}" y1="{bottom}" y2="{bottom}"/>',
             f'<line class="axis" x1="{left}" x2="{left}" y1="{TOP + 20}" y2="{bottom}"/>',
             f'<text class="small" x="{left + width / 2}" y="{bottom + 36}" text-anchor="middle">{escape(across)}'
             "</text>",
             f'<text class="small" x="{left - 40}" y="{TOP + 4}">{escape(up)}</text>']
    parts += [f'<text class="small" x="{x(amount):.1f}" y="{bottom + 18}" text-anchor="middle">{number_text(amount)}'
              "</text>" for amount in amounts]
    parts += [f'<text class="small" x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{number_text(value)}</text>'
              for value in ticks(0, highest)]
    for number, (name, line) in enumerate(lines):
        style = "open" if number else "above"
        known = [(x(amount), y(error)) for amount, error in zip(amounts, line, strict=True) if np.isfinite(error)]
        if known:
            points = " ".join(f"{one:.1f},{other:.1f}" for one, other in known)
            parts.append(f'<polyline class="{style}" style="fill: none" stroke-width="2" points="{points}"/>')
            parts += [f'<circle class="{style}" cx="{one:.1f}" cy="{other:.1f}" r="4"/>' for one, other in known]
            parts.append(f'<text x="{left + width + 12}" y="{known[-1][1] + 4.5:.1f}">{escape(name)}</text>')
    return _svg(bottom + BOTTOM, title, parts)


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
            f"<title>{escape(title)}</title><style>{STYLE}</style>" + "\n".join(parts) + "</svg>\n")
