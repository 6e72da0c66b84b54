"""Charts by matplotlib, as SVG that is legible on light and on dark pages and at 400 pixels of
width.

The background is transparent, data have colours of middle lightness, and text has the colour of a
light or dark page. The same chart always has the same bytes. matplotlib is imported where a chart
is drawn, since that takes a second.
"""

import base64
import contextlib
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, distinct with any common colour vision, brought to a lightness that both
# pages can carry.
COLOURS = ("#1f83c0", "#d9661f", "#12a07a", "#c9689b", "#c98b10", "#4fa3d1", "#7a7f87", "#9a6b3b")
# colours of intervals above zero, below it, and with zero inside
ABOVE, BELOW, OPEN = "#2da44e", "#e5484d", "#7a8490"
INK, EDGE = "#2b2c2d", "#848d97"  # colours of text, which becomes that of the page, and of axes
# A file that a page shows as an image has no style sheet but its own.
PAGE = "<style>svg { color: #24292f } @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }</style>"
WIDTH = 420  # points, of a chart
POINTS = 120  # points drawn per line; more steps than that are averaged in equal stretches
SETTINGS: Mapping[str, object] = {
    "svg.hashsalt": "kpjax",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": EDGE,
    "xtick.color": EDGE,
    "ytick.color": EDGE,
    "grid.color": EDGE,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.unicode_minus": False,
}
History = Sequence[tuple[float, float]]  # (step, value), by rising step


@contextlib.contextmanager
def _figure(width: float, height: float, dots: int) -> Iterator["Figure"]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS), warnings.catch_warnings():
        # a viewer takes them from another font
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield Figure(figsize=(width / 72, height / 72), dpi=dots, layout="constrained")


def render_svg(
    draw: Callable[["Figure"], None], *, width: float = WIDTH, height: float, title: str
) -> str:
    """Returns what `draw` makes of an empty figure, as the text of an SVG file.

    width, height: in points. title: for screen readers.
    """
    with _figure(width, height, 72) as figure:
        draw(figure)
        return svg_of(figure, title)


def render_pixels(draw: Callable[["Figure"], None], *, width: float, height: float) -> np.ndarray:
    """Returns what `draw` makes of an empty figure, on white: (h, w, 3) uint8, two pixels for each
    point.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _figure(width, height, 144) as figure:
        draw(figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]


def svg_of(figure: "Figure", title: str) -> str:
    """Returns a figure as SVG, without the day on which it was made."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root, inner = file.getvalue().partition("<svg ")[2].split(">", 1)
    return (
        f'<svg role="img" {root}><title>{escape(title)}</title>{PAGE}{inner.rstrip()}\n'
    ).replace(INK, "currentColor")


def image_tag(svg: str, title: str) -> str:
    """Returns a chart as an image inside a page, whose style and names cannot meet those of others;
    "" for none.
    """
    content = base64.b64encode(svg.encode()).decode()
    return (
        svg
        and f'<img class="chart" alt="{escape(title)}" src="data:image/svg+xml;base64,{content}">'
    )


def wrap_text(text: str, width: int = 56) -> str:
    """Returns a text in lines of at most so many letters."""
    return textwrap.fill(text, width)


# Differences and means


class Difference(NamedTuple):
    """A row: a mean and the ends of its interval."""

    label: str
    value: float
    low: float
    high: float


def forest_plot(rows: Sequence[Difference], *, title: str, axis: str) -> str:
    """Draws a line for every difference from low to high, with its mean as a square; "" without a
    row.

    Above it stand its name and its numbers. An interval above zero, one below, and one that holds
    zero have colours of their own. axis: below the ticks.
    """
    labels = [wrap_text(row.label, 38) for row in rows]
    # points, from the top
    heights = [20 + 14 * (label.count("\n") + 1) for label in labels]
    places = np.cumsum(heights).tolist()

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=EDGE, linestyle="--", linewidth=1)
        for place, label, row in zip(places, labels, rows, strict=True):
            colour = ABOVE if row.low > 0 else BELOW if row.high < 0 else OPEN
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
            axes.plot([row.value], [place], "s", color=colour, markersize=7)
            for end, side, text in (
                (0, "left", label),
                (1, "right", f"{row.value:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"),
            ):
                axes.text(
                    end, place - 8, text, transform=axes.get_yaxis_transform(), ha=side, va="bottom"
                )
        axes.set(xlabel=wrap_text(axis), yticks=[], ylim=(places[-1] + 12, 0))
        axes.spines["left"].set_visible(False)

    if not rows:
        return ""
    height = places[-1] + 60 + 14 * wrap_text(axis).count("\n")
    return render_svg(draw, height=height, title=title)


class Dots(NamedTuple):
    """One row of a dot plot: the values of its seeds, and the paper's number if there is one."""

    label: str
    colour: int
    values: Sequence[float]
    paper: float | None = None


