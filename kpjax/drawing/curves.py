"""Line plots and dot plots as SVG inside a page, whose style sheet colours them.

The classes `line-0` to `line-7` colour a variant alike everywhere. Its text stays in the page's ink, with a dot of the
colour beside it, so that no light colour has to be legible.
"""
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = 8
WIDTH, HEIGHT = 342, 250  # without the names
LEFT, TOP, BOTTOM = 50, 12, 30
LETTER = 6.7  # px, of a name's letters, rather too wide
POINTS = 120  # points drawn per line; more steps than that are averaged in equal stretches

History = Sequence[tuple[float, float]]  # (step, value), by rising step


class Curve(NamedTuple):
    """One line of a panel, with one history per seed."""

    label: str  # at its right end; "" for none
    colour: int
    seeds: Sequence[History]


class Band(NamedTuple):
    """Mean, lowest and highest value of the seeds at each step."""

    steps: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def band(seeds: Sequence[History], points: int = POINTS) -> Band:
    """Computes mean, lowest and highest over the seeds, in at most `points` equal stretches of the steps.

    A stretch averages each seed's values and stands at the mean of their steps. Seeds without a value there, such as
    those of a shorter run, do not count.
    """
    pairs = [(step, value) for history in seeds for step, value in history]
    if not pairs:
        return Band((), (), (), ())
    first, last = min(step for step, _ in pairs), max(step for step, _ in pairs)
    steps = sorted({step for step, _ in pairs})
    stretches = min(points, len(steps))
    gathered: dict[int, list[list[tuple[float, float]]]] = {}
    for number, history in enumerate(seeds):
        for step, value in history:
            # With few steps each stands for itself, however unevenly they are spaced.
            place = (steps.index(step) if len(steps) <= points
                     else min(int((step - first) / (last - first) * stretches), stretches - 1))
            gathered.setdefault(place, [[] for _ in seeds])[number].append((step, value))
    columns = []
    for place in sorted(gathered):
        present = [found for found in gathered[place] if found]
        values = [math.fsum(value for _, value in found) / len(found) for found in present]
        where = [step for found in present for step, _ in found]
        columns.append((math.fsum(where) / len(where), math.fsum(values) / len(values), min(values), max(values)))
    return Band(*zip(*columns, strict=True))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns about `about` round numbers (1, 2, 2.5 or 5 times a power of ten) from low to high."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Returns at most six powers of ten from low to high, with twos and fives if there are fewer than three, or
    round numbers as on a linear axis where that leaves fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    whole = [10.0 ** n for n in powers if low <= 10.0 ** n <= high]
    if len(whole) >= 3:
        return whole[:: math.ceil(len(whole) / 6)]
    halves = [m * 10.0 ** n for n in powers for m in (1, 2, 5) if low <= m * 10.0 ** n <= high]
    return halves if len(halves) > 1 else ticks(low, high)


def number_text(value: float) -> str:
    """Returns a short number for an axis: 1500 as 1.5k, 0.00001 as 1e-5."""
    if value == 0:
        return "0"
    size = abs(value)
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.3g}{letter}"
    if size < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3g}"


def line_plot(curves: Sequence[Curve], *, title: str, logarithmic: bool = False, factor: float = 1.0) -> str:
    """Draws a panel: a line per curve with the band of its seeds, named at its right end. Empty without a value.

    title: for screen readers. logarithmic: of the axis; values that are not positive are left out then. factor: of
    values.
    """
    bands = []
    for curve in curves:
        seeds = [[(step, value * factor) for step, value in history if value > 0 or not logarithmic]
                 for history in curve.seeds]
        found = band(seeds)
        if found.steps:
            bands.append((curve, found))
    if not bands:
        return ""
    low, high = min(min(b.low) for _, b in bands), max(max(b.high) for _, b in bands)
    if logarithmic:
        low, high = (low / 1.3, high * 1.3) if high <= low * 1.01 else (low, high)
    else:
        margin = 0.05 * (high - low) or max(abs(high) * 0.1, 1e-6)
        low, high = low - margin, high + margin
    first, last = min(b.steps[0] for _, b in bands), max(b.steps[-1] for _, b in bands)
    if last <= first:
        first, last = first - 1, last + 1

    width = WIDTH + max(24 + LETTER * max(len(curve.label) for curve, _ in bands), 54)

    def x(step):
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT)

    def y(value):
        share = (math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low))
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    bottom, right = HEIGHT - BOTTOM, WIDTH
    parts = [_text("tick", right + 22, bottom + 17, "steps")]
    for value in (log_ticks if logarithmic else ticks)(low, high):
        parts += [_line("grid", LEFT, right, y(value), y(value)),
                  _text("tick", LEFT - 7, y(value) + 3.6, number_text(value), "end")]
    parts += [_text("tick", x(step), bottom + 17, number_text(step), "middle") for step in ticks(first, last)]
    for curve, b in bands:
        if len(curve.seeds) > 1:
            edge = [*zip(b.steps, b.high, strict=True), *reversed([*zip(b.steps, b.low, strict=True)])]
            parts.append(f'<path class="band {_coloured(curve)}" d="{_path(edge, x, y)}Z"/>')
    ends = _apart([y(b.mean[-1]) for _, b in bands], 13.5, TOP + 4, bottom)
    for (curve, b), height in zip(bands, ends, strict=True):
        dashed = " dashed" if curve.colour >= COLOURS else ""
        mean, end = _path(zip(b.steps, b.mean, strict=True), x, y), (x(b.steps[-1]), y(b.mean[-1]))
        if len(b.steps) == 1:
            parts.append(_circle(f"dot {_coloured(curve)}", *end, 3))
        parts.append(f'<path class="line {_coloured(curve)}{dashed}" d="{mean}"/>')
        if not curve.label:
            continue
        parts += [f'<path class="leader" d="M{end[0] + 2:.1f} {end[1]:.1f}L{right + 10} {height:.1f}"/>',
                  _circle(f"dot {_coloured(curve)}", right + 13, height, 3.2),
                  _text("name", right + 20, height + 3.8, curve.label)]
    return _svg("lines", round(width), HEIGHT, title, parts)


