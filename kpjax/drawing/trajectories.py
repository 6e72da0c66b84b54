"""Trajectories and scores over time as an SVG file, before and after smoothing, legible on light
and dark pages.
"""

from collections.abc import Sequence

import numpy as np

from kpjax.drawing.charts import BELOW, COLOURS, OPEN, drawn

WIDTH, HEIGHTS = 760, (76, 76, 40)  # points, of the chart and of its panels: x, y and score
LEAST_SPAN = 8.0  # px from the lowest to the highest end of a panel of x or y
# of a line; where there are more frames, each keeps its lowest and its highest value
STRETCHES = 500


def trajectory_plot(
    frames: np.ndarray,
    before: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    after: np.ndarray | None = None,
    deviation: np.ndarray | None = None,
    cutoff: float | None = None,
) -> str:
    """Draws x, y and score of each keypoint over the frames of a video, y growing downwards as in
    the image.

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

    def draw(figure) -> None:
        shown = ["grey: as predicted"] + ["blue: smoothed"] * (after is not None)
        shown += ["band: two standard deviations"] * (deviation is not None)
        figure.suptitle(f"{title:.80}\n{'; '.join(shown)}; gaps have no line", fontsize=11)
        panels = figure.subplots(
            3 * len(names), sharex=True, height_ratios=HEIGHTS * len(names), squeeze=False
        )[:, 0]
        for k, name in enumerate(names):
            across, down, certain = panels[3 * k : 3 * k + 3]
            across.set_title(f"{name:.80}", loc="left", fontweight="bold", fontsize=11)
            for axis, axes in enumerate((across, down)):
                if after is not None and deviation is not None:
                    low, high = (
                        after[:, k, axis] + side * deviation[:, k, axis] for side in (-2, 2)
                    )
                    axes.fill_between(
                        *thinned(frames, low, high), color=COLOURS[0], alpha=0.25, linewidth=0
                    )
                _line(axes, frames, before[:, k, axis], OPEN)
                if after is not None:
                    _line(axes, frames, after[:, k, axis], COLOURS[0])
                drawn_values = [before[:, k, axis]] + (
                    [after[:, k, axis]] if after is not None else []
                )
                axes.set(
                    ylabel=("x, px", "y, px")[axis], ylim=_limits(np.concatenate(drawn_values))
                )
            down.invert_yaxis()
            _line(certain, frames, scores[:, k], OPEN)
            if cutoff is not None:
                certain.axhline(cutoff, color=BELOW, linestyle="--", linewidth=1)
            certain.set(ylabel="score")
            certain.set_ylim(bottom=min(0.0, certain.get_ylim()[0]))
        panels[-1].set_xlabel("frame")

    return drawn(draw, width=WIDTH, height=70 + (sum(HEIGHTS) + 60) * len(names), title=title)


def thinned(frames: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns frames and values (T,); of many frames, the lowest and the highest value of each
    stretch, in turn.
    """
    length = -(-len(frames) // STRETCHES)
    if length <= 2:
        return frames, *values
    starts = np.arange(0, len(frames), length)
    return np.repeat(frames[starts], 2), *(
        np.stack([np.fmin.reduceat(one, starts), np.fmax.reduceat(one, starts)], 1).ravel()
        for one in values
    )


def _line(axes, frames: np.ndarray, values: np.ndarray, colour: str) -> None:
    """Draws a line with its gaps; a point between two gaps is a dot."""
    at, values = thinned(frames, values)
    known = np.pad(np.isfinite(values), 1)
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    axes.plot(at, values, color=colour, linewidth=1)
    axes.plot(at[alone], values[alone], ".", color=colour, markersize=3)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Returns the ends of a panel: noise of a fraction of a pixel does not fill it."""
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    margin = max(0.05 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    return low - margin, high + margin