def _label_rows(axes: "Axes", lines: Sequence[str | Dots]) -> None:
    """Labels rows from the top down, headings in bold."""
    axes.set_yticks(
        range(len(lines)), [row if isinstance(row, str) else row.label for row in lines]
    )
    for text, row in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if isinstance(row, str) else "normal")
    axes.set_ylim(len(lines) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)


def dot_plot(groups: Sequence[tuple[str, Sequence[Dots]]], *, title: str) -> str:
    """Draws seeds as rings, their mean as a bar across, the paper's number as a diamond; rows stand
    under headings.

    Rows without a finite value or a paper's number are left out; "" if no row is left.
    """
    kept = [
        (name, [row for row in rows if np.isfinite(row.values).any() or row.paper is not None])
        for name, rows in groups
    ]
    lines = [line for name, rows in kept if rows for line in (name, *rows)]

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for number, row in enumerate(lines):
            if isinstance(row, str):
                continue
            values = [value for value in row.values if np.isfinite(value)]
            colour = COLOURS[row.colour % len(COLOURS)]
            axes.plot(values, [number] * len(values), "o", markerfacecolor="none", color=colour)
            if values:
                axes.plot(
                    [np.mean(values)], [number], "|", color=colour, markersize=15, markeredgewidth=3
                )
            if row.paper is not None:
                axes.plot([row.paper], [number], "D", markerfacecolor="none", color=EDGE)
        _label_rows(axes, lines)
        axes.grid(axis="x")

    if not lines:
        return ""
    return render_svg(draw, height=20 * len(lines) + 40, title=title)


# Lines


class Curve(NamedTuple):
    """One line of a panel, with one history per seed."""

    label: str  # in the legend; "" for none
    colour: int  # a variant has one everywhere; from the ninth on lines are dashed
    seeds: Sequence[History]


class Band(NamedTuple):
    """Mean, lowest and highest value of the seeds at each step, (n,) each."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band(seeds: Sequence[History], points: int = POINTS) -> Band:
    """Computes mean, lowest and highest over the seeds, in at most `points` equal stretches of the
    steps.

    A stretch averages each seed's values and stands at the mean of their steps. Seeds without a
    value there, such as those of a shorter run, do not count.
    """
    steps = np.unique([step for history in seeds for step, _ in history])
    sums = np.zeros((3, len(seeds), min(points, len(steps))))  # sums of ones, steps and values
    for number, history in enumerate(seeds):
        if not len(history):
            continue
        at, values = np.array(history, np.float64).T
        # With few steps each stands for itself, however unevenly they are spaced.
        place = (
            np.searchsorted(steps, at)
            if len(steps) <= points
            else np.minimum((at - steps[0]) / np.ptp(steps) * points, points - 1).astype(int)
        )
        for row, weights in enumerate((np.ones_like(at), at, values)):
            np.add.at(sums[row, number], place, weights)
    sums = sums[..., sums[0].any(0)]
    count, at, values = sums
    divisor = np.maximum(count, 1)
    means = np.where(count > 0, values / divisor, np.nan)
    if not means.size:
        return Band(*(np.zeros(0),) * 4)
    return Band(
        at.sum(0) / count.sum(0), np.nanmean(means, 0), np.nanmin(means, 0), np.nanmax(means, 0)
    )


def line_plot(
    curves: Sequence[Curve], *, title: str, logarithmic: bool = False, factor: float = 1.0
) -> str:
    """Draws a line per curve over the steps, with the band of its seeds and a legend; "" without a
    value.

    logarithmic: of the axis; values that are not positive are left out then. factor: of values.
    """
    bands = [
        (
            curve,
            band(
                [
                    [
                        (step, value * factor)
                        for step, value in history
                        if value > 0 or not logarithmic
                    ]
                    for history in curve.seeds
                ]
            ),
        )
        for curve in curves
    ]
    bands = [(curve, found) for curve, found in bands if len(found.steps)]
    named = [curve.label for curve, _ in bands if curve.label]

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        if logarithmic:
            logarithmic_axis(axes)
        for curve, found in bands:
            colour = COLOURS[curve.colour % len(COLOURS)]
            dashed = curve.colour >= len(COLOURS)
            if len(curve.seeds) > 1:
                axes.fill_between(
                    found.steps, found.low, found.high, color=colour, alpha=0.16, linewidth=0
                )
            axes.plot(
                found.steps,
                found.mean,
                linestyle="--" if dashed else "-",
                color=colour,
                label=curve.label,
                marker="o" if len(found.steps) == 1 else "",
            )
        axes.set_xlabel("steps")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        if named:
            figure.legend(loc="outside lower left")

    if not bands:
        return ""
    return render_svg(draw, height=240 + 17 * len(named), title=title)


def logarithmic_axis(axes: "Axes") -> None:
    """Makes the axis upwards logarithmic, with several ticks and plain numbers also within one
    power of ten.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