def _coloured(one) -> str:
    return f"line-{one.colour % COLOURS}"


def _line(style: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _circle(style: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _text(style: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points, x, y) -> str:
    return "M" + "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in points)


def _svg(style: str, width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>'
            + "".join(parts) + "</svg>")


def _apart(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Returns heights near the wanted ones, in the same order, `gap` apart and inside the panel if there is room."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    # Blocks of labels that touch: [members, centre]; neighbours that overlap become one block around their mean.
    blocks: list[list] = []
    for n in order:
        blocks.append([[n], wanted[n]])
        while len(blocks) > 1 and blocks[-1][1] - blocks[-2][1] < gap * (len(blocks[-1][0]) + len(blocks[-2][0])) / 2:
            members, centre = blocks.pop()
            before, count = blocks[-1], len(blocks[-1][0])
            before[1] = (before[1] * count + centre * len(members)) / (count + len(members))
            before[0] += members
    heights = [0.0] * len(wanted)
    for members, centre in blocks:
        for place, n in enumerate(members):
            heights[n] = centre + (place - (len(members) - 1) / 2) * gap
    for n in order:  # pushed in from the top, then from the bottom
        top = heights[n] = max(heights[n], top)
        top += gap
    for n in reversed(order):
        bottom = heights[n] = min(heights[n], bottom)
        bottom -= gap
    return heights


# All seeds of all variants on one axis

class Dots(NamedTuple):
    """One row of a dot plot: the values of its seeds, and the paper's number if there is one."""

    label: str
    colour: int
    values: Sequence[float]
    paper: float | None = None


def dot_plot(groups: Sequence[tuple[str, Sequence[Dots]]], *, title: str) -> str:
    """Draws seeds as rings, their mean as a bar across, the paper's number as a diamond; rows stand under headings.

    Rows without a finite value or a paper's number are left out. Empty if no row is left.
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
    left = max(146, round(LETTER * max(len(row.label) for _, rows in groups for row in rows)) + 14)
    width, right, step = left + 334, 14, 20
    height = 4 + sum(25 + step * len(rows) for _, rows in groups) + 24

    def x(value):
        return left + (value - low) / (high - low) * (width - left - right)

    bottom = height - 24
    parts = []
    for value in ticks(low, high, 6):
        parts += [_line("grid", x(value), x(value), 8, bottom),
                  _text("tick", x(value), bottom + 16, number_text(value), "middle")]
    y = 4
    for name, rows in groups:
        parts.append(_text("heading", 0, y + 17, name))
        y += 25
        for row in rows:
            middle = y + step / 2
            parts.append(_text("name", left - 12, middle + 4, row.label, "end"))
            if row.paper is not None:
                parts.append(f'<path class="diamond" d="M{x(row.paper) - 5:.1f} {middle:.1f}l5 -5l5 5l-5 5Z"/>')
            parts += [_circle(f"ring {_coloured(row)}", x(value), middle, 4) for value in row.values]
            if row.values:
                mean = x(math.fsum(row.values) / len(row.values))
                parts.append(_line(f"mean {_coloured(row)}", mean, mean, middle - 8, middle + 8))
            y += step
    return _svg("dots", width, height, title, parts)
