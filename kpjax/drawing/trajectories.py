"""Trajectories and scores over time as an SVG file, before and after smoothing, legible on light and dark pages."""
from collections.abc import Sequence
from html import escape

import numpy as np

from kpjax.drawing.curves import number_text, ticks

WIDTH, LEFT, RIGHT, TOP = 960, 64, 16, 44
HEIGHTS = {"x, px": 76, "y, px": 76, "score": 40}
HEAD, GAP, FOOT = 24, 8, 26  # of a keypoint's name, between two panels, below the last one
COLUMNS = WIDTH - LEFT - RIGHT
LEAST_SPAN = 8.0  # px from the lowest to the highest end of a panel of x or y
# A file that a page shows as an image has no style sheet but its own.
STYLE = """svg { background: #fff } text { font: 12px system-ui, sans-serif; fill: #24292f }
.name { font-weight: 600; font-size: 14px } .tick { font-size: 11px } .frame { fill: none; stroke: #d0d7de }
.cut { stroke: #cf222e; stroke-dasharray: 4 3 } .before { fill: none; stroke: #9da7b1 }
.score { fill: none; stroke: #57606a }
.after { fill: none; stroke: #0969da; stroke-width: 1.3 } .band { fill: #0969da; opacity: .2 }
@media (prefers-color-scheme: dark) { svg { background: #0d1117 } text { fill: #e6edf3 } .frame { stroke: #30363d }
.before { stroke: #6e7781 } .score { stroke: #9da7b1 } .after { stroke: #58a6ff } .band { fill: #58a6ff }
.cut { stroke: #f85149 } }"""


def trajectory_plot(
    frames: np.ndarray, before: np.ndarray, scores: np.ndarray, names: Sequence[str], *, title: str,
    after: np.ndarray | None = None, deviation: np.ndarray | None = None, cutoff: float | None = None,
) -> str:
    """Draws x, y and score of each keypoint over the frames of a video.

    Args:
        frames: (T,) rising numbers.
        before: (T, K, 2) points in pixels, nan where there is none, which breaks the line.
        scores: (T, K).
        names: (K,) of the keypoints, with those of their animals where there are several.
        title: above.
        after: (T, K, 2), the points after smoothing, drawn over the others.
        deviation: (T, K, 2), standard deviations of `after`; a band of two of them lies behind it.
        cutoff: a line among the scores.
    """
    parts, upper = [f'<text class="name" x="{LEFT}" y="20">{escape(title)}</text>'], float(TOP)
    shown = ["grey: as predicted"] + ["blue: smoothed"] * (after is not None)
    shown += ["band: two standard deviations"] * (deviation is not None)
    parts.append(f'<text class="tick" x="{LEFT}" y="36">{"; ".join(shown)}; gaps have no line</text>')
    for k, name in enumerate(names):
        parts.append(f'<text class="name" x="{LEFT}" y="{upper + 16:.0f}">{escape(name)}</text>')
        upper += HEAD
        for axis, (label, height) in enumerate(HEIGHTS.items()):
            lines, band = [], None
            if label == "score":
                lines.append(("score", scores[:, k]))
            else:
                lines.append(("before", before[:, k, axis]))
                if after is not None:
                    lines.append(("after", after[:, k, axis]))
                    if deviation is not None:
                        band = after[:, k, axis] - 2 * deviation[:, k, axis], after[:, k, axis] + 2 * deviation[
                            :, k, axis]
            parts += _panel(frames, lines, band, upper, height, label, cutoff if label == "score" else None)
            upper += height + GAP
        parts += [f'<text class="tick" x="{_across(frames, value):.1f}" y="{upper + 8:.0f}" text-anchor="middle">'
                  f"{number_text(value)}</text>" for value in ticks(float(frames[0]), float(frames[-1]), 8)]
        parts.append(f'<text class="tick" x="6" y="{upper + 8:.0f}">frame</text>')
        upper += FOOT
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {upper:.0f}" width="{WIDTH}" '
            f'height="{upper:.0f}" role="img"><title>{escape(title)}</title><style>{STYLE}</style>'
            + "\n".join(parts) + "</svg>\n")


def _across(frames: np.ndarray, value: float) -> float:
    first, last = float(frames[0]), float(frames[-1])
    return LEFT + (value - first) / max(last - first, 1e-9) * COLUMNS


def _panel(frames, lines, band, upper: float, height: float, label: str, cutoff: float | None) -> list[str]:
    every = np.concatenate([values for _, values in lines])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    if label == "score":
        low, high = min(low, 0.0), max(high, cutoff or 0.0)
        margin = 0.05 * (high - low) or 0.5
    else:  # noise of a fraction of a pixel does not fill the panel
        margin = max(0.05 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    low, high = low - margin, high + margin

    def down(value):
        return upper + (high - np.clip(value, low, high)) / (high - low) * height

    if label.startswith("y"):  # rows of an image count downwards
        def down(value):
            return upper + (np.clip(value, low, high) - low) / (high - low) * height
    parts = [f'<rect class="frame" x="{LEFT}" y="{upper:.1f}" width="{COLUMNS}" height="{height}"/>',
             f'<text class="tick" x="6" y="{upper + height / 2 + 4:.1f}">{label}</text>']
    parts += [f'<text class="tick" x="{LEFT - 5}" y="{down(value) + 4:.1f}" text-anchor="end">'
              f"{number_text(value)}</text>" for value in ticks(low, high, 3)]
    if band is not None:
        parts += [f'<path class="band" d="{path}"/>' for path in _areas(frames, *band, down)]
    for style, values in lines:
        if path := _line(frames, values, down):
            parts.append(f'<path class="{style}" d="{path}"/>')
    if cutoff is not None:
        parts.append(f'<line class="cut" x1="{LEFT}" x2="{LEFT + COLUMNS}" y1="{down(cutoff):.1f}" '
                     f'y2="{down(cutoff):.1f}"/>')
    return parts


def _columns(frames: np.ndarray) -> np.ndarray:
    """Returns (T,) the stretch of each frame: as many as there are pixels, or one for each frame."""
    if len(frames) <= COLUMNS:
        return np.arange(len(frames))
    return np.minimum(np.arange(len(frames)) * COLUMNS // len(frames), COLUMNS - 1)


def _line(frames: np.ndarray, values: np.ndarray, down) -> str:
    """Returns a path through the values; of many frames, through the lowest and the highest of each pixel."""
    places = [_across(frames, frame) for frame in frames.tolist()]
    heights, known, column = down(values).tolist(), np.isfinite(values).tolist(), _columns(frames)
    values = values.tolist()
    path, drawing, start = [], False, 0
    for end in [*(np.flatnonzero(np.diff(column)) + 1).tolist(), len(values)]:
        those = [row for row in range(start, end) if known[row]]
        if those:
            extremes = sorted({min(those, key=values.__getitem__), max(those, key=values.__getitem__)})
            for row in extremes:
                path.append(f"{'L' if drawing else 'M'}{places[row]:.1f} {heights[row]:.1f}")
                drawing = True
            if len(path) and path[-1].startswith("M"):
                path.append("h.5")  # a point alone is a dot
        drawing = bool(those) and known[end - 1]
        start = end
    return "".join(path)


def _areas(frames: np.ndarray, low: np.ndarray, high: np.ndarray, down) -> list[str]:
    """Returns a closed path for each stretch of frames without a gap."""
    known, column, areas, run = np.isfinite(low) & np.isfinite(high), _columns(frames), [], []
    for start in [*np.unique(column, return_index=True)[1].tolist(), None]:
        if start is not None and known[start]:
            run.append(start)
            continue
        if len(run) > 1:
            edge = [(row, high[row]) for row in run] + [(row, low[row]) for row in reversed(run)]
            areas.append("M" + "L".join(f"{_across(frames, float(frames[row])):.1f} {down(value):.1f}"
                                        for row, value in edge) + "Z")
        run = []
    return areas
